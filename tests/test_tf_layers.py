"""Normalisations, attention and recurrent layers of Keras, recorded as the operations that other frameworks have."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import signxai_core as sx

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
from test_tf_operations import check, record  # noqa: E402
from tf_nets import relative  # noqa: E402

from signxai_tf import trace  # noqa: E402

L = keras.layers
RNG = np.random.default_rng(7)
TIMES = 3
SERIES = RNG.normal(size=(2, TIMES, 6))
IMAGES = RNG.normal(size=(2, 4, 3, 6))
DOUBLE = {"dtype": "float64"}


def model(layer, x=SERIES):
    """Return a model of one layer, with weights other than the initial ones."""
    keras.utils.set_random_seed(0)
    given = keras.Input(x.shape[1:], **DOUBLE)
    made = keras.Model(given, layer(given))
    random = np.random.default_rng(1)
    made.set_weights([random.normal(size=weight.shape) / 2 for weight in made.get_weights()])
    return made


def group(recording, name=None):
    """Return kind and function of the operations of one group."""
    return [(op.kind, op.function) for op in recording.operations if (op.group and op.group[0]) == name]


def names(recording, name=None):
    return [function for _, function in group(recording, name)]


def gradient(net, x):
    point = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = tf.reduce_sum(tf.reduce_max(tf.reshape(net(point), [len(x), -1]), axis=1))
    return tape.gradient(value, point).numpy()


NORMS = {
    "layer norm": (L.LayerNormalization(**DOUBLE), SERIES, "layer_norm"),
    "layer norm of two axes": (L.LayerNormalization(axis=[1, 2], **DOUBLE), SERIES, "layer_norm"),
    "layer norm of another axis": (L.LayerNormalization(axis=1, **DOUBLE), SERIES, "layer_norm"),
    "layer norm of images": (L.LayerNormalization(**DOUBLE), IMAGES, "layer_norm"),
    "without bias": (L.LayerNormalization(center=False, **DOUBLE), SERIES, "layer_norm"),
    "without weight": (L.LayerNormalization(scale=False, **DOUBLE), SERIES, "layer_norm"),
    "without both": (L.LayerNormalization(scale=False, center=False, **DOUBLE), SERIES, "layer_norm"),
    "group norm": (L.GroupNormalization(3, **DOUBLE), IMAGES, "group_norm"),
    "instance norm": (L.GroupNormalization(-1, **DOUBLE), IMAGES, "instance_norm"),
}
LAST = {"without bias": ["mul"], "without weight": ["add"], "without both": []}


@pytest.mark.parametrize("name", NORMS)
def test_normalisations(name):
    layer, x, kind = NORMS[name]
    net = model(layer, x)
    recording = record(net, x)
    found = [one for one in group(recording, kind) if one[0] != "shape"]
    wanted = ["mean", "sub", "square", "mean", "add", "rsqrt", "mul", *LAST.get(name, ["affine"])]
    assert [function for _, function in found] == wanted
    assert [one for one, _ in found[6:]] == ["product", *["scaling"] * (len(wanted) - 7)]
    difference, product = (op for op in recording.operations if op.function in ("sub", "mul") and len(op.inputs) == 2)
    assert product.inputs[0] == difference.outputs[0]
    check(net, x)


def test_root_mean_square_and_unit_normalisations():
    net = model(L.RMSNormalization(**DOUBLE))
    assert names(record(net, SERIES), "rms_norm") == ["square", "mean", "add", "rsqrt", "mul", "mul"]
    check(net, SERIES)
    net = model(L.UnitNormalization(**DOUBLE))
    assert names(record(net, SERIES), "normalize") == ["square", "sum", "rsqrt", "clamp", "mul"]
    check(net, SERIES)


def test_a_normalisation_in_the_form_of_tensorflow_is_that_of_others():
    def written(x):
        mean, variance = tf.nn.moments(x, [2], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, tf.range(6.0, dtype=x.dtype), 2.0, 1e-3)

    recording = record(written, SERIES)
    found = [op.function for op in recording.operations]
    assert found == ["mean", "sub", "square", "mean", "add", "rsqrt", "mul", "mul", "add"]
    check(written, SERIES)


def test_a_layer_that_is_called_twice_has_two_groups():
    layer = L.LayerNormalization(**DOUBLE)
    recording = record(model(lambda x: layer(layer(x))), SERIES)
    assert [number for (_, number), _ in itertools.groupby(op.group for op in recording.operations)] == [0, 1]


ATTENTION = {
    "several heads": lambda x: L.MultiHeadAttention(2, 3, **DOUBLE)(x, x),
    "causal": lambda x: L.MultiHeadAttention(2, 3, **DOUBLE)(x, x, use_causal_mask=True),
    "another width": lambda x: L.MultiHeadAttention(3, 2, value_dim=4, output_shape=7, **DOUBLE)(x, x),
    "one head": lambda x: L.MultiHeadAttention(1, 4, **DOUBLE)(x, x),
    "grouped": lambda x: L.GroupQueryAttention(3, 4, 2, **DOUBLE)(x, x),
    "plain": lambda x: L.Attention(**DOUBLE)([x, 2 * x]),
    "with a scale": lambda x: L.Attention(use_scale=True, **DOUBLE)([x, x]),
    "additive": lambda x: L.AdditiveAttention(**DOUBLE)([x, 2 * x]),
    "masked": lambda x: L.MultiHeadAttention(2, 3, **DOUBLE)(x, x, attention_mask=np.tri(TIMES, dtype=bool)[None]),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name):
    net = model(ATTENTION[name])
    recording = record(net, SERIES)
    inside = group(recording, "attention")
    assert ("softmax", "softmax") in inside
    assert [kind for kind, _ in inside if kind == "matrix_product"] == ["matrix_product"] * (1 + (name != "additive"))
    assert not {"other", "dense"} & {kind for kind, _ in inside}
    check(net, SERIES)


@pytest.mark.parametrize("name", ["several heads", "causal", "one head", "grouped"])
def test_projections_are_dense_with_a_bias(name):
    found = [op for op in record(model(ATTENTION[name]), SERIES).operations if op.kind == "dense"]
    assert len(found) == 4
    assert all("bias" in op.parameters and op.channel_axis == 2 for op in found)
    assert "scaling" not in {op.kind for op in record(model(ATTENTION[name]), SERIES).operations if not op.group}


EQUATIONS = {
    "abc,cd->abd": ((None, 4), "d", ["linear"]),
    "abc,cde->abde": ((None, 2, 3), "de", ["linear", "reshape"]),
    "abc,cde->abde without": ((None, 2, 3), None, ["linear", "reshape"]),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_einsum_dense(name):
    shape, bias, wanted = EQUATIONS[name]
    net = model(L.EinsumDense(name.removesuffix(" without"), output_shape=shape, bias_axes=bias, **DOUBLE))
    recording = record(net, SERIES)
    assert [op.function for op in recording.operations] == wanted
    assert ("bias" in recording.operations[0].parameters) == (bias is not None)
    check(net, SERIES)


RECURRENT = {
    "lstm": (L.LSTM, {}),
    "lstm, gate by gate": (L.LSTM, {"implementation": 1}),
    "lstm with other functions": (L.LSTM, {"activation": "relu", "recurrent_activation": "hard_sigmoid"}),
    "lstm backwards": (L.LSTM, {"go_backwards": True, "return_sequences": True}),
    "lstm unrolled": (L.LSTM, {"unroll": True}),
    "lstm without bias": (L.LSTM, {"use_bias": False}),
    "gru": (L.GRU, {}),
    "gru, gate by gate": (L.GRU, {"implementation": 1}),
    "gru, reset before": (L.GRU, {"reset_after": False}),
    "gru, reset before, gate by gate": (L.GRU, {"reset_after": False, "implementation": 1}),
    "gru unrolled": (L.GRU, {"unroll": True, "return_sequences": True}),
    "rnn": (L.SimpleRNN, {}),
    "rnn backwards": (L.SimpleRNN, {"go_backwards": True}),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name):
    layer, options = RECURRENT[name]
    net = model(layer(3, **options, **DOUBLE))
    recording = record(net, SERIES)
    operations = recording.operations
    assert {op.group for op in operations} == {(name.split()[0].strip(","), 0)}
    assert "other" not in {op.kind for op in operations}
    products = [op for op in operations if op.kind == "dense"]
    assert all("bias" not in op.parameters and op.channel_axis is None for op in products)
    made = {tensor: op for op in operations for tensor in op.outputs}
    for op in operations:
        if op.kind == "sum" and all(made[tensor].kind == "dense" for tensor in op.inputs):
            after = [other for other in operations if other.inputs == op.outputs]
            assert [other.kind for other in after] == ["shape" if "without" in name else "scaling"]
    check(net, SERIES)


def test_implementations_agree():
    for layer, options in ((L.LSTM, {}), (L.GRU, {}), (L.GRU, {"reset_after": False})):
        one, two = (model(layer(3, implementation=way, **options, **DOUBLE)) for way in (1, 2))
        methods = ["lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_epsilon_0_5_std_x", "flatlrp_z"]
        for method in methods:
            maps = [sx.explain(net, SERIES, method, strict=False).relevance for net in (one, two)]
            assert relative(*maps) < 1e-9, (layer, method)


CELLS = {
    "a cell": L.RNN(L.LSTMCell(3, **DOUBLE), **DOUBLE),
    "two cells": L.RNN(L.StackedRNNCells([L.GRUCell(3, **DOUBLE), L.GRUCell(2, **DOUBLE)], **DOUBLE), **DOUBLE),
    "both directions": L.Bidirectional(L.LSTM(3, return_sequences=True, **DOUBLE), **DOUBLE),
    "their sum": L.Bidirectional(L.GRU(3, **DOUBLE), merge_mode="sum", **DOUBLE),
    "one after the other": lambda x: L.LSTM(2, **DOUBLE)(L.LSTM(3, return_sequences=True, **DOUBLE)(x)),
    "a mask": lambda x: L.LSTM(3, **DOUBLE)(L.Masking(0.0, **DOUBLE)(x)),
    "a first state": lambda x: L.LSTM(3, **DOUBLE)(x, initial_state=[x[:, 0, :3], x[:, 1, 3:]]),
    "convolutional": lambda x: L.ConvLSTM1D(2, 3, **DOUBLE)(keras.ops.reshape(x, (-1, TIMES, 6, 1))),
}
GROUPS = {"a cell": 1, "two cells": 1, "both directions": 2, "their sum": 2, "one after the other": 2, "a mask": 1}
MASKED = np.where(np.arange(TIMES)[None, :, None] < np.array([[[TIMES]], [[2]]]), SERIES, 0.0)


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_layers_of_cells(name):
    x = MASKED if name == "a mask" else SERIES
    net = model(CELLS[name])
    recording = record(net, x)
    numbers = {op.group for op in recording.operations if op.group}
    assert len(numbers) == GROUPS.get(name, len(numbers))
    assert "other" not in {op.kind for op in recording.operations}
    check(net, x)


@pytest.mark.parametrize("name", [*NORMS, *ATTENTION, *RECURRENT, *CELLS])
def test_compiled_gradients(name, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    x = NORMS[name][1] if name in NORMS else MASKED if name == "a mask" else SERIES
    if name in RECURRENT:
        layer, options = RECURRENT[name]
        net = model(layer(3, **options, **DOUBLE))
    else:
        net = model(NORMS[name][0] if name in NORMS else (ATTENTION | CELLS)[name], x)
    found = sx.explain(lambda x: tf.reshape(net(x), [tf.shape(x)[0], -1]), x, "gradient", backend="tensorflow")
    assert relative(found.relevance, gradient(net, x)) < 1e-10
