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
    if any(x.dtype != node.outputs[0].dtype for x in node.inputs):
        return None
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


def _reshaped(node: Node, _: Traits) -> Derivative:
    shape = node.inputs[0].shape
    return lambda cotangent: (cotangent.reshape(shape),)


def _permuted(_: Node, traits: Traits) -> Derivative | None:
    if traits.kind != "shape":
        return None
    order = traits.attributes["order"]
    back = tuple(order.index(axis) for axis in range(len(order)))
    return lambda cotangent: (cotangent.permute(back),)


def _scaled(traits: Traits) -> Derivative:
    scale = traits.parameters["scale"]
    return lambda cotangent: (cotangent * scale,)


def _added(node: Node, traits: Traits) -> Derivative | None:
    """A scaling, or a sum of two tensors that both depend on the input."""
    if traits.kind == "scaling":
        return _scaled(traits)
    if traits.kind != "sum" or traits.function not in ("add", "sub") or "alpha" in node.recorded.kwargs:
        return None
    first, second = (tensor.shape for tensor in node.inputs)
    if traits.function == "add":
        return lambda cotangent: (_onto(cotangent, first), _onto(cotangent, second))
    return lambda cotangent: (_onto(cotangent, first), -_onto(cotangent, second))


def _onto(cotangent: Tensor, shape: torch.Size) -> Tensor:
    """Return the sum over the axes along which a tensor of a shape was broadcast."""
    return cotangent if cotangent.shape == shape else cotangent.sum_to_size(shape)


def _multiplied(node: Node, traits: Traits) -> Derivative | None:
    if traits.kind == "scaling":
        return _scaled(traits)
    if traits.kind != "product":
        return None
    a, b = node.inputs
    return lambda cotangent: (_onto(cotangent * b, a.shape), _onto(cotangent * a, b.shape))


def _multiplied_as_matrices(node: Node, traits: Traits) -> Derivative | None:
    if traits.kind != "matrix_product" or min(tensor.dim() for tensor in node.inputs) < 2:
        return None
    a, b = node.inputs
    return lambda cotangent: (_onto(cotangent @ b.mT, a.shape), _onto(a.mT @ cotangent, b.shape))


def _of_output(derivative: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node, Traits], Derivative]:
    """Return the reading of a function whose derivative is one of its output."""

    def read(node: Node, _: Traits) -> Derivative:
        output = node.outputs[0]
        return lambda cotangent: (derivative(cotangent, output),)

    return read


def _softmax(node: Node, traits: Traits) -> Derivative | None:
    if traits.kind != "softmax":
        return None
    axis, output = traits.attributes["axis"], node.outputs[0]

    def pulled(cotangent: Tensor) -> tuple[Tensor, ...]:
        product = cotangent * output
        return (torch.addcmul(product, output, product.sum(axis, keepdim=True), value=-1),)

    return pulled


def _averaged(node: Node, traits: Traits) -> Derivative | None:
    """A mean over axes that stay."""
    if traits.kind != "average_pooling" or not traits.attributes["keepdims"]:
        return None
    shape, count = node.inputs[0].shape, node.inputs[0].numel() // max(node.outputs[0].numel(), 1)
    return lambda cotangent: ((cotangent / count).expand(shape),)


def _squared(node: Node, _: Traits) -> Derivative:
    x = node.inputs[0]
    return lambda cotangent: (2 * x * cotangent,)


_DERIVATIVES: dict[str, Callable[[Node, Traits], Derivative | None]] = {
    **{f"conv{n}d": _weighted for n in (1, 2, 3)},
    "linear": _weighted,
    "batch_norm": _normalised,
    "relu": _rectified,
    **dict.fromkeys(("flatten", "dropout", "reshape", "view", "unsqueeze", "unflatten"), _reshaped),
    **dict.fromkeys(("permute", "transpose"), _permuted),
    **dict.fromkeys(("add", "sub"), _added),
    **dict.fromkeys(("mul", "affine"), _multiplied),
    **dict.fromkeys(("matmul", "bmm"), _multiplied_as_matrices),
    "sigmoid": _of_output(torch.ops.aten.sigmoid_backward),
    "tanh": _of_output(torch.ops.aten.tanh_backward),
    "exp": _of_output(torch.mul),
    "rsqrt": _of_output(lambda cotangent, y: cotangent * y**3 * -0.5),
    "softmax": _softmax,
    "mean": _averaged,
    "square": _squared,
}


def is_direct(name: str, recorded: Invocation, inputs: Sequence[Tensor]) -> bool:
    """Return whether a call makes one tensor with a derivative, and needs no graph for that."""
    if name not in _DERIVATIVES or not recorded.args or not isinstance(recorded.args[0], Slot):
        return False
    return all(x.is_floating_point() for x in inputs)
