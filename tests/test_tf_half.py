"""Models of half types: recorded and walked in float32, so that their maps are those of the float32 model."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from tf_nets import relative  # noqa: E402

from signxai_tf import trace  # noqa: E402

L = keras.layers
METHODS = [
    "gradient",
    "lrp_epsilon_0_1",
    "lrp_sequential_composite_b",
    "lrpsign_epsilon_0_25_std_x",
]
NETS = {
    "plain": lambda: [L.Conv2D(8, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), L.Dense(5)],
    "normalised": lambda: [L.Conv2D(8, 3), L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D(), L.Dense(5)],
    "depthwise": lambda: [L.DepthwiseConv2D(3), L.LayerNormalization(), L.Activation("gelu"), L.Flatten(), L.Dense(5)],
    "recurrent": lambda: [L.Reshape((16, 48)), L.LSTM(6), L.Dropout(0.5), L.Dense(5, activation="softmax")],
}
X = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32") * 60


def built(policy, make, **options):
    """Return a model that was built under a policy, with the same weights under each."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        return make(**options)
    finally:
        keras.config.set_dtype_policy(before)


def twins(policy, make, **options):
    wide, narrow = built("float32", make, **options), built(policy, make, **options)
    for layer in wide.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0  # random weights need statistics, or little of the input arrives at the output
    wide(np.random.default_rng(1).uniform(-1, 1, (8, *wide.input_shape[1:])), training=True)
    narrow.set_weights(wide.get_weights())
    if "mixed" not in policy:  # its weights have been rounded
        wide.set_weights([weight.astype("float32") for weight in narrow.get_weights()])
    return wide, narrow


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def compiled(request, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0 if request.param else 2**30)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
@pytest.mark.parametrize("name", NETS)
def test_maps_are_those_of_the_float32_model(name, policy):
    wide, narrow = twins(policy, lambda: keras.Sequential([keras.Input(X.shape[1:]), *NETS[name]()]))
    x = X if policy == "mixed_float16" else X.astype("float16").astype("float32")
    methods = METHODS[:4] if name in ("plain", "normalised") else METHODS[:1]
    expected, found = (sx.explain_many(model, x, methods, 1) for model in (wide, narrow))
    for method in methods:
        assert found[method].relevance.dtype == np.float32
        assert relative(found[method].relevance, expected[method].relevance) < 1e-5, method
        assert [row.kind for row in found[method].plan.rows] == [row.kind for row in expected[method].plan.rows]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNet"])
def test_applications(name, monkeypatch):
    """In float16, VGG16's maps are zero and composite b on ResNet50 is 700,000 times too large."""
    monkeypatch.setattr(trace, "WORTH_COMPILING", 2**30)  # compiling takes longer than the walks
    options = {"weights": None, "input_shape": (32, 32, 3), "classes": 10, "classifier_activation": None}
    wide, narrow = twins("mixed_float16", getattr(keras.applications, name), **options)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    methods = METHODS
    expected, found = (sx.explain_many(model, x, methods, 1) for model in (wide, narrow))
    for method in methods:
        assert relative(found[method].relevance, expected[method].relevance) < 1e-4, method


def test_functions_that_read_half_types():
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(tf.constant([[1e-3, 2.0], [3.0, 4.0]], tf.float16))
            self.table = tf.Variable(tf.constant([1.0, 3.0], tf.float16))

        def __call__(self, x):
            self.table.assign_add([1.0, 1.0])
            scale = tf.gather(self.table, [1, 0]) * tf.constant(0.5, tf.float16)
            return tf.matmul(tf.cast(x, tf.float16), self.weight) * scale

    found = sx.explain(Module(), np.ones((1, 2), np.float16), "gradient", 0)
    assert found.relevance.dtype == np.float32
    np.testing.assert_allclose(found.relevance, [[2 * float(np.float16(1e-3)), 6]], rtol=1e-6)
