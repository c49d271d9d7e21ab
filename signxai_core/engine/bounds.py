"""Bounds of the zB rule, checked: low ≤ high everywhere, and low ≤ x ≤ high where the input is read.

Outside its box the rule still computes a map, in which relevance has the wrong sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import Backend, Operation
from signxai_core.engine.placing import spread
from signxai_core.engine.plan import Assignment
from signxai_core.engine.structure import Structure
from signxai_core.errors import ParameterError
from signxai_core.specs.cells import Bound
from signxai_core.specs.fill import cells
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import Rule
from signxai_core.specs.values import Missing, Value

FloatArray = npt.NDArray[Any]
#: Of high − low: bounds and inputs are often rounded to single precision on their way.
_ROUNDING = 1e-5


def check_bounds(backend: Backend, structure: Structure, assignment: Assignment) -> None:
    """Refuse bounds that are the wrong way round, or that the model's input leaves where an operation reads it.

    Raises
    ------
    ParameterError
        Naming the operation, and how far its input goes.
    """
    for operation, rule in _bounded(structure, assignment):
        given = {cell.side: cell.value for cell in cells(rule) if isinstance(cell, Bound)}
        _check(backend, structure, operation, given.get("low"), given.get("high"))


def _bounded(structure: Structure, assignment: Assignment) -> Iterator[tuple[Operation, Rule]]:
    """Yield the first operation that each rule with bounds takes, and the rule."""
    for group, step in zip(structure.groups, assignment.steps, strict=True):
        place = 0
        for part in step:
            if isinstance(part.rule, Rule) and any(isinstance(cell, Bound) for cell in cells(part.rule)):
                yield group.operations[place], part.rule
            place += part.count


def _check(
    backend: Backend,
    structure: Structure,
    operation: Operation,
    low: Value | Missing | None,
    high: Value | Missing | None,
) -> None:
    recording = structure.recording
    x = backend.to_numpy(recording.values[operation.inputs[0]])
    lows, highs = (_numbers(value, structure, x.shape) for value in (low, high))
    lows = np.asarray(-np.inf) if lows is None else lows
    highs = np.asarray(np.inf) if highs is None else highs
    if lows.ndim and highs.ndim and lows.shape != highs.shape:
        return
    wrong = np.argwhere(np.atleast_1d(lows > highs))
    if len(wrong):
        index = tuple(wrong[0])
        below, above = (np.broadcast_to(np.atleast_1d(a), np.broadcast(lows, highs, [0]).shape) for a in (lows, highs))
        raise ParameterError(
            f"low must not be above high: {operation.label} has the zB rule, where low is {below[index]:g} and high is "
            f"{above[index]:g}"
        )
    if _is_input(structure, operation.inputs[0]) and all(array.shape in ((), x.shape) for array in (lows, highs)):
        width = np.where(np.isfinite(highs - lows), highs - lows, 0)
        slack = _ROUNDING * np.maximum(width, np.abs(x))
        outside = (x < lows - slack) | (x > highs + slack)
        if outside.any():
            raise ParameterError(
                f"{int(outside.sum())} of the {x.size} numbers that {operation.label} reads lie outside low and high: "
                f"they go from {x.min():.6g} to {x.max():.6g}, and low and high from {lows.min():.6g} to "
                f"{highs.max():.6g}. The zB rule needs low <= x <= high; give the bounds of the preprocessed input"
            )


def _is_input(structure: Structure, tensor: int) -> bool:
    """Return whether a tensor is the model's input, at most in another shape."""
    if tensor == structure.recording.input:
        return True
    operation = structure.producer.get(tensor)
    return operation is not None and kind(operation.kind).routes and _is_input(structure, operation.inputs[0])


def _numbers(value: Value | Missing | None, structure: Structure, shape: tuple[int, ...]) -> FloatArray | None:
    """Return a bound as numbers that can be compared with an operation's input."""
    if value is None or isinstance(value, Missing):
        return None
    if isinstance(value, float):
        return np.asarray(value)
    recording = structure.recording
    return np.asarray(spread(value.array, recording.shape(recording.input), recording.channel_axis, channels=True))
