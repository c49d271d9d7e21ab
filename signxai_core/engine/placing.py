"""Numbers that a user gives for the model's input, at the operation that a rule applies to."""

from __future__ import annotations

from typing import Any

import numpy as np

from signxai_core.engine.backend import Array, Backend
from signxai_core.engine.structure import Group, Structure
from signxai_core.errors import PlanError
from signxai_core.specs.operations import kind
from signxai_core.specs.values import Missing, Value


def at_input(
    backend: Backend, structure: Structure, group: Group, index: int, value: Value | Missing, *, channels: bool
) -> Array | float:
    """Return a number, or an array of the model input's shape, at input number ``index`` of a group.

    Parameters
    ----------
    backend, structure, group, index
        Where the numbers are wanted.
    value
        What the user gave.
    channels
        An array with one axis holds one number per channel.

    Raises
    ------
    PlanError
        If an array was given and the group does not read the input, or the array has another shape.
    """
    assert not isinstance(value, Missing), "missing parameters are refused before"
    if isinstance(value, float):
        return value
    recording = structure.recording
    x = recording.values[recording.input]
    array = spread(value.array, x.shape, recording.channel_axis, channels=channels)
    return _carry(backend, structure, group, group.inputs[index], backend.asarray(array, x))


def _carry(backend: Backend, structure: Structure, group: Group, tensor: int, array: Array) -> Array:
    """Bring an array of the input's shape into a later tensor's, through what is passed on the way.

    Numbers stay as they are: they are compared with what the group reads, like a single number.
    """
    if tensor == structure.recording.input:
        return array
    operation = structure.producer[tensor]
    if kind(operation.kind).affine:
        return _carry(backend, structure, group, operation.inputs[0], array)
    if not kind(operation.kind).before_first:
        raise PlanError(
            f"an array of the input's shape was given, but {group.core.label} does not read the "
            f"input: {operation.label} lies before it. Give a single number for this operation"
        )
    carried = [_carry(backend, structure, group, source, array) for source in operation.inputs]
    return backend.apply(operation, carried)[operation.outputs.index(tensor)]


def spread(array: Any, shape: tuple[int, ...], channel_axis: int, *, channels: bool) -> Any:
    """Broadcast numbers that a user gave to the input's shape."""
    if channels and array.ndim == 1:
        array = array.reshape([-1 if axis == channel_axis else 1 for axis in range(len(shape))])
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise PlanError(
            f"an array of shape {array.shape} was given where one of the input's shape {tuple(shape)}, with or "
            "without its batch axis, was expected (bounds: or one number per channel)"
        ) from error
