"""A ReLU is a ReLU however a Keras model writes it, run operation by operation or compiled."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_nets  # noqa: F401 - quietens TensorFlow

import signxai_core as sx
from signxai_tf import trace

L, K = keras.layers, keras.ops
FORMS = {
    "relu": tf.nn.relu,
    "maximum": lambda x: tf.maximum(x, 0.0),
    "maximum, zero first": lambda x: tf.maximum(tf.constant(0.0, x.dtype), x),
    "maximum, zeros": lambda x: tf.maximum(x, tf.zeros_like(x)),
    "keras maximum": lambda x: K.maximum(x, 0),
    "keras relu": lambda x: keras.activations.relu(x, threshold=0.0),
    "clip": lambda x: tf.clip_by_value(x, 0.0, np.inf),
    "keras clip": lambda x: K.clip(x, 0, np.inf),
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, alpha=0.0),
    "threshold": lambda x: keras.activations.threshold(x, 0.0, 0.0),
    "where": lambda x: tf.where(x > 0, x, tf.constant(0.0, x.dtype)),
    "where, zeros": lambda x: tf.where(x > 0, x, tf.zeros_like(x)),
    "where, >=": lambda x: tf.where(x >= 0, x, tf.zeros_like(x)),
    "where, <": lambda x: tf.where(x < 0, tf.zeros_like(x), x),
    "where, <=": lambda x: tf.where(x <= 0, tf.constant(0.0, x.dtype), x),
    "where, not": lambda x: tf.where(tf.logical_not(x > 0), tf.zeros_like(x), x),
    "where, reflected": lambda x: tf.where(tf.less(tf.zeros_like(x), x), x, tf.zeros_like(x)),
    "keras where": lambda x: K.where(K.greater(x, 0), x, 0),
    "times mask": lambda x: x * tf.cast(x > 0, x.dtype),
    "mask times": lambda x: tf.cast(x >= 0, x.dtype) * x,
    "keras times mask": lambda x: x * K.cast(K.greater(x, K.zeros_like(x)), x.dtype),
    "times a mask of a stopped gradient": lambda x: x * tf.cast(tf.stop_gradient(x) > 0, x.dtype),
}
OTHERS = {
    "another tensor's mask": lambda x: tf.where(tf.reverse(x, [1]) > 0, x, tf.zeros_like(x)),
    "threshold above": lambda x: tf.where(x > 0.1, x, tf.zeros_like(x)),
    "other value": lambda x: tf.where(x > 0, x, -tf.ones_like(x)),
    "the negative part": lambda x: tf.where(x < 0, x, tf.zeros_like(x)),
    "times the wrong mask": lambda x: x * tf.cast(x < 0, x.dtype),
    "minimum": lambda x: tf.minimum(x, 0.0),
    "maximum of one": lambda x: tf.maximum(x, 1.0),
    "leaky": lambda x: tf.nn.leaky_relu(x, alpha=0.1),
    "leaky where": lambda x: tf.where(x > 0, x, 0.1 * x),
}


def _net(form):
    """Return two convolutions and two activations of one form."""
    keras.utils.set_random_seed(3)
    x = keras.Input((8, 8, 2), dtype="float64")
    activation = lambda name: L.Lambda(form, name=name, dtype="float64", output_shape=lambda shape: shape)  # noqa: E731
    y = activation("first")(L.Conv2D(4, 3, name="one", dtype="float64")(x))
    y = activation("second")(L.Conv2D(4, 3, name="two", dtype="float64")(y))
    y = L.Dense(3, name="logits", dtype="float64")(L.GlobalAveragePooling2D(dtype="float64")(y))
    return keras.Model(x, y)


X = np.random.default_rng(5).normal(size=(2, 8, 8, 2))
METHODS = ["gradient", "guided_backprop", "deconvnet", "lrp_z", "lrp_sequential_composite_b"]


@pytest.fixture(scope="module")
def plain():
    return sx.explain_many(_net(tf.nn.relu), X, METHODS, 1)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_relu_in_tensorflow(form, plain):
    net = _net(FORMS[form])
    for name, given in sx.explain_many(net, X, METHODS, 1).items():
        np.testing.assert_allclose(given.relevance, plain[name].relevance, rtol=0, atol=1e-12, err_msg=name)
    assert [row.rule for row in sx.plan(net, X, "deconvnet").rows].count("clip, then unmasked VJP") == 2


@pytest.mark.parametrize("form", ["maximum, zeros", "where, zeros", "times mask"])
def test_every_form_of_a_relu_compiled(form, plain, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    for name, given in sx.explain_many(_net(FORMS[form]), X, METHODS, 1).items():
        np.testing.assert_allclose(given.relevance, plain[name].relevance, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("form", OTHERS)
def test_what_is_no_relu_stays_that_in_tensorflow(form):
    rows = sx.plan(_net(OTHERS[form]), X, "guided_backprop").rows
    assert "clip, then exact VJP" not in {row.rule for row in rows}
