"""Layers of Keras have the maps of their twins in PyTorch.

Networks that are built alike in both frameworks: test_equivalence.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import signxai_core as sx

keras = pytest.importorskip("keras")
L = keras.layers

METHODS = [
    "gradient",
    "guided_backprop",
    "deconvnet",
    "integrated_gradients",
    "lrp_z",
    "lrp_epsilon_0_1",
    "lrp_alpha_2_beta_1",
    "lrp_gamma_0_25",
    "lrpsign_z",
    "w2lrp_epsilon_0_1",
    "flatlrp_epsilon_0_1",
    "zblrp_epsilon_0_1",
    "lrp_sequential_composite_a",
]


def last(x):
    return np.moveaxis(x, 1, -1)


def twin(keras_layers, torch_layers, shape):
    """Return both models; ``torch_layers`` take the weights of the Keras layers of the same number."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape, dtype="float64"), *keras_layers])
    torch_layers = [*torch_layers, ChannelsLastFlatten(), nn.Linear(*keras_layers[-1].kernel.shape)]
    random = np.random.default_rng(4)
    for variable in model.variables:
        low, high = (0.5, 2.0) if "variance" in variable.name else (-1.0, 1.0)
        variable.assign(random.uniform(low, high, variable.shape) / (1 if variable.shape.rank == 1 else 3))
    for ours, theirs in zip(keras_layers, torch_layers, strict=True):
        copy_weights(ours, theirs)
    return model, nn.Sequential(*torch_layers).double().eval()


def copy_weights(ours, theirs):
    arrays = [v.numpy() for v in ours.weights]
    modules = [m for m in theirs.modules() if getattr(m, "weight", None) is not None]
    if isinstance(ours, L.BatchNormalization):
        gamma, beta, mean, variance = map(torch.tensor, arrays)
        theirs.weight.data, theirs.bias.data, theirs.running_mean, theirs.running_var = gamma, beta, mean, variance
    elif modules:
        modules[-1].bias.data = torch.tensor(arrays.pop())
        depthwise = [isinstance(ours, (L.DepthwiseConv2D, L.SeparableConv2D)), False]
        for module, kernel, deep in zip(modules, arrays, depthwise, strict=False):
            module.weight.data = torch.tensor(turned(kernel, depthwise=deep))


def turned(kernel, *, depthwise):
    """Return a Keras kernel (*window, in, out) as PyTorch's."""
    rank = kernel.ndim
    if depthwise:
        moved = kernel.transpose(rank - 2, rank - 1, *range(rank - 2))
        return moved.reshape(-1, 1, *moved.shape[2:]).copy()
    return kernel.transpose(rank - 1, rank - 2, *range(rank - 2)).copy()


class ChannelsLastFlatten(nn.Module):
    """Flatten as Keras does."""

    def forward(self, x):
        return x.movedim(1, -1).flatten(1)


def same(before, after, *rest):
    """Zero padding as Keras has it: more at the end where the sum is odd."""
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), *rest)


F64 = {"dtype": "float64"}
INPUT_RULES = ("w2lrp", "flatlrp", "zblrp")
PAIRS = {
    "strided": (
        [L.Conv2D(4, 3, strides=2, padding="same", activation="relu", **F64)],
        [same(0, 1, nn.Conv2d(3, 4, 3, 2), nn.ReLU())],
    ),
    "grouped": (
        [L.Conv2D(6, 3, groups=3, dilation_rate=2, padding="same", activation="relu", **F64)],
        [nn.Sequential(nn.Conv2d(3, 6, 3, dilation=2, padding=2, groups=3), nn.ReLU())],
    ),
    "depthwise": (
        [L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="silu", **F64)],
        [nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.SiLU())],
    ),
    "separable": (
        [L.SeparableConv2D(5, 3, activation="tanh", **F64)],
        [nn.Sequential(nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Conv2d(3, 5, 1), nn.Tanh())],
    ),
    "normed": (
        [L.Conv2D(4, 3, **F64), L.BatchNormalization(epsilon=1e-3, **F64), L.ReLU(**F64), L.MaxPooling2D(2, **F64)],
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, 1e-3), nn.ReLU(), nn.MaxPool2d(2)],
    ),
    "averaged": (
        [L.Conv2D(4, 2, activation="elu", **F64), L.AveragePooling2D(2, **F64)],
        [nn.Sequential(nn.Conv2d(3, 4, 2), nn.ELU()), nn.AvgPool2d(2)],
    ),
}


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
@pytest.mark.parametrize("case", PAIRS)
def test_keras_layers(case, convention):
    ours, theirs = PAIRS[case]
    model, other = twin(
        [type(layer).from_config(layer.get_config()) for layer in [*ours, L.Flatten(**F64), L.Dense(3, **F64)]],
        theirs,
        (8, 8, 3),
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    names = [*METHODS, "lrp_gamma_0_25", "lrp_epsilon_0_25_std_x"]
    mine = sx.explain_many(model, last(x), names, convention=convention, low=-5.0, high=5.0)
    for name, result in sx.explain_many(other, x, names, convention=convention, low=-5.0, high=5.0).items():
        if case == "strided" and (name.endswith("std_x") or (convention == "signxai" and name.startswith(INPUT_RULES))):
            continue  # Keras pads inside the convolution, PyTorch in front of it, and these see the difference.
        difference = np.abs(mine[name].relevance - last(result.relevance)).max()
        assert difference <= 1e-8 * np.abs(result.relevance).max(), name
