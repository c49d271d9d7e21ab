"""Where the batch's axis is in each tensor of a run, as far as that can be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from signxai_tf.traits import constant
from signxai_tf.values import TRACKED, Step, Value
from signxai_tf.vocabulary import MATMULS

#: Operations that stretch their arguments to a common shape.
_STRETCHED = frozenset(
    {"Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "Maximum", "Minimum", "SelectV2", "BroadcastTo"}
)


def note(steps: Iterable[Step]) -> None:
    """Note the batch's axis in the outputs of a run's steps, which come in the order of execution."""
    for step in steps:
        axis = _after(step)
        for value in step.outputs:
            rank = value.array.shape.rank
            value.batch = axis if axis is not None and rank is not None and axis < rank else None


def may_be_batch(value: Value, axis: int) -> bool:
    """Return whether an axis may be that of the batch; where nothing is known, the first one may."""
    place = _of(value)
    return axis == (0 if place is None else place)


def _of(value: Value) -> int | None:
    return 0 if value.step is None else value.batch


def _after(step: Step) -> int | None:
    """Return the axis in a step's outputs."""
    for value in step.inputs:
        axis = _of(value) if value.state == TRACKED else None
        if axis is not None:
            return _moved(step, value, axis)
    return None


def _moved(step: Step, value: Value, axis: int) -> int | None:
    """Return where a step puts an axis of one of its arguments."""
    for ops, move in _MOVES:
        if step.op in ops:
            return move(step, value, axis)
    before, after = value.array.shape, step.outputs[0].array.shape
    if len(after) != len(before) and step.op not in _STRETCHED:
        return None
    place = len(after) - len(before) + axis  # elementwise operations stretch from the right
    return place if after[place] == before[axis] else None


def _transposed(step: Step, _: Value, axis: int) -> int | None:
    order = constant(step.arguments[1])
    return None if order is None else [int(place) for place in order].index(axis)


def _reshape(step: Step, value: Value, axis: int) -> int | None:
    return _reshaped(value.array.shape.as_list(), step.outputs[0].array.shape.as_list(), axis)


def _multiplied(step: Step, value: Value, axis: int) -> int | None:
    """Return the axis of a batch of matrices, or of a matrix's rows."""
    before, after = len(value.array.shape), len(step.outputs[0].array.shape)
    turned = step.attributes.get("transpose_a", step.attributes.get("adj_x", False))
    is_row = value is step.arguments[0] and axis == before - 2 and not turned
    return after - before + axis if axis < before - 2 or is_row else None


def _sliced(step: Step, _: Value, axis: int) -> int | None:
    masks = [int(step.attributes.get(name, 0)) for name in ("new_axis_mask", "ellipsis_mask")]
    shrunk = int(step.attributes.get("shrink_axis_mask", 0))
    return None if any(masks) else axis - sum(shrunk >> place & 1 for place in range(axis))


def _reshaped(before: list[int], after: list[int], axis: int) -> int | None:
    """Return the axis of the same length with as many numbers in front of it."""
    leading = math.prod(before[:axis])
    found = [i for i, n in enumerate(after) if n == before[axis] and math.prod(after[:i]) == leading]
    return axis if axis in found else found[0] if found else None


def _packed(step: Step, value: Value, axis: int) -> int | None:
    own = int(step.attributes.get("axis", 0)) % (len(value.array.shape) + (step.op == "Pack"))
    if step.op == "Pack":
        return axis + (own <= axis)
    return None if own == axis else axis - (own < axis)


def _squeezed(step: Step, value: Value, axis: int) -> int | None:
    given: Any = step.attributes.get("squeeze_dims") or ()
    return axis - sum(int(place) % len(value.array.shape) < axis for place in given) if len(given) else None


def _expanded(step: Step, value: Value, axis: int) -> int | None:
    place = constant(step.arguments[1])
    return None if place is None else axis + (int(np.ravel(place)[0]) % (len(value.array.shape) + 1) <= axis)


def _reduced(step: Step, value: Value, axis: int) -> int | None:
    places = constant(step.arguments[1])
    gone = set() if places is None else {int(place) % len(value.array.shape) for place in np.ravel(places)}
    if places is None or axis in gone:
        return None
    return axis if step.attributes.get("keep_dims") else axis - sum(place < axis for place in gone)


def _lettered(step: Step, value: Value, axis: int) -> int | None:
    """Return the axis that has the same letter in the result of an Einsum."""
    given = step.attributes["equation"]
    text = (given.decode() if isinstance(given, bytes) else given).replace(" ", "")
    terms, _, result = text.partition("->")
    place = next(number for number, one in enumerate(step.inputs) if one is value)
    letter = terms.split(",")[place][axis : axis + 1]
    return None if "." in text or letter not in result else result.index(letter)


_MOVES: tuple[tuple[frozenset[str], Callable[[Step, Value, int], int | None]], ...] = (
    (frozenset({"Transpose"}), _transposed),
    (frozenset({"Reshape"}), _reshape),
    (frozenset({"Pack", "Unpack"}), _packed),
    (frozenset({"Squeeze"}), _squeezed),
    (frozenset({"ExpandDims"}), _expanded),
    (frozenset({"Mean", "Sum", "Max", "Min", "Prod"}), _reduced),
    (frozenset({"Einsum"}), _lettered),
    (MATMULS, _multiplied),
    (frozenset({"StridedSlice"}), _sliced),
)
