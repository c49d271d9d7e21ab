"""Shared set-up: the golden vectors, and Hypothesis without time limits."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import sys
from pathlib import Path

if importlib.util.find_spec("triton") is not None:
    import triton  # noqa: F401 - loaded after TensorFlow it aborts the process

import attrs
import numpy as np
import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from nets import Branching, seeded

import signxai_core.api
from signxai_core.registry import BackendEntry, Owned

# The same examples in every run; SIGNXAI_EXAMPLES=1000 draws that many new ones.
torch.set_num_threads(1)  # small models: a second thread only waits for the first
FRESH = int(os.environ.get("SIGNXAI_EXAMPLES", "0"))
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None, print_blob=True, max_examples=FRESH or 100)
settings.load_profile("fresh" if FRESH else "same")

SEED = int(os.environ.get("SIGNXAI_SEED") or secrets.randbelow(2**32))


def pytest_report_header():
    return f"fresh examples of test_equivalence: SIGNXAI_SEED={SEED}"


@pytest.fixture(scope="session")
def fresh_seed():
    """The seed of examples that are new in every run."""
    return SEED


@pytest.fixture(scope="session")
def branching():
    """A float64 model with residual sum, concat and a reused module, and two samples."""
    return seeded(Branching, bias=True), np.random.default_rng(1).normal(size=(2, 2, 6, 6))


@pytest.fixture
def register(monkeypatch):
    """Return a function that registers a backend for the test: name, factory, builder."""
    subject = importlib.import_module("signxai_core.testing.conformance.subject")

    def add(name, factory, builder="signxai_torch.network:build"):
        entry = Owned(BackendEntry(name=name, factory=factory, builder=builder, packages=("nobody",)), "tests")
        found = subject.registry()
        more = attrs.evolve(found, backends={**found.backends, name: entry})
        for module in (signxai_core.api, subject):
            monkeypatch.setattr(module, "registry", lambda: more)

    return add
