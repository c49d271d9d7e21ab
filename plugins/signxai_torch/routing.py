"""Functions whose outputs are numbers of their inputs, or linear in them, without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai_torch.calls import Invocation, Slot, tensors_of
from signxai_torch.traits import Node, Traits
from signxai_torch.vocabulary import TRANSPOSITIONS


def _permutation(node: Node) -> Traits | None:
    """A new order of the axes, read off what it does to axes of different lengths."""
    rank = node.inputs[0].dim()
    order = node.recorded((torch.empty(tuple(range(2, rank + 2)), device="meta"),)).shape
    return Traits(kind="shape", attributes={"order": tuple(length - 2 for length in order)})


def _interpolation(node: Node) -> Traits | None:
    mode = node.bound().get("mode", "nearest")
    if mode in ("nearest", "nearest-exact"):
        return Traits(kind="shape")
    if mode == "bicubic":  # with negative weights
        return Traits(kind="interpolation", constants=True)
    return Traits(kind="interpolation") if mode in ("linear", "bilinear", "trilinear", "area") else None


def _pad(node: Node) -> Traits | None:
    named = node.bound()
    constant = named.get("mode", "constant") == "constant"
    zero = constant and not named.get("value")
    grows = all(amount >= 0 for amount in named["pad"])
    options = {k: v for k, v in named.items() if k not in ("input", "pad", "value")}
    linear = Invocation(node.recorded.function, (Slot(0), named["pad"]), options)
    return Traits(kind="shape", padding=zero and grows, constants=constant and not zero, linear=linear)


def _join(node: Node) -> Traits | None:
    """Concatenation; constants among its parts are its bias."""
    recorded = node.recorded
    attributes = {}
    if node.name in ("cat", "stack"):
        dim = node.bound().get("dim", 0)
        attributes["axis"] = (0 if dim is None else dim) % max(node.outputs[0].dim(), 1)
    if not any(tensors_of(value) for value in (*recorded.args, *recorded.kwargs.values())):
        return Traits(kind="shape", attributes=attributes)
    kwargs = {key: _zeroed(value) for key, value in recorded.kwargs.items()}
    linear = Invocation(recorded.function, _zeroed(recorded.args), kwargs)
    return Traits(kind="shape", constants=True, attributes=attributes, linear=linear)


def _zeroed(value: Any) -> Any:
    """Return arguments with zeros for the constant tensors."""
    if isinstance(value, Tensor):
        return torch.zeros_like(value)
    return type(value)(_zeroed(item) for item in value) if isinstance(value, (list, tuple)) else value


def _setitem(node: Node) -> Traits | None:
    """Assignment to constant places: every number comes from the one tensor or the other."""
    target, index, value = node.recorded.args
    if _has_slot(index):
        return None
    value = value if isinstance(value, Slot) else 0.0
    linear = Invocation(node.recorded.function, (_zeroed(target), index, value))
    return Traits(kind="shape", constants=True, linear=linear)


def _has_slot(value: Any) -> bool:
    return isinstance(value, Slot) or (isinstance(value, (list, tuple)) and any(map(_has_slot, value)))


def _placed(node: Node) -> Traits | None:
    """Numbers put at constant places; floating-point constants among the tensors are its bias."""
    recorded = node.recorded
    if "reduce" in recorded.kwargs:
        return None
    kwargs = {key: 0.0 if key == "value" else _without(value) for key, value in recorded.kwargs.items()}
    args = [_without(value) for value in recorded.args]
    if node.name in ("scatter", "index_fill") and len(args) > 3 and not isinstance(args[3], (Slot, Tensor)):
        args[3] = 0.0  # the number to put
    return Traits(kind="shape", constants=True, linear=Invocation(recorded.function, tuple(args), kwargs))


def _without(value: Any) -> Any:
    """Return an argument with zeros for a constant tensor of numbers; indices and masks stay."""
    return torch.zeros_like(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def _scattered(node: Node) -> Traits | None:
    """Sums of numbers at constant places, added to a constant 0."""
    return Traits(kind="average_pooling") if len(node.inputs) == 1 else None


def _sampled(node: Node) -> Traits | None:
    """Interpolation at constant places; a bicubic one has negative weights."""
    if not node.first_only():
        return None
    named = node.bound()
    mode = named.get("mode", "bilinear")
    if mode == "nearest":
        return Traits(kind="shape")
    return Traits(kind="interpolation", constants=mode == "bicubic")


def _chosen(node: Node) -> Traits:
    """A choice by a condition that is constant: conditions have no derivative."""
    operands = node.recorded.args + tuple(node.recorded.kwargs.values())
    live = sum(isinstance(operand, Slot) for operand in operands)
    return Traits(kind="selection", function="where", constants=live < 2)


HANDLERS: dict[str, Callable[[Node], Traits | None]] = {
    **dict.fromkeys(TRANSPOSITIONS, _permutation),
    "interpolate": _interpolation,
    "grid_sample": _sampled,
    **dict.fromkeys(("scatter", "index_copy", "index_fill", "masked_scatter"), _placed),
    **dict.fromkeys(("select_scatter", "slice_scatter", "diagonal_scatter"), _placed),
    **dict.fromkeys(("scatter_add", "index_add"), _scattered),
    "pad": _pad,
    **dict.fromkeys(("cat", "stack", "hstack", "vstack", "dstack", "column_stack"), _join),
    **dict.fromkeys(("where", "masked_fill"), _chosen),
    "setitem": _setitem,
    "overwrite": lambda _: Traits(kind="shape", constants=True),
}
