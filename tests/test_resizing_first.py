"""A resizing in front of the first layer is passed, as padding and constant scaling are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn
from torch.nn import functional as F

import signxai_core as sx

X = np.random.default_rng(1).normal(size=(2, 3, 8, 8))
#: Prefixes whose rules ask for the first layer's own input.
NAMES = {
    "lrpsign_epsilon_0_1": {},
    "lrpsign_epsilon_0_1_mu_0_25": {},
    "w2lrp_epsilon_0_1": {},
    "flatlrp_alpha_1_beta_0": {},
    "zblrp_epsilon_0_1": {"low": -5.0, "high": 5.0},
    "lrp_epsilon_plus_flat": {},
}
RESIZINGS = {
    "nearest": {"mode": "nearest"},
    "bilinear": {"mode": "bilinear"},
    "aligned": {"mode": "bilinear", "align_corners": True},
    "antialias": {"mode": "bilinear", "antialias": True},
    "bicubic": {"mode": "bicubic"},
    "area": {"mode": "area"},
}


class Net(nn.Module):
    """Resizing, optionally behind a shift, in front of a small network."""

    def __init__(self, *, shift: float = 0.0, **options) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.fc = nn.Conv2d(3, 4, 3).double(), nn.Linear(4, 3).double()
        self.options, self.shift = options, shift

    def forward(self, x):
        x = x + self.shift if self.shift else x
        x = F.interpolate(x, size=(6, 6), **self.options) if self.options else x
        return self.fc(F.relu(self.conv(x)).mean(dim=(2, 3)))


def pulled(model, name, **parameters):
    """Return the map of the model without resizing on resized inputs, handed back by the resizing's weights."""
    x = torch.as_tensor(X).requires_grad_()
    small = F.interpolate(x + model.shift, size=(6, 6), **model.options)
    relevance = sx.explain(Net(), small.detach().numpy(), name, 1, **parameters).relevance
    small.backward(torch.as_tensor(relevance))
    return x.grad.numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", RESIZINGS)
def test_resizing_is_passed(mode, name):
    model = Net(**RESIZINGS[mode])
    given = sx.explain(model, X, name, 1, **NAMES[name])
    np.testing.assert_allclose(given.relevance, pulled(model, name, **NAMES[name]), rtol=1e-9, atol=1e-13)
    rows = given.plan.rows
    assert [row.operation for row in rows if row.why in ("input layer", "first")] == ["conv (conv2d)"]


def test_a_shift_in_front_of_the_resizing_hands_relevance_on():
    model = Net(shift=0.5, mode="bilinear")
    for name, parameters in NAMES.items():
        given = sx.explain(model, X, name, 1, **parameters).relevance
        np.testing.assert_allclose(given, pulled(model, name, **parameters), rtol=1e-9, atol=1e-13)


def test_without_a_rule_of_its_own_the_resizing_has_the_chains():
    rows = sx.plan(Net(mode="bilinear"), X, "lrpz_epsilon_0_1").rows
    assert [(row.kind, row.rule) for row in rows[:2]] == [("interpolation", "norm"), ("convolution", "z")]
    assert [row.rule for row in sx.plan(Net(mode="bilinear"), X, "lrp_epsilon_0_1").rows[:1]] == ["norm"]


def test_an_array_of_thresholds_is_resized_with_the_input():
    mu = np.random.default_rng(2).normal(size=(3, 8, 8))
    small = F.interpolate(torch.as_tensor(mu)[None], size=(6, 6), mode="bilinear")[0].numpy()
    model = Net(mode="bilinear")
    given = sx.explain(model, X, "lrpsign_epsilon_0_1", 1, mu=mu).relevance
    np.testing.assert_allclose(given, pulled(model, "lrpsign_epsilon_0_1", mu=small), rtol=1e-9, atol=1e-13)


def test_bicubic_numbers_may_be_negative_where_the_input_is_not():
    """Nothing may rely on the sign of what overshoots: alpha-beta parts negative inputs from positive ones."""
    model = Net(mode="bicubic")
    x = np.where(X > 0.5, 10.0, 0.0)
    small = F.interpolate(torch.as_tensor(x), size=(6, 6), mode="bicubic").numpy()
    assert small.min() < 0
    name = "flatlrp_alpha_2_beta_1"
    for one in (model, Net()):
        assert np.isfinite(sx.explain(one, x if one is model else small, name, 1).relevance).all()
    own, theirs = (
        sx.explain(one, values, "lrp_alpha_2_beta_1", 1).conservation.total
        for one, values in ((model, x), (Net(), small))
    )
    np.testing.assert_allclose(own, theirs, rtol=1e-6)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])  # TensorFlow has no derivative of area
def test_resizing_in_keras(interpolation, antialias):
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3), dtype="float32")
    resizing = keras.layers.Lambda(
        lambda y: tf.image.resize(y, (6, 6), method=interpolation, antialias=antialias), name="resizing"
    )
    conv, dense = keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Dense(3)
    pool = keras.layers.GlobalAveragePooling2D()
    whole = keras.Model(x, dense(pool(conv(resizing(x)))))
    small = keras.Input((6, 6, 3))
    bare = keras.Model(small, dense(pool(conv(small))))
    data = tf.constant(X.transpose(0, 2, 3, 1), "float32")
    with tf.GradientTape() as tape:
        tape.watch(data)
        resized = resizing(data)
    relevance = sx.explain(bare, resized, "lrpsign_epsilon_0_1", 1).relevance
    expected = tape.gradient(resized, data, relevance)
    given = sx.explain(whole, data.numpy(), "lrpsign_epsilon_0_1", 1).relevance
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_keras_own_resizing_layer():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Resizing(6, 6),
            keras.layers.Conv2D(4, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    x = np.abs(X.transpose(0, 2, 3, 1)).astype("float32") * 100
    for name in ("lrpsign_epsilon_0_1", "flatlrp_epsilon_0_1"):
        given = sx.explain(model, x, name, 1)
        assert given.plan.rows[0].why == "on the way to the first layer"
        assert np.isfinite(given.relevance).all()
