"""Layers with weights: their parameters, their form without bias, and the weight's layout."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from signxai_torch.calls import WEIGHT, Invocation, Layout, Slot
from signxai_torch.traits import Node, Traits


def dense_linear(node: Node) -> Traits | None:
    """``F.linear`` with a constant weight."""
    named = node.bound()
    weight, bias = named["weight"], named.get("bias")
    if len(node.inputs) != 1 or not isinstance(weight, Tensor) or weight.dim() != 2:
        return Traits(kind="matrix_product", function="matmul") if len(node.inputs) == 2 and bias is None else None
    return Traits(
        kind="dense",
        parameters={"weight": weight} | ({} if bias is None else {"bias": bias}),
        channel_axis=node.outputs[0].dim() - 1,
        linear=Invocation(torch.nn.functional.linear, (Slot(0), WEIGHT)),
        layout=Layout(inner=1, outer=0),
    )


def dense_matmul(node: Node) -> Traits | None:
    """A matrix product with a constant on one side."""
    left, right = node.recorded.args[:2] if len(node.recorded.args) >= 2 else (None, None)
    if len(node.inputs) == 2:
        return Traits(kind="matrix_product", function="matmul")
    function, rank = node.recorded.function, node.outputs[0].dim()
    if isinstance(left, Slot) and isinstance(right, Tensor):
        return Traits(
            kind="dense",
            parameters={"weight": right},
            channel_axis=rank - 1 if right.dim() == 2 else None,
            linear=Invocation(function, (Slot(0), WEIGHT)),
            layout=Layout(inner=0, outer=1) if right.dim() == 2 else None,
        )
    if isinstance(right, Slot) and isinstance(left, Tensor):
        return Traits(
            kind="dense",
            parameters={"weight": left},
            linear=Invocation(function, (WEIGHT, Slot(0))),
        )
    return None


def dense_addmm(node: Node) -> Traits | None:
    """A matrix product plus a constant."""
    named = node.bound()
    bias, left, right = named["bias"], named["input"], named["other"]
    plain = named.get("beta", 1) == 1 and named.get("alpha", 1) == 1
    if len(node.inputs) > 1 or not plain or not isinstance(left, Slot):
        return None
    return Traits(
        kind="dense",
        parameters={"weight": right, "bias": bias},
        channel_axis=1,
        linear=Invocation(torch.mm, (Slot(0), WEIGHT)),
        layout=Layout(inner=0, outer=1),
    )


def dense_einsum(node: Node) -> Traits | None:
    """An ``einsum`` of the input and one constant."""
    equation, *operands = node.recorded.args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if not isinstance(equation, str) or len(operands) != 2:
        return None
    if len(node.inputs) == 2:
        return _of_two(equation)
    weight_at = 1 if isinstance(operands[0], Slot) else 0
    places = tuple(WEIGHT if place == weight_at else Slot(0) for place in (0, 1))
    return Traits(
        kind="dense",
        parameters={"weight": operands[weight_at]},
        linear=Invocation(torch.einsum, (equation, *places)),
    )


def _of_two(equation: str) -> Traits:
    """A product of two tensors; without sums it is elementwise."""
    equation = equation.replace(" ", "")
    terms, _, result = equation.partition("->")
    parts = terms.split(",")
    attributes = {"equation": equation}
    if all(len(set(part)) == len(part) for part in parts) and set("".join(parts)) == set(result):
        return Traits(kind="product", function="mul", attributes=attributes)
    return Traits(kind="matrix_product", function="einsum", attributes=attributes)


def convolution(node: Node) -> Traits | None:
    """A convolution, transposed or not, with a constant weight."""
    named = node.bound()
    weight, bias = named["weight"], named.get("bias")
    if len(node.inputs) == 2 and bias is None:
        return Traits(kind="matrix_product")
    if len(node.inputs) != 1 or not isinstance(weight, Tensor) or isinstance(bias, Slot):
        return None
    count = node.inputs[0].dim() - 2
    transposed = "transpose" in node.name
    groups = named.get("groups", 1)
    stride, dilation = _spread(named.get("stride", 1), count), _spread(named.get("dilation", 1), count)
    padding = named.get("padding", 0)
    same = padding == "same"
    padding = [0] * count if isinstance(padding, str) else _spread(padding, count)
    if same:
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    output_padding = _spread(named.get("output_padding", 0), count)
    options = {k: v for k, v in named.items() if k not in ("input", "weight", "bias")}
    if not transposed and _is_faster_dilated(node.inputs[0], weight):
        options["dilation"] = dilation = [2] * count
    parameters = {"weight": weight}
    if bias is not None:
        parameters["bias"] = bias.reshape(1, -1, *[1] * count)
    return Traits(
        kind="convolution",
        parameters=parameters,
        channel_axis=1,
        linear=Invocation(node.recorded.function, (Slot(0), WEIGHT, None), options),
        layout=Layout(
            inner=0 if transposed else 1,
            outer=1 if transposed else 0,
            groups=groups,
            convolution=(stride, padding, dilation, transposed, output_padding, groups),
            same=same,
        ),
    )


def _is_faster_dilated(x: Tensor, weight: Tensor) -> bool:
    """Return whether a kernel of one place, which dilation leaves as it is, is to be called dilated.

    On one thread PyTorch computes a convolution with such a kernel as a matrix product, and leaves a
    dilated one to oneDNN, which can be twice as fast.
    """
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_onednn and x.device.type == "cpu" and x.dtype == torch.float32 and math.prod(weight.shape[2:]) == 1


def _spread(value: Any, count: int) -> list[int]:
    numbers_ = list(value) if isinstance(value, (tuple, list)) else [value]
    return numbers_ * count if len(numbers_) == 1 else numbers_


def normalisation(node: Node) -> Traits | None:
    """Batch-normalisation with running statistics, as one scale and shift per channel."""
    named = node.bound()
    mean, variance = named.get("running_mean"), named.get("running_var")
    if any(isinstance(named.get(key), Slot) for key in ("running_mean", "running_var", "weight", "bias")):
        return None
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        return None
    x = node.inputs[0]
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = torch.rsqrt(variance + named.get("eps", 1e-5))
    if named.get("weight") is not None:
        scale = scale * named["weight"]
    beta = torch.zeros_like(mean) if named.get("bias") is None else named["bias"]
    arrays = {"scale": scale, "shift": torch.addcmul(beta, scale, mean, value=-1), "mean": mean, "beta": beta}
    if scale.dtype != x.dtype:
        arrays = {key: value.to(x.dtype) for key, value in arrays.items()}
    return Traits(
        kind="normalisation",
        function="batch_norm",
        parameters={key: value.view(shape) for key, value in arrays.items()},
        channel_axis=1,
    )
