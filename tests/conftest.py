"""Shared set-up: the golden vectors, and Hypothesis without time limits."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

if importlib.util.find_spec("triton") is not None:
    import triton  # noqa: F401 - loaded after TensorFlow it aborts the process

import numpy as np
import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from nets import Branching, seeded

# The same examples in every run; SIGNXAI_EXAMPLES=1000 draws that many new ones.
torch.set_num_threads(1)  # small models: a second thread only waits for the first
FRESH = int(os.environ.get("SIGNXAI_EXAMPLES", "0"))
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None, print_blob=True, max_examples=FRESH or 100)
settings.load_profile("fresh" if FRESH else "same")


@pytest.fixture(scope="session")
def branching():
    """A float64 model with residual sum, concat and a reused module, and two samples."""
    return seeded(Branching, bias=True), np.random.default_rng(1).normal(size=(2, 2, 6, 6))
