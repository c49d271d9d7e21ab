"""Shared set-up: the golden vectors, and Hypothesis without time limits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("triton") is not None:
    import triton  # noqa: F401 - loaded after TensorFlow it aborts the process

import numpy as np
import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from nets import Branching, seeded

settings.register_profile("default", deadline=None, print_blob=True)
settings.load_profile("default")


@pytest.fixture(scope="session")
def branching():
    """A float64 model with residual sum, concat and a reused module, and two samples."""
    return seeded(Branching, bias=True), np.random.default_rng(1).normal(size=(2, 2, 6, 6))
