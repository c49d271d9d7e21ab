"""The neutral networks of :mod:`signxai_core.testing` as PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from signxai_core.testing import network as net
from signxai_torch.network_blocks import BLOCKS, ChannelsLast


class Add(nn.Module):
    """Sum of the inputs."""

    def forward(self, first: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        for tensor in rest:
            first = first + tensor
        return first


class Concat(nn.Module):
    """Inputs one after the other on the channel axis."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the inputs as one."""
        return torch.cat(tensors, dim=1)


class Reshape(nn.Module):
    """Another shape for every sample."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input in the other shape."""
        return x.reshape(x.shape[0], *self.shape)


class Scaling(nn.Module):
    """``scale · x + shift`` with constants; one operation where the other one would do nothing."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.scales, self.shifts = bool((scale != 1).any()), bool((shift != 0).any())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scaled input."""
        if not self.shifts:
            return x * self.scale
        return x * self.scale + self.shift if self.scales else x + self.shift


class GlobalAvgPool(nn.Module):
    """Mean over the spatial axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means."""
        return x.mean(dim=tuple(range(2, x.ndim)))


class Graph(nn.Module):
    """A network of nodes; each layer is a submodule of its name, reused where nodes share it."""

    def __init__(self, network: net.Network, dtype: torch.dtype) -> None:
        super().__init__()
        self.calls = tuple((node.name, node.layer, node.inputs) for node in network.nodes)
        for node in network.nodes:
            if node.layer not in self._modules:
                shape = network.shapes[node.inputs[0]]
                self.add_module(node.layer, _module(node, shape, dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the last node."""
        tensors = {net.INPUT: x}
        for name, layer, inputs in self.calls:
            x = self.get_submodule(layer)(*(tensors[used] for used in inputs))
            tensors[name] = x
        return x


def _tensor(values: net.Array, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=dtype)


def _filled(module: nn.Module, dtype: torch.dtype, **arrays: net.Array | None) -> nn.Module:
    module = module.to(dtype)
    with torch.no_grad():
        for name, values in arrays.items():
            if values is not None:
                getattr(module, name).copy_(_tensor(values, dtype))
    return module


def _dense(node: net.Dense, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    out, features = node.weight.shape
    module = _filled(nn.Linear(features, out, bias=node.bias is not None), dtype, weight=node.weight, bias=node.bias)
    return ChannelsLast(module) if len(shape) > 1 else module


def _conv(node: net.Conv, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    kernel, stride, padding, dilation = node.geometry()
    make: Callable[..., nn.Module] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[node.axes - 1]
    module = make(
        shape[0],
        node.weight.shape[0],
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=node.groups,
        bias=node.bias is not None,
        padding_mode=node.mode,
    )
    return _filled(module, dtype, weight=node.weight, bias=node.bias)


def _conv_transpose(node: net.ConvTranspose, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    kernel, stride, padding, dilation = node.geometry()
    make: Callable[..., nn.Module] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[node.axes - 1]
    module = make(
        shape[0],
        node.weight.shape[1] * node.groups,
        kernel,
        stride=stride,
        padding=padding,
        output_padding=node.output_padding * (1 if len(node.output_padding) > 1 else node.axes),
        dilation=dilation,
        groups=node.groups,
        bias=node.bias is not None,
    )
    return _filled(module, dtype, weight=node.weight, bias=node.bias)


def _batch_norm(node: net.BatchNorm, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    make: Callable[..., nn.Module] = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 1]
    return _filled(
        make(shape[0], eps=node.eps),
        dtype,
        weight=node.gamma,
        bias=node.beta,
        running_mean=node.mean,
        running_var=node.var,
    )


def _scaling(node: net.Scaling, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    rest = (1,) * (len(shape) - 1)
    scale, shift = (_tensor(v.reshape(v.shape + rest) if v.ndim else v, dtype) for v in (node.scale, node.shift))
    return Scaling(scale, shift)


def _activation(node: net.Activation, _: net.Shape, __: torch.dtype) -> nn.Module:
    modules: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(node.alpha),
        "elu": lambda: nn.ELU(node.alpha),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "softplus": nn.Softplus,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
    }
    return modules[node.of]()


def _max_pool(node: net.MaxPool, shape: net.Shape, _: torch.dtype) -> nn.Module:
    make: Callable[..., nn.Module] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[len(shape) - 2]
    return make(*node.geometry(len(shape) - 1))


def _avg_pool(node: net.AvgPool, shape: net.Shape, _: torch.dtype) -> nn.Module:
    make: Callable[..., nn.Module] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[len(shape) - 2]
    return make(*node.geometry(len(shape) - 1), count_include_pad=node.count_include_pad)


def _pad(node: net.Pad, _: net.Shape, __: torch.dtype) -> nn.Module:
    make: Callable[..., nn.Module] = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)[len(node.amounts) - 1]
    # PyTorch counts from the last axis.
    return make(tuple(amount for pair in reversed(node.amounts) for amount in pair), 0.0)


_MODULES: dict[str, Callable[..., nn.Module]] = {
    **BLOCKS,
    "activation": _activation,
    "add": lambda *_: Add(),
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "concat": lambda *_: Concat(),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "dropout": lambda *_: nn.Dropout(),
    "flatten": lambda *_: nn.Flatten(),
    "global_avg_pool": lambda *_: GlobalAvgPool(),
    "max_pool": _max_pool,
    "pad": _pad,
    "reshape": lambda node, *_: Reshape(node.shape),
    "scaling": _scaling,
    "softmax": lambda *_: nn.Softmax(dim=1),
}


def _module(node: net.Node, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    if node.type not in _MODULES:
        raise NotImplementedError(f"no PyTorch module for {node!r}")
    return _MODULES[node.type](node, shape, dtype)


def build(network: net.Network, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return a network as a module in evaluation mode, its submodules named by the nodes' layers.

    Parameters
    ----------
    network
        Its arrays are copied.
    dtype
        Of parameters and buffers.
    """
    return Graph(network, dtype).eval()
