"""Derivatives of the functions that networks are mostly made of, written out.

Such a function is recorded without a graph of PyTorch's autograd, which would cost time when it is
made and when it is used, and would keep tensors that nobody asks for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from signxai_torch.calls import Derivative, Invocation, Layout, Slot
from signxai_torch.traits import Node, Traits


def derivative(node: Node, traits: Traits) -> Derivative | None:
    """Return the vector-Jacobian product of one of :data:`DIRECT`; ``None`` where PyTorch has to tell."""
    return _DERIVATIVES[node.name](node, traits)


def pull(layout: Layout, weight: Tensor, relevance: Tensor, x: Tensor) -> Tensor:
    """Gradient of a convolution or dense operation at its input ``x``, and nothing else.

    Of ``x`` the shape counts, and not its batch. With ``padding="same"`` and an even kernel, PyTorch
    pads one more at the end than at the start.
    """
    if not layout.convolution:
        return relevance @ (weight if layout.outer == 0 else weight.T)
    if len(relevance) != len(x):
        x = x[:1].expand(len(relevance), *x.shape[1:])
    shape = x.shape
    if layout.same:
        dilation = layout.convolution[2]
        odd = [d * (k - 1) % 2 for d, k in zip(dilation, weight.shape[2:], strict=True)]
        x = x.new_zeros(1).expand(*shape[:2], *(n + o for n, o in zip(shape[2:], odd, strict=True)))
    result: Tensor = torch.ops.aten.convolution_backward(
        relevance, x, weight, None, *layout.convolution, [True, False, False]
    )[0]
    return result[tuple(slice(0, n) for n in shape)] if layout.same else result


def _weighted(node: Node, traits: Traits) -> Derivative | None:
    weight = traits.parameters.get("weight")
    if traits.layout is None or weight is None:
        return None
    return functools.partial(_pulled, traits.layout, weight, node.inputs[0])


def _pulled(layout: Layout, weight: Tensor, x: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
    return (pull(layout, weight, cotangent, x),)


def _normalised(node: Node, traits: Traits) -> Derivative | None:
    scale = traits.parameters.get("scale")
    return None if scale is None else lambda cotangent: (cotangent * scale,)


def _rectified(node: Node, traits: Traits) -> Derivative:
    output = node.outputs[0]
    return lambda cotangent: (torch.ops.aten.threshold_backward(cotangent, output, 0.0),)


def _reshaped(node: Node, traits: Traits) -> Derivative:
    shape = node.inputs[0].shape
    return lambda cotangent: (cotangent.reshape(shape),)


def _added(node: Node, traits: Traits) -> Derivative | None:
    """A sum of two tensors of one shape that both depend on the input."""
    shapes = {tensor.shape for tensor in (*node.inputs, *node.outputs)}
    if traits.kind != "sum" or traits.function != "add" or len(shapes) > 1:
        return None
    return lambda cotangent: (cotangent, cotangent)


_DERIVATIVES: dict[str, Callable[[Node, Traits], Derivative | None]] = {
    **{f"conv{n}d": _weighted for n in (1, 2, 3)},
    "linear": _weighted,
    "batch_norm": _normalised,
    "relu": _rectified,
    **dict.fromkeys(("flatten", "dropout"), _reshaped),
    "add": _added,
}


def is_direct(name: str, recorded: Invocation, inputs: Sequence[Tensor]) -> bool:
    """Return whether a call makes one tensor with a derivative, and needs no graph for that."""
    if name not in _DERIVATIVES or not recorded.args or not isinstance(recorded.args[0], Slot):
        return False
    return all(x.is_floating_point() for x in inputs)
