"""Weights of normalisations, attention and recurrent layers from Keras to PyTorch and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import torch
from torch import nn

import signxai_core as sx
from signxai_core.errors import ModelError
from signxai_tf.porting import copy_weights

#: Keras 3.15 with NumPy 2.4, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

L = keras.layers
DOUBLE = {"dtype": "float64"}
SERIES = np.random.default_rng(2).normal(size=(2, 5, 8))
IMAGES = np.random.default_rng(3).normal(size=(2, 3, 4, 6))


class First(nn.Module):
    """The first result of a layer that returns several."""

    def __init__(self, inner, run=None):
        super().__init__()
        self.inner = inner
        self.run = run or (lambda inner, x: inner(x)[0])

    def forward(self, x):
        return self.run(self.inner, x)


class ChannelsLast(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.movedim(-1, 1)).movedim(1, -1)


# Keras rounds one over the root of a head's width to single precision; that of 4 is exact.
def attended(inner, x):
    return inner(x, x, x, need_weights=False)[0]


def series(**options):
    return {"return_sequences": True, **options, **DOUBLE}


CASES = {
    "lstm": (lambda: L.LSTM(4, **series()), lambda: First(nn.LSTM(8, 4, batch_first=True))),
    "lstm without bias": (
        lambda: L.LSTM(4, **series(use_bias=False)),
        lambda: First(nn.LSTM(8, 4, batch_first=True, bias=False)),
    ),
    "gru": (lambda: L.GRU(4, **series()), lambda: First(nn.GRU(8, 4, batch_first=True))),
    "gru without bias": (
        lambda: L.GRU(4, **series(use_bias=False)),
        lambda: First(nn.GRU(8, 4, batch_first=True, bias=False)),
    ),
    "rnn": (lambda: L.SimpleRNN(4, **series()), lambda: First(nn.RNN(8, 4, batch_first=True))),
    "rnn with relu": (
        lambda: L.SimpleRNN(4, **series(activation="relu")),
        lambda: First(nn.RNN(8, 4, nonlinearity="relu", batch_first=True)),
    ),
    "both directions": (
        lambda: L.Bidirectional(L.LSTM(4, **series()), **DOUBLE),
        lambda: First(nn.LSTM(8, 4, batch_first=True, bidirectional=True)),
    ),
    "gru in both directions": (
        lambda: L.Bidirectional(L.GRU(4, **series()), **DOUBLE),
        lambda: First(nn.GRU(8, 4, batch_first=True, bidirectional=True)),
    ),
    "attention": (
        lambda: lambda x: L.MultiHeadAttention(2, 4, **DOUBLE)(x, x),
        lambda: First(nn.MultiheadAttention(8, 2, batch_first=True), attended),
    ),
    "attention without bias": (
        lambda: lambda x: L.MultiHeadAttention(2, 4, use_bias=False, **DOUBLE)(x, x),
        lambda: First(nn.MultiheadAttention(8, 2, bias=False, batch_first=True), attended),
    ),
    "einsum dense": (
        lambda: L.EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d", **DOUBLE),
        lambda: nn.Linear(8, 4),
    ),
    "layer norm": (lambda: L.LayerNormalization(epsilon=1e-5, **DOUBLE), lambda: nn.LayerNorm(8)),
    "rms norm": (lambda: L.RMSNormalization(epsilon=1e-6, **DOUBLE), lambda: nn.RMSNorm(8, eps=1e-6)),
    "group norm": (
        lambda: L.GroupNormalization(3, epsilon=1e-5, **DOUBLE),
        lambda: ChannelsLast(nn.GroupNorm(3, 6)),
    ),
    "instance norm": (
        lambda: L.GroupNormalization(-1, epsilon=1e-5, **DOUBLE),
        lambda: ChannelsLast(nn.InstanceNorm2d(6, affine=True)),
    ),
}


def models(name):
    ours, theirs = CASES[name]
    x = IMAGES if name in ("group norm", "instance norm") else SERIES
    given = keras.Input(x.shape[1:], **DOUBLE)
    model = keras.Model(given, ours()(given))
    random = np.random.default_rng(4)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    module = theirs().double().eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.from_numpy(random.normal(size=tensor.shape)))
    return model, module, x


def differ(model, module, x):
    return np.abs(model(x, training=False).numpy() - module(torch.from_numpy(x)).detach().numpy()).max()


@pytest.mark.parametrize("name", CASES)
def test_both_ways(name):
    model, module, x = models(name)
    assert differ(model, module, x) > 1e-3
    assert len(copy_weights(model, module)) == 1
    assert differ(model, module, x) < 1e-12
    model, module, x = models(name)
    copy_weights(module, model)
    assert differ(model, module, x) < 1e-12


class Flat(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).flatten(1)


METHODS = ["lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_epsilon_0_5_std_x", "lrp_attn"]


@pytest.mark.parametrize("name", CASES)
def test_both_frameworks_give_the_same_maps(name):
    model, module, x = models(name)
    copy_weights(model, module)
    flat = keras.Model(model.input, L.Flatten(**DOUBLE)(model.output))
    ours, theirs = (sx.explain_many(one, x, METHODS) for one in (flat, Flat(module)))
    for method in METHODS:
        first, second = ours[method].relevance, theirs[method].relevance
        assert np.abs(second).max() > 0
        assert np.abs(first - second).max() <= 1e-9 * np.abs(second).max(), method


def test_parts_of_attention_have_twins_of_their_own():
    """A PyTorch model with four dense layers in place of ``nn.MultiheadAttention``."""
    model, _, x = models("attention")
    linear = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("query", "key", "value", "out")}).double()
    pairs = copy_weights(model, linear)
    assert [two for _, two in pairs] == ["query", "key", "value", "out"]
    heads = [
        linear[name](torch.from_numpy(x)).unflatten(-1, (2, 4)).transpose(1, 2) for name in ("query", "key", "value")
    ]
    joined = nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    assert np.abs(model(x).numpy() - linear["out"](joined).detach().numpy()).max() < 1e-12


REFUSED = [
    (L.GRU(4, reset_after=False, **DOUBLE), lambda: nn.GRU(8, 4), "has reset_after = False, PyTorch's is True"),
    (L.GRU(4, **DOUBLE), lambda: nn.LSTM(8, 4), "the twin of a GRUCell is a torch.nn.GRU"),
    (L.SimpleRNN(4, **DOUBLE), lambda: nn.RNN(8, 4, nonlinearity="relu"), "activation = 'tanh', PyTorch's is relu"),
    (L.LSTM(4, **DOUBLE), lambda: nn.LSTM(8, 4, num_layers=2), "the PyTorch layer has num_layers = 2"),
    (L.GroupNormalization(2, epsilon=1e-5, **DOUBLE), lambda: nn.GroupNorm(4, 8), "groups differ: 2 in Keras, 4"),
    (
        L.EinsumDense("abc,bd->adc", output_shape=(4, 8), **DOUBLE),
        lambda: nn.Linear(5, 4),
        "the equation 'abc,bd->adc' is no dense layer on the last axes",
    ),
    (lambda x: L.MultiHeadAttention(2, 3, **DOUBLE)(x, x), lambda: nn.MultiheadAttention(8, 2), "widths differ: 6 in"),
    (lambda x: L.MultiHeadAttention(4, 2, **DOUBLE)(x, x), lambda: nn.MultiheadAttention(8, 2), "of heads differ: 4"),
]


@pytest.mark.parametrize(("layer", "twin", "text"), REFUSED)
def test_what_computes_something_else_is_refused(layer, twin, text):
    given = keras.Input(SERIES.shape[1:], **DOUBLE)
    model = keras.Model(given, layer(given))
    before = model.get_weights()
    module = twin().double()
    for source, destination in ((model, module), (module, model)):
        with pytest.raises(ModelError, match=text):
            copy_weights(source, destination)
    assert all(np.array_equal(one, two) for one, two in zip(before, model.get_weights(), strict=True))
