"""The reference against what published packages compute (README beside the golden arrays)."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from signxai_core.specs import (
    KEEP,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    Bound,
    Cam,
    Composite,
    Entry,
    Exact,
    Integrate,
    MethodSpec,
    Mix,
    Pass,
    Rule,
    Share,
    Sign,
    Stabiliser,
    Term,
    Where,
)
from signxai_core.testing.network import Activation, Conv, Dense, Flatten, MaxPool, Network
from signxai_core.testing.reference import explain, forward

GOLDEN = Path(__file__).parent / "data" / "golden"
MODELS = ("dense_digits", "cnn_digits")


@lru_cache
def load(model):
    """Return network, inputs and logits of a golden model, converted to channels first."""
    arch = json.loads((GOLDEN / model / "arch.json").read_text())
    weights = {name: array.astype(np.float64) for name, array in np.load(GOLDEN / model / "weights.npz").items()}
    *sizes, channels = arch["input_shape"]
    nodes, last, shape, flat = [], "input", (channels, *sizes), None
    for layer in arch["layers"]:
        name, config = layer["name"], layer["config"]
        kernel, bias = weights.get(f"{name}/kernel"), weights.get(f"{name}/bias")
        if layer["type"] == "Conv2D":
            weight = kernel.transpose(3, 2, 0, 1)
            padding = kernel.shape[0] // 2 if config["padding"] == "same" else 0
            nodes.append(Conv(name=name, inputs=last, weight=weight, bias=bias, padding=padding))
        elif layer["type"] == "MaxPooling2D":
            nodes.append(MaxPool(name=name, inputs=last, kernel=config["pool_size"]))
        elif layer["type"] == "Flatten":
            flat = Network(nodes, shape).output_shape if nodes else shape
            nodes.append(Flatten(name=name, inputs=last))
        else:
            if flat is not None:
                kernel = np.moveaxis(kernel.reshape(*flat[1:], flat[0], -1), -2, 0).reshape(kernel.shape)
                flat = None
            nodes.append(Dense(name=name, inputs=last, weight=kernel.T, bias=bias))
        last = name
        if config.get("activation") == "relu":
            last = f"{name}_relu"
            nodes.append(Activation(name=last, inputs=name))
    x = np.load(GOLDEN / model / "inputs.npy").astype(np.float64).transpose(0, 3, 1, 2)
    return Network(nodes, shape), x, np.load(GOLDEN / model / "logits.npy")


def epsilon(value, scale="absolute", times=None):
    return Rule((Share((Term(KEEP, KEEP, KEEP),)),), stabiliser=Stabiliser(value, scale), times=times)


def alpha_beta(alpha, *, whole_bias):
    positive, negative = (KEEP, KEEP) if whole_bias else (POSITIVE, NEGATIVE)
    up = Share((Term(POSITIVE, POSITIVE, positive), Term(NEGATIVE, NEGATIVE, ZERO)), weight=alpha)
    down = Share((Term(POSITIVE, NEGATIVE, negative), Term(NEGATIVE, POSITIVE, ZERO)), weight=1 - alpha)
    return Rule((up,) if alpha == 1 else (up, down))


def gamma(value):
    up, down = Mix(1 + value, 1), Mix(1, 1 + value)
    return Rule(
        (
            Share((Term(POSITIVE, up, up), Term(NEGATIVE, down, ZERO)), gate="positive"),
            Share((Term(POSITIVE, down, down), Term(NEGATIVE, up, ZERO)), gate="negative"),
        )
    )


def box(low, high):
    terms = (
        Term(KEEP, KEEP, ZERO),
        Term(Bound("low", low), POSITIVE, ZERO, -1),
        Term(Bound("high", high), NEGATIVE, ZERO, -1),
    )
    return Rule((Share(terms),))


def ones(weight, bias=ZERO):
    return Rule((Share((Term(ONES, weight, bias),)),))


def lrp(dense, convolution=None, first=None, seed="logit"):
    entries = (
        Entry(Where(kinds={"dense"}), dense),
        Entry(Where(kinds={"convolution"}), convolution or dense),
        Entry(Where(kinds={"activation"}), Pass()),
    )
    return MethodSpec(family="lrp", composite=Composite(entries), input_layer=first, seed=seed)


def gradient(relu=None, **parts):
    entries = [Entry(Where(functions={"relu"}), relu)] if relu else []
    return MethodSpec(family="gradient", composite=Composite([*entries, Entry(Where(), Exact())]), **parts)


TENTH, VGG = epsilon(0.1), box(-123.68, 151.061)
AB1, AB2 = alpha_beta(1, whole_bias=True), alpha_beta(2, whole_bias=True)
SIGNXAI = {
    "deconvnet": gradient(Exact(clip=True, mask=False), seed="logit"),
    "flatlrp_epsilon_0_1": lrp(TENTH, first=ones(ONES)),
    "gradient": gradient(),
    "gradient_x_input": gradient(modifier=KEEP),
    "gradient_x_sign": gradient(modifier=Sign()),
    "gradient_x_sign_mu": gradient(modifier=Sign(0.25)),
    "gradient_x_sign_mu_neg_0_5": gradient(modifier=Sign(-0.5)),
    "guided_backprop": gradient(Exact(clip=True), seed="logit"),
    "integrated_gradients": gradient(sampling=Integrate(nodes="end_points")),
    "lrp_alpha_1_beta_0": lrp(AB1),
    "lrp_epsilon_0_1": lrp(TENTH),
    "lrp_epsilon_0_25_std_x": lrp(epsilon(0.25, "std")),
    "lrp_sequential_composite_a": lrp(TENTH, AB1),
    "lrp_sequential_composite_b": lrp(TENTH, AB2),
    "lrp_z": lrp(epsilon(0)),
    "lrpsign_epsilon_0_1": lrp(TENTH, first=epsilon(0, times=Sign())),
    "lrpsign_epsilon_0_25_std_x_mu_0_5": lrp(epsilon(0.25, "std"), first=epsilon(0, times=Sign(0.5))),
    "lrpz_epsilon_0_1": lrp(TENTH, first=epsilon(0)),
    "w2lrp_epsilon_0_1": lrp(TENTH, first=ones(SQUARE)),
    "zblrp_epsilon_0_1_VGG16ILSVRC": lrp(TENTH, first=VGG),
    "zblrp_sequential_composite_b_VGG16ILSVRC": lrp(TENTH, AB2, first=VGG),
}


def zennit(seed):
    ab1, ab2 = alpha_beta(1, whole_bias=False), alpha_beta(2, whole_bias=False)
    small = epsilon(1e-6)
    # zennit keeps bias² in the denominator of w²: the textbook, and this project, do not.
    squares = ones(SQUARE, SQUARE)
    return {
        "composite_Deconvnet": gradient(Exact(clip=True, mask=False), seed=seed),
        "composite_EpsilonAlpha2Beta1": lrp(small, ab2, seed=seed),
        "composite_EpsilonPlus": lrp(small, ab1, seed=seed),
        "composite_EpsilonPlusFlat": lrp(small, ab1, first=ones(ONES), seed=seed),
        "composite_GuidedBackprop": gradient(Exact(clip=True), seed=seed),
        "epsilon_0_1_first_flat": lrp(TENTH, first=ones(ONES), seed=seed),
        "epsilon_0_1_first_wsquare": lrp(TENTH, first=squares, seed=seed),
        "epsilon_0_1_first_zbox_vggbounds": lrp(TENTH, first=VGG, seed=seed),
        "gradient": gradient(seed=seed),
        "rule_alpha1_beta0": lrp(ab1, seed=seed),
        "rule_alpha2_beta1": lrp(ab2, seed=seed),
        "rule_epsilon_0_1": lrp(TENTH, seed=seed),
        "rule_flat": lrp(ones(ONES), seed=seed),
        "rule_gamma_0_25": lrp(gamma(0.25), seed=seed),
        "rule_wsquare": lrp(squares, seed=seed),
        "rule_zplus": lrp(ab1, seed=seed),
    }


ZENNIT = zennit("logit") | {f"{name}__init1": spec for name, spec in zennit("one").items()}


def difference(model, spec, golden):
    """Return the largest difference relative to the golden map's maximum."""
    network, x, _ = load(model)
    relevance = explain(network, x, spec).relevance.transpose(0, 2, 3, 1)
    return np.abs(relevance - golden).max() / np.abs(golden).max()


