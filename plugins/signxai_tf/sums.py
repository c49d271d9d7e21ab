"""Sums, choices and placements at places that are constants: cumulative and segment sums, scatters, bands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import tensorflow as tf

from signxai_tf.batch_axis import may_be_batch
from signxai_tf.calls import compose
from signxai_tf.traits import Unit, constant
from signxai_tf.values import FREE, TRACKED, Step


def _fixed_places(step: Step, *places: int) -> bool:
    """Return whether arguments that say where numbers go are constants."""
    return all(step.arguments[place].state == FREE for place in places)


def _band(unit: Unit, step: Step) -> Unit | None:
    """The numbers on some diagonals of a matrix, and 0 elsewhere."""
    if not _fixed_places(step, 1, 2):
        return None
    below, above = (constant(step.arguments[place]) for place in (1, 2))
    name = "tril" if above == 0 and below < 0 else "triu" if below == 0 and above < 0 else "band"
    return attrs.evolve(unit, kind="selection", function=name)


def _cumulative(unit: Unit, step: Step) -> Unit | None:
    axis = constant(step.arguments[1])
    if axis is None:
        return None
    place = int(axis) % len(step.outputs[0].array.shape)
    if may_be_batch(step.arguments[0], place):
        return None
    return attrs.evolve(unit, kind="average_pooling", function="cumsum", attributes={"axis": place})


def _segments(kind: str, name: str) -> Callable[[Unit, Step], Unit | None]:
    """Return the reading of a reduction over the first axis, by constant segments."""

    def read(unit: Unit, step: Step) -> Unit | None:
        fixed = all(value.state == FREE for value in step.inputs[1:])
        if not fixed or may_be_batch(step.arguments[0], 0):
            return None
        return attrs.evolve(unit, kind=kind, function=name)

    return read


def _scattered(unit: Unit, step: Step) -> Unit | None:
    """Numbers put, or added, at constant places."""
    if step.op == "ScatterNd":
        return attrs.evolve(unit, kind="average_pooling", function="scatter_add") if _fixed_places(step, 0, 2) else None
    if not _fixed_places(step, 1):
        return None
    if step.op in ("TensorScatterMax", "TensorScatterMin"):
        constants = len(unit.inputs) < 2
        name = "amax" if step.op.endswith("Max") else "amin"
        return attrs.evolve(unit, kind="selection", function=name, constants=constants)
    linear = compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like)
    if step.op == "TensorScatterUpdate":
        return attrs.evolve(unit, kind="shape", function="scatter", constants=True, linear=linear)
    if len(unit.inputs) < 2:
        return _shifted(unit, step)
    signs = (1, -1 if step.op == "TensorScatterSub" else 1)
    return attrs.evolve(unit, kind="sum", function="scatter_add", signs=signs)


def _shifted(unit: Unit, step: Step) -> Unit | None:
    """Constants added at some places, or numbers added to constants."""
    tensor, places, updates = step.arguments
    if tensor.state != TRACKED:
        return (
            attrs.evolve(
                unit,
                kind="average_pooling",
                function="scatter_add",
                constants=True,
                linear=compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like),
            )
            if step.op == "TensorScatterAdd"
            else None
        )
    added = tf.scatter_nd(places.array, updates.array, tf.shape(tensor.array, out_type=places.array.dtype))
    shift = -added if step.op == "TensorScatterSub" else added
    parameters: dict[str, Any] = {"scale": tf.ones((), shift.dtype), "shift": shift}
    return attrs.evolve(unit, kind="scaling", function="add", parameters=parameters, attributes={"scale": 1.0})


HANDLERS: dict[str, Callable[[Unit, Step], Unit | None]] = {
    "MatrixBandPart": _band,
    "Cumsum": _cumulative,
    **dict.fromkeys(("SegmentSum", "UnsortedSegmentSum"), _segments("average_pooling", "segment_sum")),
    "SegmentMean": _segments("average_pooling", "segment_mean"),
    **dict.fromkeys(("SegmentMax", "UnsortedSegmentMax"), _segments("selection", "segment_max")),
    **dict.fromkeys(("SegmentMin", "UnsortedSegmentMin"), _segments("selection", "segment_min")),
    **dict.fromkeys(("SegmentSumV2",), _segments("average_pooling", "segment_sum")),
    "ScatterNd": _scattered,
    **dict.fromkeys(("TensorScatterAdd", "TensorScatterSub", "TensorScatterUpdate"), _scattered),
    **dict.fromkeys(("TensorScatterMax", "TensorScatterMin"), _scattered),
}
