"""What a module is to a composite: its kind and function."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import zennit.layer
import zennit.types
from torch import nn

from signxai_core.specs import Kind, Position

#: Class -> kind and function, as the PyTorch backend records it.
MODULES: Final[Mapping[type, tuple[Kind, str]]] = MappingProxyType(
    {
        nn.Linear: ("dense", "linear"),
        nn.Conv1d: ("convolution", "conv1d"),
        nn.Conv2d: ("convolution", "conv2d"),
        nn.Conv3d: ("convolution", "conv3d"),
        nn.ConvTranspose1d: ("convolution", "conv_transpose1d"),
        nn.ConvTranspose2d: ("convolution", "conv_transpose2d"),
        nn.ConvTranspose3d: ("convolution", "conv_transpose3d"),
        nn.BatchNorm1d: ("normalisation", "batch_norm"),
        nn.BatchNorm2d: ("normalisation", "batch_norm"),
        nn.BatchNorm3d: ("normalisation", "batch_norm"),
        nn.AvgPool1d: ("average_pooling", "avg_pool1d"),
        nn.AvgPool2d: ("average_pooling", "avg_pool2d"),
        nn.AvgPool3d: ("average_pooling", "avg_pool3d"),
        nn.AdaptiveAvgPool1d: ("average_pooling", "adaptive_avg_pool1d"),
        nn.AdaptiveAvgPool2d: ("average_pooling", "adaptive_avg_pool2d"),
        nn.AdaptiveAvgPool3d: ("average_pooling", "adaptive_avg_pool3d"),
        nn.Upsample: ("interpolation", "interpolate"),
        zennit.layer.Sum: ("sum", "sum"),
        nn.MaxPool1d: ("max_pooling", "max_pool1d"),
        nn.MaxPool2d: ("max_pooling", "max_pool2d"),
        nn.MaxPool3d: ("max_pooling", "max_pool3d"),
        nn.ReLU: ("activation", "relu"),
        nn.ReLU6: ("activation", "relu6"),
        nn.LeakyReLU: ("activation", "leaky_relu"),
        nn.ELU: ("activation", "elu"),
        nn.GELU: ("activation", "gelu"),
        nn.SiLU: ("activation", "silu"),
        nn.Softplus: ("activation", "softplus"),
        nn.Tanh: ("activation", "tanh"),
        nn.Sigmoid: ("activation", "sigmoid"),
        nn.Dropout: ("dropout", "dropout"),
        nn.Dropout1d: ("dropout", "dropout"),
        nn.Dropout2d: ("dropout", "dropout"),
        nn.Dropout3d: ("dropout", "dropout"),
        nn.Flatten: ("shape", "flatten"),
        nn.Unflatten: ("shape", "unflatten"),
        nn.Identity: ("shape", "identity"),
        nn.ZeroPad1d: ("shape", "pad"),
        nn.ZeroPad2d: ("shape", "pad"),
        nn.ZeroPad3d: ("shape", "pad"),
    }
)
WITH_WEIGHTS: Final = frozenset({"dense", "convolution"})

#: zennit's groups of classes -> kinds.
GROUPS: Final[Mapping[type, frozenset[Kind]]] = MappingProxyType(
    {
        zennit.types.Linear: frozenset({"dense", "convolution"}),
        zennit.types.Convolution: frozenset({"convolution"}),
        zennit.types.ConvolutionStandard: frozenset({"convolution"}),
        zennit.types.ConvolutionTranspose: frozenset({"convolution"}),
        zennit.types.BatchNorm: frozenset({"normalisation"}),
        zennit.types.AvgPool: frozenset({"average_pooling"}),
        zennit.types.MaxPool: frozenset({"max_pooling"}),
        zennit.types.Activation: frozenset({"activation"}),
    }
)


def described(module: nn.Module) -> tuple[Kind, str] | None:
    """Return kind and function of a module, or ``None`` for a class that is in no table."""
    return next((MODULES[cls] for cls in type(module).__mro__ if cls in MODULES), None)


def positions(model: nn.Module) -> dict[str, frozenset[Position]]:
    """Return which modules with weights come first and last, by the order of modules."""
    names = []
    for name, module in model.named_modules():
        found = described(module)
        if found is not None and found[0] in WITH_WEIGHTS:
            names.append(name)
    placed: dict[str, set[Position]] = {name: set() for name in names}
    if names:
        placed[names[0]].add("first")
        placed[names[-1]].add("last")
    return {name: frozenset(found) for name, found in placed.items()}
