"""Numbers of published packages, recomputed."""

from __future__ import annotations

import numpy as np
import pytest
from golden import DATA, MODELS, PUBLISHED, Golden, load, relative

import signxai_core as sx

# Name of a zennit result -> our method. Left out, with the reason: rule_wsquare* and
# epsilon_0_1_first_wsquare* (zennit keeps the squared bias in the denominator),
# rule_zplus_zero_bias and rule_epsilon_*_zero_bias (no word; covered by rules in test_zero_bias).
ZENNIT = {
    "gradient": "gradient",
    "rule_epsilon_1e-6": "lrp_epsilon_0_000001",
    "rule_epsilon_0_001": "lrp_epsilon_0_001",
    "rule_epsilon_0_1": "lrp_epsilon_0_1",
    "rule_epsilon_1": "lrp_epsilon_1",
    "rule_epsilon_10": "lrp_epsilon_10",
    "rule_zplus": "lrp_zplus",
    "rule_alpha1_beta0": "lrp_alpha_1_beta_0",
    "rule_alpha2_beta1": "lrp_alpha_2_beta_1",
    "rule_gamma_0_25": "lrp_gamma_0_25",
    "rule_flat": "lrp_flat",
    "epsilon_0_1_first_flat": "flatlrp_epsilon_0_1",
    "epsilon_0_1_first_zbox": "zblrp_epsilon_0_1",
    "epsilon_0_1_first_zbox_vggbounds": "zblrp_epsilon_0_1_VGG16ILSVRC",
    "composite_EpsilonPlus": "lrp_epsilon_plus",
    "composite_EpsilonPlusFlat": "lrp_epsilon_plus_flat",
    "composite_EpsilonGammaBox": "lrp_epsilon_gamma_box",
    "composite_EpsilonAlpha2Beta1": "lrp_epsilon_alpha2_beta1",
    "composite_EpsilonAlpha2Beta1Flat": "lrp_epsilon_alpha2_beta1_flat",
    "composite_ExcitationBackprop": "lrp_excitation_backprop",
    "composite_GuidedBackprop": "guided_backprop",
    "composite_Deconvnet": "deconvnet",
}
# Zennit ran in float32 and adds 1e-6 to denominators.
ZENNIT_TOLERANCE = 2e-4
# The golden computation is float64; the weights are float32 numbers, so only rounding remains.
SIGNXAI_TOLERANCE = 1e-6


@pytest.fixture(scope="module", params=MODELS)
def golden(request) -> tuple[str, Golden]:
    return request.param, load(request.param)


@pytest.fixture(scope="module")
def signxai(golden) -> tuple[dict, dict]:
    name, case = golden
    theirs = case.maps(name, "signxai1_float64")
    ours = sx.explain_many(case.model, case.x, list(theirs), case.target, convention="signxai", mu=0.25)
    return ours, theirs


def test_logits(golden):
    name, case = golden
    result = sx.explain(case.model, case.x, "gradient")
    np.testing.assert_allclose(result.output, case.logits, atol=1e-5)  # theirs are float32
    assert list(result.target) == case.target


def names_of(file: str) -> list[str]:
    return sorted(np.load(DATA / "cnn_digits" / f"{file}.npz").files)


@pytest.mark.parametrize("method", names_of("signxai1_float64"))
def test_signxai_convention(signxai, method):
    ours, theirs = signxai
    assert relative(ours[method].relevance, theirs[method]) <= SIGNXAI_TOLERANCE


def test_every_deterministic_published_name_is_compared():
    missing = set(PUBLISHED) - set(names_of("signxai1_float64"))
    misprints = {name for name in missing if "6ILSVRC" in name and "VGG16" not in name}
    stochastic = {name for name in missing if name.startswith(("smoothgrad", "vargrad"))}
    cam = {name for name in missing if "grad_cam" in name}
    assert missing == misprints | stochastic | cam


@pytest.mark.parametrize("key", sorted(ZENNIT))
@pytest.mark.parametrize("seed", ["logit", "one"])
def test_zennit(golden, key, seed):
    name, case = golden
    theirs = case.maps(name, "zennit")
    suffix = "__init1" if seed == "one" else ""
    if key + suffix not in theirs:
        pytest.fail(f"{key + suffix} is not among the golden numbers")
    bounds = {"low": -1.0, "high": float(case.x.max())} if key.endswith(("zbox", "Box")) else {}
    ours = sx.explain(case.model, case.x, ZENNIT[key], case.target, seed=seed, **bounds)
    assert relative(ours.relevance, theirs[key + suffix]) <= ZENNIT_TOLERANCE


@pytest.mark.parametrize("layer", ["conv2d", "conv2d_1"])
def test_grad_cam(layer):
    """The golden maps are not resized, so compare at their own size where it is the input's."""
    case = load("cnn_digits")
    raw = case.maps("cnn_digits", "signxai1_gradcam")[f"grad_cam_raw__{layer}"]
    named = {"convention": "signxai", "last_conv": f"{layer}_relu"}  # a layer of Keras has its activation inside
    ours = sx.explain(case.model, case.x, "grad_cam", case.target, **named).relevance
    if raw.shape[1:] == ours.shape[2:]:
        np.testing.assert_allclose(ours[:, 0], raw, atol=1e-6)  # theirs are float32
    else:
        # Half-pixel interpolation to 4 times the size passes through no sample; corners are held constant.
        np.testing.assert_allclose(ours[:, 0][:, [0, 0, -1, -1], [0, -1, 0, -1]], raw.reshape(2, 4), atol=1e-6)


def test_published_package():
    """The package's own float32 output; its defects (zB, noise, cameras) are not among these names."""
    for name in MODELS:
        case = load(name)
        theirs = case.maps(name, "signxai1_published")
        ours = sx.explain_many(case.model, case.x, list(theirs), case.target, convention="signxai", mu=0.25)
        worst = max((relative(ours[key].relevance, theirs[key]), key) for key in theirs)
        assert worst[0] <= 2e-4, worst  # float32 throughout, and 1e-7 added to denominators
