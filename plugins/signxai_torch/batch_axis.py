"""Where the batch's axis is in a recorded tensor, as far as shapes and names tell.

Asked for where a function reduces the first axis: in a sequence-first model that is the time axis, in
any other it would mix the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from signxai_core.engine.backend import Operation
from signxai_core.specs.operations import kind

Shape = Sequence[int]


@attrs.define(eq=False)
class BatchAxes:
    """The batch's axis by tensor id; ``None`` where it is not known.

    Parameters
    ----------
    operations
        The operations of a recording; it may grow.
    shape
        Shape of a tensor by id.
    """

    operations: Sequence[Operation]
    shape: Callable[[int], Shape]
    _axes: dict[int, int | None] = attrs.field(factory=lambda: {0: 0})
    _done: int = 0

    def may_be(self, tensor: int, axis: int) -> bool:
        """Return whether an axis of a tensor may be that of the batch."""
        for operation in self.operations[self._done :]:
            self._follow(operation)
        self._done = len(self.operations)
        known = self._axes.get(tensor)
        return axis == (0 if known is None else known)

    def _follow(self, operation: Operation) -> None:
        found = [(tensor, axis) for tensor in operation.inputs if (axis := self._axes.get(tensor)) is not None]
        for output in operation.outputs:
            axes = (_behind(operation, axis, self.shape(tensor), self.shape(output)) for tensor, axis in found)
            self._axes[output] = next((axis for axis in axes if axis is not None), None)


def _behind(operation: Operation, axis: int, before: Shape, after: Shape) -> int | None:
    """Return where an axis of an operation's input is in its output."""
    if operation.function in _READ:
        return _READ[operation.function](operation, axis, before)
    if "axes" in operation.attributes:
        return _reduced(operation, axis)
    if kind(operation.kind).routes and len(before) != len(after):
        return _regrouped(axis, before, after)
    moved = axis + max(len(after) - len(before), 0)  # broadcasting adds axes in front
    return moved if moved < len(after) and after[moved] == before[axis] else None


def _permuted(operation: Operation, axis: int, _: Shape) -> int:
    place: int = operation.attributes["order"].index(axis)
    return place


def _reduced(operation: Operation, axis: int) -> int | None:
    axes: tuple[int, ...] = operation.attributes["axes"]
    if axis in axes:
        return None
    return axis if operation.attributes["keepdims"] else axis - sum(one < axis for one in axes)


def _stacked(operation: Operation, axis: int, _: Shape) -> int:
    added: bool = operation.attributes["axis"] <= axis
    return axis + added


def _regrouped(axis: int, before: Shape, after: Shape) -> int | None:
    """Follow an axis through a reshape: as many numbers lie in front of it as before."""
    front = math.prod(before[:axis])
    places = [p for p, n in enumerate(after) if n == before[axis] and math.prod(after[:p]) == front]
    return axis if axis in places else min(places, default=None)


def _second(operation: Operation) -> Any:
    """Return the argument behind the tensor."""
    recorded = operation.call.recorded
    return recorded.args[1] if len(recorded.args) > 1 else next(iter(recorded.kwargs.values()), None)


def _unsqueezed(operation: Operation, axis: int, before: Shape) -> int | None:
    place = _second(operation)
    return None if not isinstance(place, int) else axis + (place % (len(before) + 1) <= axis)


def _removed(operation: Operation, axis: int, before: Shape) -> int | None:
    """``unbind`` and ``select`` take an axis away; ``squeeze`` does where it has one number."""
    place = _second(operation)
    if place is None and operation.function == "unbind":
        place = 0
    if not isinstance(place, int):
        return None
    place %= len(before)
    if operation.function == "squeeze" and before[place] != 1:
        return axis
    return None if place == axis else axis - (place < axis)


def _indexed(operation: Operation, axis: int, before: Shape) -> int | None:
    """Follow an axis through ``x[...]`` of numbers, slices, ``None`` and ``...``."""
    index = _second(operation)
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not (item is None or item is Ellipsis or type(item) in (int, slice)) for item in items):
        return None
    used = sum(item is not None and item is not Ellipsis for item in items)
    if Ellipsis not in items:
        items.append(Ellipsis)
    place = items.index(Ellipsis)
    items[place : place + 1] = [slice(None)] * (len(before) - used)
    source = target = 0
    for item in items:
        if item is not None and source == axis:
            return target if item == slice(None) else None
        source += item is not None
        target += not isinstance(item, int)
    return None


_READ: dict[str, Callable[[Operation, int, Shape], int | None]] = {
    "permute": _permuted,
    "stack": _stacked,
    "unsqueeze": _unsqueezed,
    **dict.fromkeys(("unbind", "select", "squeeze"), _removed),
    "index": _indexed,
}
