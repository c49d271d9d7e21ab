"""What a framework runs in one piece has the maps of the same function written out.

An oracle at epsilon 0 does not see where biases are placed; these chains do.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from twin_nets import (
    CELLS,
    ELEMENTWISE,
    GATES,
    NORMS,
    attention,
    bare_softmax,
    in_the_middle,
    normalisation,
    normalised_first,
    normalised_inside,
    recurrence,
    residual,
    softmax,
    squeeze_excite,
)

import signxai_core as sx

METHODS = [
    "lrp_z",
    "lrp_epsilon_0_1",
    "lrp_alpha_1_beta_0",
    "lrp_alpha_2_beta_1",
    "lrp_gamma_0_25",
    "lrp_epsilon_0_25_std_x",
    "lrpsign_epsilon_0_1",
    "w2lrp_epsilon_0_1",
    "flatlrp_epsilon_0_1",
    "lrp_attn",
    "lrp_cp",
]
PLACES = {"first": normalised_first, "inside": normalised_inside, "residual": residual}
CASES = {
    **{name: partial(in_the_middle, *forms) for name, forms in ELEMENTWISE.items()},
    **{name: partial(squeeze_excite, *forms) for name, forms in GATES.items()},
    **{
        f"{name}_{place}": partial(normalisation, *parts, PLACES[place])
        for name, parts in NORMS.items()
        for place in PLACES
    },
    "softmax": partial(in_the_middle, lambda x: x.softmax(-1), softmax, bare_softmax),
    "attention": attention,
    **{name: partial(recurrence, *parts) for name, parts in CELLS.items()},
}


@pytest.mark.parametrize("case", CASES)
def test_fused_and_written_out_agree(case):
    (fused, *written), shape = CASES[case]()
    x = np.random.default_rng(1).normal(size=(2, *shape))
    expected = sx.explain_many(fused, x, METHODS)
    for number, model in enumerate(written):
        ours = sx.explain_many(model, x, METHODS)
        for method, right in expected.items():
            np.testing.assert_allclose(ours[method].output, right.output, rtol=1e-9, atol=1e-12)
            apart = np.abs(ours[method].relevance - right.relevance).max()
            assert apart <= 1e-7 * np.abs(right.relevance).max(), f"{method}, form {number}: {apart:.1e}"
