"""Sums, products, quotients and powers: what they are depends on which operands are constants."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai_torch.calls import Slot
from signxai_torch.traits import Node, Traits


def is_constant(value: Any) -> bool:
    """Return whether an argument is a number or a tensor that does not depend on the input."""
    return isinstance(value, (numbers.Real, Tensor))


def is_number(value: Any, number: float) -> bool:
    """Return whether an argument is a number, or a tensor of nothing else than that number."""
    return is_constant(value) and bool((torch.as_tensor(value) == number).all())


def scaling(node: Node, scale: Any, shift: Any) -> Traits | None:
    """``scale · x + shift`` with constants, where the output keeps the input's shape."""
    if not node.keeps_shape:
        return None
    y = node.outputs[0]
    arrays = (
        value.to(y.device, y.dtype)
        if isinstance(value, Tensor)
        else torch.tensor(float(value), dtype=y.dtype, device=y.device)
        for value in (scale, shift)
    )
    parameters = dict(zip(("scale", "shift"), arrays, strict=True))
    single = {name: float(array) for name, array in parameters.items() if array.numel() == 1}
    increasing = len(single) == 2 and single["scale"] > 0
    attributes: dict[str, Any] = {**single, "increasing": True} if increasing else {**single}
    return Traits(kind="scaling", parameters=parameters, attributes=attributes)


def _add(node: Node) -> Traits | None:
    named = node.bound()
    left, right, alpha = named["input"], named["other"], named.get("alpha", 1)
    if node.name == "rsub":
        left, right = right, left
    factor = alpha if node.name == "add" else -alpha
    if node.name == "rsub" and alpha != 1:
        return None
    if len(node.inputs) == 2:
        sign = 1 if factor > 0 else -1
        return Traits(kind="sum", function="add" if factor == 1 else "sub", signs=(1, sign))
    if isinstance(left, Slot) and is_constant(right):
        return scaling(node, 1, right * factor)
    if isinstance(right, Slot) and is_constant(left):
        return scaling(node, factor, left)
    return None


def _mul(node: Node) -> Traits | None:
    if len(node.inputs) == 2:
        return Traits(kind="product", function="mul")
    named = node.bound()
    constant = named["other"] if isinstance(named["input"], Slot) else named["input"]
    if node.taint == "step" and _is_mask(constant):  # it keeps some of the numbers
        return Traits(kind="selection", function="where")
    return scaling(node, constant, 0) if is_constant(constant) else None


def _is_mask(constant: Any) -> bool:
    return isinstance(constant, Tensor) and bool(((constant == 0) | (constant == 1)).all())


def _div(node: Node) -> Traits | None:
    named = node.bound()
    if named.get("rounding_mode") is not None:
        return Traits(kind="step", function="floor_divide")
    above, below = named["input"], named["other"]
    if node.name == "rdiv":
        above, below = below, above
    if len(node.inputs) == 2:
        return Traits(kind="quotient", function="div")
    if isinstance(below, Slot):
        return Traits(kind="activation", function="reciprocal") if is_constant(above) and node.keeps_shape else None
    if not is_constant(below) or (not isinstance(below, Tensor) and below == 0):
        return None
    return scaling(node, 1 / below, 0)


def _neg(node: Node) -> Traits | None:
    return scaling(node, -1, 0)


def _pow(node: Node) -> Traits | None:
    """A power with a constant exponent, or of a constant base."""
    base, exponent = (node.bound().get(name) for name in ("input", "exponent"))
    if not node.keeps_shape or not is_constant(exponent if isinstance(base, Slot) else base):
        return None
    if not isinstance(base, Slot):
        return _exponential(node, base)
    # One number for all places, as other frameworks hold it too; else there is nothing short to say.
    values = torch.as_tensor(exponent, dtype=torch.float64).reshape(-1)
    power = float(values[0]) if bool((values == values[:1]).all()) and len(values) else None
    return Traits(kind="activation", function="pow", attributes={"exponent": power})


def _exponential(node: Node, base: Any) -> Traits | None:
    """A constant to the power of x."""
    if not node.keeps_shape or not is_constant(base):
        return None
    return Traits(kind="activation", function="exp2" if is_number(base, 2) else "exp")


def _affine(node: Node) -> Traits | None:
    _, scale, shift = node.recorded.args
    return scaling(node, scale, shift)


HANDLERS: dict[str, Callable[[Node], Traits | None]] = {
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    "mul": _mul,
    **dict.fromkeys(("div", "rdiv"), _div),
    "neg": _neg,
    "affine": _affine,
    "pow": _pow,
    "rpow": lambda node: _exponential(node, node.bound().get("other")),
}
