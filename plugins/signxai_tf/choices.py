"""Reductions, bounds and choices among numbers, with their axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_tf import masks
from signxai_tf.batch_axis import may_be_batch
from signxai_tf.calls import compose
from signxai_tf.traits import Unit, constant, is_number, number
from signxai_tf.values import TAINTED, TRACKED, Step, Value
from signxai_tf.vocabulary import KIND

#: Kernels of ``ScaleAndTranslate`` whose weights are never negative.
_NO_NEGATIVE_WEIGHT = frozenset({b"triangle", b"box", b"gaussian"})


def plain(unit: Unit, step: Step) -> Unit | None:
    """Return an operation of the first argument whose name decides its kind."""
    if step.op not in KIND:
        return None
    kind = KIND[step.op][0]
    if any(value.state == TRACKED for value in step.inputs[1:]) and kind != "shape":
        return None
    attributes = _attributes(step)
    if kind != "shape":
        return attrs.evolve(unit, kind=kind, attributes=attributes)
    if any(value.state != TRACKED and not _is_known(value) for value in step.inputs):
        return _selection(unit, step)
    constants = [v for v in step.inputs if v.state != TRACKED and v.array.dtype.is_floating]
    if constants:
        linear = compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like)
        return attrs.evolve(unit, kind=kind, constants=True, linear=linear, attributes=attributes)
    return attrs.evolve(unit, kind=kind, attributes=attributes)


def _is_known(value: Value) -> bool:
    """Return whether a constant may be an argument of an index map: places must not depend on the input."""
    return value.state != TAINTED or value.array.dtype.is_floating


def _selection(unit: Unit, step: Step) -> Unit:
    """Return an operation that chooses among numbers of its inputs and constants."""
    constants = any(v.state != TRACKED and v.array.dtype.is_floating for v in step.inputs)
    return attrs.evolve(unit, kind="selection", constants=constants)


def _attributes(step: Step) -> dict[str, Any]:
    """Return the axis or order of axes of an operation whose name decides its kind."""
    rank = len(step.outputs[0].array.shape)
    if step.op in ("Softmax", "LogSoftmax"):
        return {"axis": rank - 1}
    if step.op == "Transpose":
        order = constant(step.arguments[1])
        return {} if order is None else {"order": tuple(int(axis) for axis in order)}
    if step.op in ("Concat", "ConcatV2"):
        axis = constant(step.arguments[1 if step.op == "ConcatV2" else 0])
        return {} if axis is None else {"axis": int(axis) % rank}
    return {"axis": int(step.attributes.get("axis", 0)) % rank} if step.op == "Pack" else {}


def _reduction(step: Step) -> dict[str, Any] | None:
    """Return the axes of a reduction that leaves the batch's axis alone."""
    axes, rank = constant(step.arguments[1]), len(step.arguments[0].array.shape)
    if axes is None:
        return None
    places = tuple(sorted({int(axis) % max(rank, 1) for axis in np.ravel(axes)}))
    if any(may_be_batch(step.arguments[0], place) for place in places):
        return None
    return {"axes": places, "keepdims": bool(step.attributes.get("keep_dims", False))}


_REDUCTIONS = {
    "Mean": ("average_pooling", "mean"),
    "Sum": ("average_pooling", "sum"),
    "Max": ("max_pooling", "amax"),
    "Min": ("selection", "amin"),
}


def _reduced(unit: Unit, step: Step) -> Unit | None:
    kind, name = _REDUCTIONS[step.op]
    attributes = _reduction(step)
    unit = attrs.evolve(unit, function=name)
    return None if attributes is None else attrs.evolve(unit, kind=kind, attributes=attributes)


def clamped(low: Value | None, high: Value | None) -> dict[str, Any]:
    """Return function and attributes of bounds that are constants."""
    if high is not None and is_number(high, math.inf):
        high = None
    if low is not None and masks.is_zero(low):
        if high is None:
            return {"function": "relu"}
        if is_number(high, 6):
            return {"function": "relu6"}
    bounds = {"low": low, "high": high}
    numbers = {name: number(value) for name, value in bounds.items() if value is not None}
    return {"function": "clamp", "attributes": {name: n for name, n in numbers.items() if n is not None}}


def _bound(unit: Unit, step: Step) -> Unit | None:
    """``max(x, c)``, ``min(x, c)``, or the larger or smaller of two tensors."""
    if len(unit.inputs) != 1:
        return _selection(attrs.evolve(unit, function=step.op.lower()), step)
    if tuple(unit.inputs[0].array.shape) != tuple(unit.outputs[0].array.shape):
        return None
    other = next(value for value in step.inputs if value.state != TRACKED)
    if step.op == "Maximum":
        return attrs.evolve(unit, kind="activation", **clamped(other, None))
    return attrs.evolve(unit, kind="activation", **clamped(None, other))


def _clip(unit: Unit, step: Step) -> Unit | None:
    if len(unit.inputs) != 1 or step.arguments[0].state != TRACKED:
        return None
    return attrs.evolve(unit, kind="activation", **clamped(*step.arguments[1:]))


def _leaky(unit: Unit, step: Step) -> Unit | None:
    slope = step.attributes.get("alpha", 0.2)
    return attrs.evolve(unit, kind="activation", function="leaky_relu" if slope else "relu")


def _where(unit: Unit, step: Step) -> Unit | None:
    """A choice by a condition, which is a constant of the operation."""
    return None if step.arguments[0].state == TRACKED else _selection(unit, step)


def _first(unit: Unit, step: Step) -> Unit | None:
    """A choice among the numbers of the first argument."""
    return _selection(unit, step) if step.arguments[0].state == TRACKED and len(unit.inputs) == 1 else None


def _resized(unit: Unit, step: Step) -> Unit | None:
    """Resizing; bicubic and others have negative weights."""
    found, kernel = plain(unit, step), step.attributes.get("kernel_type", b"triangle")
    overshoots = step.op == "ResizeBicubic" or kernel not in _NO_NEGATIVE_WEIGHT
    return None if found is None else attrs.evolve(found, constants=overshoots)


def _pad(unit: Unit, step: Step) -> Unit | None:
    zero = step.op == "Pad" or is_number(step.arguments[2], 0)
    found = plain(unit, step)
    return None if found is None else attrs.evolve(found, padding=zero and found.kind == "shape")


HANDLERS: dict[str, Callable[[Unit, Step], Unit | None]] = {
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("Maximum", "Minimum"), _bound),
    "ClipByValue": _clip,
    "LeakyRelu": _leaky,
    **dict.fromkeys(("ResizeBicubic", "ScaleAndTranslate"), _resized),
    **dict.fromkeys(("Select", "SelectV2"), _where),
    **dict.fromkeys(("TopK", "TopKV2"), _first),
    **dict.fromkeys(("Pad", "PadV2"), _pad),
}
