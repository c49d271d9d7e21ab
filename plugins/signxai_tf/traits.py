"""What the engine is told about an operation, and the run as a graph to find operations in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_core.specs.operations import Kind
from signxai_tf.calls import Layout, Program, compose
from signxai_tf.values import FREE, TAINTED, TRACKED, Step, Value
from signxai_tf.vocabulary import DETACHED


@attrs.frozen(eq=False, kw_only=True)
class Unit:
    """Steps that make one operation.

    Parameters
    ----------
    steps
        In the order of execution.
    inputs, outputs
        Tracked values that go in and come out.
    linear, layout
        As in :class:`~signxai_tf.calls.Handle`.
    weight
        The value of the weight, for operations that have one.

    The others are those of :class:`~signxai_core.engine.backend.Operation`.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    kind: Kind
    function: str
    parameters: dict[str, Any] = attrs.field(factory=dict)
    signs: tuple[int, ...] = ()
    channel_axis: int | None = None
    padding: bool = False
    constants: bool = False
    attributes: dict[str, Any] = attrs.field(factory=dict)
    note: str = ""
    linear: Program | None = None
    layout: Layout | None = None
    weight: Value | None = None

    @property
    def recorded(self) -> Program:
        """The steps as a program."""
        return compose(self.steps, self.inputs, self.outputs)

    @property
    def path(self) -> str:
        """Path of the layer."""
        return next((step.path for step in self.steps if step.path), "")

    @property
    def group(self) -> tuple[str, int] | None:
        """Name and number of the group that the last step belongs to."""
        return self.steps[-1].origin.group


class Net:
    """A run as a graph.

    Parameters
    ----------
    steps
        All steps that depend on the input.
    output
        The model's output.
    """

    def __init__(self, steps: Sequence[Step], output: Value) -> None:
        self.output = output
        self.steps = _needed(steps, output)
        self.number = {id(step): number for number, step in enumerate(self.steps)}
        self._consumers: dict[int, list[Step]] = {}
        for step in self.steps:
            for value in {id(value): value for value in step.inputs}.values():
                self._consumers.setdefault(id(value), []).append(step)

    def consumers(self, value: Value) -> list[Step]:
        """Return the steps that use a value."""
        return self._consumers.get(id(value), [])

    def sole(self, value: Value) -> Step | None:
        """Return the only step that uses a value, or ``None``; the model's output has a user of its own."""
        users = self.consumers(value)
        return users[0] if len(users) == 1 and value is not self.output else None


def _needed(steps: Sequence[Step], output: Value) -> list[Step]:
    wanted = {id(output)}
    kept: list[Step] = []
    for step in reversed(steps):
        if any(id(value) in wanted for value in step.outputs):
            wanted.update(id(value) for value in step.inputs)
            kept.append(step)
    return kept[::-1]


def constant(value: Value) -> Any:
    """Return the numbers of a value that does not depend on the input; ``None`` where they are not at hand."""
    return tf.get_static_value(value.array) if value.state == FREE else None


def tracked_outputs(step: Step) -> tuple[Value, ...]:
    """Return the outputs with a derivative."""
    return tuple(value for value in step.outputs if value.state == TRACKED)


def number(value: Value, depth: int = 8) -> float | None:
    """Return a constant that is a single number of the model's code, not of its variables."""
    found = constant(value)
    if found is None or np.size(found) != 1 or _reads_variable(value, depth):
        return None
    return float(np.ravel(found)[0])


def _reads_variable(value: Value, depth: int) -> bool:
    """Return whether a constant is computed from a variable; long computations are taken for that."""
    step = value.step
    if step is None:
        return value.owner is not None
    return depth == 0 or "Variable" in step.op or any(_reads_variable(item, depth - 1) for item in step.inputs)


def is_number(value: Value, number: float) -> bool:
    """Return whether all numbers of a constant are a given one."""
    found = constant(value)
    return found is not None and bool(np.all(np.asarray(found) == number))


def is_mask(value: Value) -> bool:
    """Return whether a value without a derivative is piecewise constant: made of conditions and places alone."""
    if value.state != TAINTED or not value.array.dtype.is_floating:
        return value.state != TRACKED
    step = value.step
    return step is not None and step.op not in DETACHED and all(is_mask(item) for item in step.inputs)


def is_binary(value: Value) -> bool:
    """Return whether a value is a condition that depends on the input, as zeros and ones."""
    if value.state != TAINTED or value.array.dtype == tf.bool:
        return value.state == TAINTED
    step = value.step
    if step is None or step.op not in _KEEPS_BINARY:
        return False
    return all(is_binary(item) for item in step.inputs if item.state == TAINTED)


#: Operations that leave zeros and ones what they are, if their constant arguments are axes and shapes.
_KEEPS_BINARY = frozenset(
    {"Cast", "Reshape", "ExpandDims", "Squeeze", "BroadcastTo", "Tile", "Transpose", "StridedSlice", "GatherV2"}
)
