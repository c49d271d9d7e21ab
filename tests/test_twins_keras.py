"""Recurrent, attention and normalisation layers of Keras have the maps of PyTorch's with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from modern_nets import randomised
from test_twins import METHODS
from torch import nn
from torch.nn import functional as F
from twin_nets import Twin

import signxai_core as sx

keras = pytest.importorskip("keras")
L = keras.layers
F64 = {"dtype": "float64"}


# --- weights: PyTorch's of Keras' ---


def set_weights(layer, module):
    """Give a Keras layer the weights of a module of PyTorch; both orders of gates are written out here."""
    layer.set_weights([array.detach().numpy() for array in KERAS_WEIGHTS[type(layer).__name__](module)])


def dense(module):
    return [module.weight.T, module.bias]


def lstm(module, suffix="l0"):
    w, u, b, d = recurrent(module, suffix)
    return [w.T, u.T, b + d]


def recurrent(module, suffix):
    return [getattr(module, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def gru(module, suffix="l0"):
    """PyTorch's gates are reset, update, new; those of Keras update, reset, new."""
    reset, update, new = torch.arange(3 * module.hidden_size).chunk(3)
    order = torch.cat([update, reset, new])
    w, u, b, d = (array[order] for array in recurrent(module, suffix))
    return [w.T, u.T, torch.stack([b, d])]


def attention(module):
    """(width, heads, width of a head) three times with biases, then the output's (heads, width of a head, width)."""
    width, heads = module.embed_dim, module.num_heads
    inside = zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
    arrays = [array for w, b in inside for array in (w.T.reshape(width, heads, -1), b.reshape(heads, -1))]
    return [*arrays, module.out_proj.weight.T.reshape(heads, -1, width), module.out_proj.bias]


def convolution(module):
    return [module.weight.permute(2, 3, 1, 0), module.bias]


KERAS_WEIGHTS = {
    "Dense": dense,
    "LSTM": lstm,
    "SimpleRNN": lstm,
    "GRU": gru,
    "MultiHeadAttention": attention,
    "Conv2D": convolution,
    "LayerNormalization": lambda module: [module.weight, module.bias],
    "GroupNormalization": lambda module: [module.weight, module.bias],
    "RMSNormalization": lambda module: [module.weight],
}


# --- pairs ---