@pytest.mark.parametrize("model", MODELS)
def test_logits(model):
    network, x, logits = load(model)
    # The golden logits are float32.
    np.testing.assert_allclose(forward(network, x), logits, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", SIGNXAI)
@pytest.mark.parametrize("model", MODELS)
def test_signxai(model, name):
    golden = np.load(GOLDEN / model / "signxai1_float64.npz")[name]
    # 1e-6: the seeds of guided backpropagation and the deconvnet are float32 logits.
    assert difference(model, SIGNXAI[name], golden) < (1e-6 if SIGNXAI[name].seed == "logit" else 1e-12)


@pytest.mark.parametrize("name", ZENNIT)
@pytest.mark.parametrize("model", MODELS)
def test_zennit(model, name):
    golden = np.load(GOLDEN / model / "zennit.npz")[name]
    # zennit ran in float32, with a stabiliser of 1e-6 in alpha-beta that ours does not have.
    assert difference(model, ZENNIT[name], golden) < 2e-5


def test_textbook_w2_has_no_bias_in_its_denominator():
    golden = np.load(GOLDEN / "dense_digits" / "zennit.npz")["rule_wsquare"]
    assert difference("dense_digits", lrp(ones(SQUARE)), golden) > 1e-3


def test_plain_gamma_is_another_rule_where_inputs_are_negative():
    up = Mix(1.25, 1)
    plain = Rule((Share((Term(KEEP, up, up),)),))
    golden = np.load(GOLDEN / "dense_digits" / "zennit.npz")["rule_gamma_0_25"]
    assert difference("dense_digits", lrp(plain), golden) > 0.1


def test_grad_cam_at_the_input_size():
    network, x, _ = load("cnn_digits")
    golden = np.load(GOLDEN / "cnn_digits" / "signxai1_gradcam.npz")["grad_cam_raw__conv2d"]
    spec = MethodSpec(
        family="cam", composite=Composite([Entry(Where(), Exact())]), cam=Cam(last_conv="conv2d_relu", normalise=True)
    )
    # The golden map is float32 and divided by its maximum.
    np.testing.assert_allclose(explain(network, x, spec).relevance[:, 0], golden, atol=1e-6)
