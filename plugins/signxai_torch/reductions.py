"""Sums, means and choices over axes, and functions along one axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from signxai_core.specs.operations import Kind
from signxai_torch.arithmetic import is_constant
from signxai_torch.calls import Slot
from signxai_torch.masks import is_zero
from signxai_torch.traits import RECTIFIER, Node, Traits


def axes_of(dim: Any, rank: int) -> tuple[int, ...] | None:
    """Return axes counted from 0, in order; ``None`` where all or none are meant."""
    axes = [axis for axis in (dim if isinstance(dim, (tuple, list)) else [dim]) if isinstance(axis, int)]
    return tuple(sorted(axis % max(rank, 1) for axis in axes)) or None


def _reduction(kind: Kind, function: str) -> Callable[[Node], Traits | None]:
    """Return the reading of a reduction, which must not go over the samples of the batch."""

    def read(node: Node) -> Traits | None:
        named = node.bound()
        axes = axes_of(named.get("dim"), node.inputs[0].dim())
        if not node.first_only() or axes is None or any(node.may_be_batch(axis) for axis in axes):
            return None
        attributes = {"axes": axes, "keepdims": bool(named.get("keepdim"))}
        return Traits(kind=kind, function=function, attributes=attributes)

    return read


def _extremum(name: str, reduce: Callable[[Node], Traits | None]) -> Callable[[Node], Traits | None]:
    """Return the reading of ``max`` and ``min``, over axes or of two tensors."""

    def read(node: Node) -> Traits | None:
        other = node.bound().get("dim", node.recorded.kwargs.get("other"))
        if isinstance(other, (Slot, Tensor)) or node.name == name:
            return _of_two(node, name)
        return reduce(node)

    return read


def _of_two(node: Node, name: str) -> Traits | None:
    """The larger or smaller of two tensors, of which one may be a constant."""
    if len(node.inputs) == 2:
        return Traits(kind="selection", function=name)
    operands = (*node.recorded.args, *node.recorded.kwargs.values())
    constant = next((value for value in operands if is_constant(value)), None)
    if constant is None:
        return None
    if not node.keeps_shape:
        return Traits(kind="selection", function=name, constants=True)
    return RECTIFIER if name == "maximum" and is_zero(constant) else Traits(kind="activation", function="clamp")


def _along(kind: Kind, *, over_samples: bool = False) -> Callable[[Node], Traits | None]:
    """Return the reading of a function along one axis; ``over_samples``: the batch's axis is as good as any."""

    def read(node: Node) -> Traits | None:
        rank = node.inputs[0].dim()
        dim = node.bound().get("dim")
        if not node.first_only():
            return None
        if dim is None:
            dim = _implicit(rank) if kind == "softmax" else -1
        axis = dim % max(rank, 1)
        if not over_samples and node.may_be_batch(axis):
            return None
        return Traits(kind=kind, attributes={"axis": axis})

    return read


def _implicit(rank: int) -> int:
    """Return the axis that PyTorch takes for a softmax without one."""
    return 0 if rank in (0, 1, 3) else 1


_SMALLEST = _reduction("selection", "amin")
_LARGEST = _reduction("max_pooling", "amax")
HANDLERS: dict[str, Callable[[Node], Traits | None]] = {
    "mean": _reduction("average_pooling", "mean"),
    "sum": _reduction("average_pooling", "sum"),
    "amax": _LARGEST,
    "amin": _SMALLEST,
    **dict.fromkeys(("max", "maximum"), _extremum("maximum", _LARGEST)),
    **dict.fromkeys(("min", "minimum"), _extremum("minimum", _SMALLEST)),
    "logsumexp": _reduction("logsumexp", "logsumexp"),
    **{name: _reduction("selection", name) for name in ("median", "nanmedian", "kthvalue", "mode")},
    "cumsum": _along("average_pooling"),
    **dict.fromkeys(("sort", "topk", "cummax", "cummin"), _along("selection")),
    **dict.fromkeys(("softmax", "log_softmax"), _along("softmax", over_samples=True)),
}