def sequence_pair(make, cell, suffix_of):
    """Return two recurrent layers of both directions over the same sequences, and their heads."""
    module = cell(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    layers = randomised(nn.ModuleDict({"cell": module, "head": nn.Linear(8, 3)}))
    x = keras.Input((3, 3), **F64)
    first = L.Bidirectional(make(4, return_sequences=True, **F64), **F64)
    second = L.Bidirectional(make(4, return_sequences=True, **F64), **F64)
    head = L.Dense(3, **F64)
    model = keras.Model(x, head(second(first(x))[:, -1]))
    for number, layer in enumerate((first, second)):
        arrays = [*suffix_of(module, f"l{number}"), *suffix_of(module, f"l{number}_reverse")]
        layer.set_weights([array.detach().numpy() for array in arrays])
    set_weights(head, layers["head"])
    return model, Twin(lambda net, x: net.head(net.cell(x)[0][:, -1]), layers), (3, 3)


def chained(shape, keras_layers, modules, run):
    """Return a Keras model of layers and a twin; ``modules`` take the layers with weights in order."""
    layers = randomised(nn.ModuleDict(modules))
    model = keras.Sequential([keras.Input(shape, **F64), *keras_layers])
    with_weights = [layer for layer in model.layers if layer.weights]
    for layer, module in zip(with_weights, layers.values(), strict=True):
        set_weights(layer, module)
    return model, Twin(run, layers), shape


def one_direction(make, cell):
    return chained(
        (4, 3),
        [make(5, **F64), L.Dense(3, **F64)],
        {"cell": cell(3, 5, batch_first=True), "head": nn.Linear(5, 3)},
        lambda net, x: net.head(net.cell(x)[0][:, -1]),
    )


def multi_head_attention():
    """Pre-norm self-attention with a residual sum; Keras rounds the scale 1/√4 to float32, which is exact."""
    modules = {
        "norm": nn.LayerNorm(8, eps=1e-3),
        "attention": nn.MultiheadAttention(8, 2, batch_first=True),
        "head": nn.Linear(8, 3),
    }
    layers = randomised(nn.ModuleDict(modules))
    norm, attend = L.LayerNormalization(**F64), L.MultiHeadAttention(2, 4, **F64)
    head = L.Dense(3, **F64)
    x = keras.Input((4, 8), **F64)
    y = norm(x)
    y = x + attend(y, y)
    model = keras.Model(x, head(L.GlobalAveragePooling1D(**F64)(y)))
    for layer, name in ((norm, "norm"), (attend, "attention"), (head, "head")):
        set_weights(layer, layers[name])

    def run(net, x):
        y = net.norm(x)
        return net.head((x + net.attention(y, y, y, need_weights=False)[0]).mean(1))

    return model, Twin(run, layers), (4, 8)


def normalised(make, norm):
    """A convolution (on channels last), a normalisation over channels, ReLU."""

    def run(net, x):
        y = net.conv(x.movedim(-1, 1))
        y = net.norm(y) if isinstance(net.norm, nn.GroupNorm) else net.norm(y.movedim(1, -1)).movedim(-1, 1)
        return net.head(F.relu(y).mean((2, 3)))

    return chained(
        (5, 5, 3),
        [L.Conv2D(6, 3, **F64), make(**F64), L.ReLU(**F64), L.GlobalAveragePooling2D(**F64), L.Dense(3, **F64)],
        {"conv": nn.Conv2d(3, 6, 3), "norm": norm, "head": nn.Linear(6, 3)},
        run,
    )


def squeeze_excite(gate, function):
    """A gate per channel, as MobileNetV3 and EfficientNet have it."""
    modules = {"conv": nn.Conv2d(3, 6, 3), "fc1": nn.Linear(6, 2), "fc2": nn.Linear(2, 6), "head": nn.Linear(6, 3)}
    layers = randomised(nn.ModuleDict(modules))
    conv, head = L.Conv2D(6, 3, activation="relu", **F64), L.Dense(3, **F64)
    fc1, fc2 = L.Dense(2, activation="relu", **F64), L.Dense(6, activation=gate, **F64)
    x = keras.Input((5, 5, 3), **F64)
    y = conv(x)
    scale = L.Reshape((1, 1, 6), **F64)(fc2(fc1(L.GlobalAveragePooling2D(**F64)(y))))
    y = L.ReLU(**F64)(L.Multiply(**F64)([y, scale]) - 0.1)
    model = keras.Model(x, head(L.GlobalAveragePooling2D(**F64)(y)))
    for layer, name in ((conv, "conv"), (fc1, "fc1"), (fc2, "fc2"), (head, "head")):
        set_weights(layer, layers[name])

    def run(net, x):
        y = F.relu(net.conv(x.movedim(-1, 1)))
        scale = function(net.fc2(F.relu(net.fc1(y.mean((2, 3))))))
        return net.head(F.relu(y * scale[:, :, None, None] - 0.1).mean((2, 3)))

    return model, Twin(run, layers), (5, 5, 3)


def reset_before():
    """A GRU whose reset gate is applied in front of the product, which PyTorch has only step by step."""

    def run(net, x):
        w, u, b, d = recurrent(net.cell, "l0")
        h = x.new_zeros(len(x), 5)
        for t in range(x.shape[1]):
            a = F.linear(x[:, t], w)
            reset, update = torch.sigmoid(a[:, :10] + F.linear(h, u[:10]) + b[:10]).chunk(2, dim=-1)
            new = torch.tanh(a[:, 10:] + F.linear(reset * h, u[10:]) + b[10:])
            h = (1 - update) * new + update * h
        return net.head(h)

    layers = randomised(nn.ModuleDict({"cell": nn.GRU(3, 5, batch_first=True), "head": nn.Linear(5, 3)}))
    model = keras.Sequential([keras.Input((4, 3), **F64), L.GRU(5, reset_after=False, **F64), L.Dense(3, **F64)])
    kernel, recurrent_kernel, biases = (array.detach().numpy() for array in gru(layers["cell"]))
    model.layers[0].set_weights([kernel, recurrent_kernel, biases[0]])
    set_weights(model.layers[1], layers["head"])
    return model, Twin(run, layers), (4, 3)


PAIRS = {
    "lstm": lambda: one_direction(L.LSTM, nn.LSTM),
    "lstm_unrolled": lambda: one_direction(lambda units, **o: L.LSTM(units, unroll=True, **o), nn.LSTM),
    "gru": lambda: one_direction(L.GRU, nn.GRU),
    "gru_reset_before": reset_before,
    "rnn": lambda: one_direction(L.SimpleRNN, nn.RNN),
    "bidirectional_lstm": lambda: sequence_pair(L.LSTM, nn.LSTM, lstm),
    "bidirectional_gru": lambda: sequence_pair(L.GRU, nn.GRU, gru),
    "attention": multi_head_attention,
    "layer_norm": lambda: normalised(L.LayerNormalization, nn.LayerNorm(6, eps=1e-3)),
    "rms_norm": lambda: normalised(L.RMSNormalization, nn.RMSNorm(6, eps=1e-6)),
    "group_norm": lambda: normalised(lambda **o: L.GroupNormalization(2, **o), nn.GroupNorm(2, 6, eps=1e-3)),
    "instance_norm": lambda: normalised(lambda **o: L.GroupNormalization(-1, **o), nn.GroupNorm(6, 6, eps=1e-3)),
    "se_sigmoid": lambda: squeeze_excite("sigmoid", torch.sigmoid),
    "se_hard_sigmoid": lambda: squeeze_excite("hard_sigmoid", F.hardsigmoid),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_keras_and_pytorch_agree(pair):
    model, twin, shape = PAIRS[pair]()
    x = np.random.default_rng(2).normal(size=(2, *shape))
    expected = sx.explain_many(twin.eval(), x, METHODS)
    ours = sx.explain_many(model, x, METHODS)
    for method, right in expected.items():
        np.testing.assert_allclose(ours[method].output, right.output, rtol=1e-9, atol=1e-12)
        apart = np.abs(ours[method].relevance - right.relevance).max()
        assert apart <= 1e-7 * np.abs(right.relevance).max(), f"{method}: {apart:.1e}"
