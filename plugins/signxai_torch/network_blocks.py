"""Modules for gates, normalisations, attention and recurrence of :mod:`signxai_core.testing`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from signxai_core.testing import network as net


def _spread(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return numbers per channel so that they broadcast."""
    return x.reshape(*x.shape, *(1,) * (like.ndim - x.ndim)) if x.ndim < like.ndim else x


class Multiply(nn.Module):
    """Product of the inputs."""

    def forward(self, first: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        for tensor in rest:
            first = first * _spread(tensor, first)
        return first


class Divide(nn.Module):
    """Quotient of the inputs."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the quotient."""
        return a / _spread(b, a)


class MatrixProduct(nn.Module):
    """Matrix product of two series."""

    def __init__(self, *, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the product."""
        return (a.transpose(1, 2) if self.transposed else a) @ b


class Take(nn.Module):
    """Some places of an axis."""

    def __init__(self, axis: int, start: int, stop: int) -> None:
        super().__init__()
        self.axis, self.start, self.length = axis + 1, start, stop - start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return these places."""
        return x.narrow(self.axis, self.start, self.length)


class Stack(nn.Module):
    """Vectors as a series."""

    def forward(self, *vectors: torch.Tensor) -> torch.Tensor:
        """Return the series."""
        return torch.stack(vectors, dim=2)


class ChannelsLast(nn.Module):
    """A module that wants the channels last."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the module."""
        y: torch.Tensor = self.inner(x.movedim(1, -1)).movedim(-1, 1)
        return y


class SelfAttention(nn.Module):
    """Attention of a series to itself."""

    def __init__(self, inner: nn.MultiheadAttention) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the module on (batch, places, channels)."""
        y, _ = self.inner(x, x, x, need_weights=False)
        return y  # type: ignore[no-any-return] # PyTorch's types say Any


class Sequence(nn.Module):
    """A recurrent layer in one direction."""

    def __init__(self, inner: nn.RNNBase, *, reverse: bool) -> None:
        super().__init__()
        self.inner, self.reverse = inner, reverse

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the module on (batch, places, channels)."""
        y: torch.Tensor = self.inner(x.flip(1) if self.reverse else x)[0]
        return y.flip(1) if self.reverse else y


def _tensors(dtype: torch.dtype, **arrays: net.Array) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values, dtype=dtype) for name, values in arrays.items()}


def _filled(module: nn.Module, dtype: torch.dtype, **arrays: net.Array) -> nn.Module:
    module = module.to(dtype)
    module.load_state_dict(_tensors(dtype, **arrays))
    return module


def _norm(node: net.Norm, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    arrays = {"weight": node.weight} | ({} if node.bias is None else {"bias": node.bias})
    if node.groups is not None:
        group_norm = nn.GroupNorm(node.groups, shape[0], node.eps)
        return _filled(group_norm, dtype, **{"bias": 0 * node.weight} | arrays)
    if not node.centred:
        return ChannelsLast(_filled(nn.RMSNorm(shape[0], node.eps), dtype, weight=node.weight))
    bias = node.bias is not None
    return ChannelsLast(_filled(nn.LayerNorm(shape[0], node.eps, bias=bias), dtype, **arrays))


def _attention(node: net.Attention, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    inner = nn.MultiheadAttention(shape[0], node.heads, batch_first=True).to(dtype)
    (query, key, value, bias), size = node.biases, shape[0]
    arrays = _tensors(dtype, query=node.query, key=node.key, value=node.value, q=query, k=key, v=value)
    with torch.no_grad():
        inner.in_proj_weight.copy_(torch.cat([arrays["query"], arrays["key"], arrays["value"]]))
        inner.in_proj_bias.copy_(torch.cat([arrays["q"], arrays["k"], arrays["v"]]))
    assert size == inner.embed_dim
    _filled(inner.out_proj, dtype, weight=node.out, bias=bias)
    return ChannelsLast(SelfAttention(inner))


def _recurrent(node: net.Recurrent, shape: net.Shape, dtype: torch.dtype) -> nn.Module:
    cells: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
    inner = cells[node.cell](shape[0], node.size, batch_first=True)
    inside, outside = node.biases
    arrays = {"weight_ih_l0": node.weight, "weight_hh_l0": node.recurrent, "bias_ih_l0": inside, "bias_hh_l0": outside}
    _filled(inner, dtype, **arrays)
    return ChannelsLast(Sequence(inner, reverse=node.reverse))


#: A module per type of node; called with the node, the shape of its first input, and the type of its numbers.
BLOCKS: dict[str, Callable[[Any, net.Shape, torch.dtype], nn.Module]] = {
    "attention": _attention,
    "divide": lambda *_: Divide(),
    "matrix_product": lambda node, *_: MatrixProduct(transposed=node.transposed),
    "multiply": lambda *_: Multiply(),
    "norm": _norm,
    "recurrent": _recurrent,
    "stack": lambda *_: Stack(),
    "take": lambda node, *_: Take(node.axis, node.start, node.stop),
}
