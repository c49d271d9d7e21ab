"""Gates, normalisations, attention and recurrence against a gradient-form oracle."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from modern_nets import CASES, made

import signxai_core as sx

#: A method, the oracle's chain, and how close it has to be: the oracle's epsilon is 0, that of attn and cp 1e-6.
METHODS = {"lrp_z": ("default", 1e-8), "lrp_attn": ("attn", 1e-3), "lrp_cp": ("cp", 1e-3)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_relevance_is_that_of_the_oracle(case, method):
    net, x = made(case)
    chain, tolerance = METHODS[method]
    expected, _ = oracle.relevance(net, x, chain)
    ours = sx.explain(net, x, method).relevance
    assert np.abs(ours - expected).max() <= tolerance * np.abs(expected).max()
