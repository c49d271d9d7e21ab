"""What one pass over the recorded operations knows of their tensors; :mod:`signxai_core.engine.roles` fills it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

import attrs

from signxai_core.engine.backend import Operation

#: Goes up with every change that alters the map of a network that ran before.
REVISION: Final = 1

Role = Literal["signal", "gate", "statistic", "denominator"]


@attrs.frozen
class Operand:
    """What one operand is to its operation, and where that was decided (``"sigmoid at blocks.0.se"``)."""

    role: Role
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.role}: {self.origin}" if self.origin else self.role


@attrs.frozen
class Statistic:
    """What is known of a tensor that was reduced to statistics.

    Parameters
    ----------
    origin
        Where it was reduced.
    size
        How many numbers the reduction left.
    of
        Ids of the tensors whose squares or magnitudes were reduced.
    """

    origin: str
    size: int
    of: frozenset[int]


@attrs.define(eq=False)
class Facts:
    """What is known of the tensors of a recording.

    Parameters
    ----------
    shapes
        By tensor.
    producer
        Operation by the id of the tensor that it made.

    Attributes
    ----------
    ancestors
        By tensor: the tensors that it is an elementwise function of, itself first, the nearest next.
    affine
        By tensor: base, factor and shift where it is ``factor · base + shift`` with known numbers.
    gates
        By tensor: where the gate came from.
    statistics
        By tensor.
    even
        Tensors that are functions of magnitudes alone, and the tensor whose magnitudes they are.
    summaries
        By tensor: the tensor whose mean or statistics it is a function of, and of nothing else.
    normalised
        By tensor: the tensor that it is a normalisation of, within the sample.
    affine_parts
        Normalised tensors, and what shape operations and constant scalings make of them.
    activated
        Outputs of activation functions, through shape operations.
    consumers
        Operations by the id of a tensor that they read, as far as the pass has come.
    operands, views
        By index of the operation.
    """

    shapes: Mapping[int, tuple[int, ...]]
    producer: Mapping[int, Operation]
    ancestors: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    affine: dict[int, tuple[int, float, float]] = attrs.field(factory=dict)
    gates: dict[int, str] = attrs.field(factory=dict)
    statistics: dict[int, Statistic] = attrs.field(factory=dict)
    even: dict[int, int] = attrs.field(factory=dict)
    summaries: dict[int, int] = attrs.field(factory=dict)
    normalised: dict[int, int] = attrs.field(factory=dict)
    affine_parts: set[int] = attrs.field(factory=set)
    activated: set[int] = attrs.field(factory=set)
    consumers: dict[int, list[Operation]] = attrs.field(factory=dict)
    operands: dict[int, tuple[Operand, ...]] = attrs.field(factory=dict)
    views: dict[int, Operation] = attrs.field(factory=dict)

    def lineage(self, tensor: int) -> tuple[int, ...]:
        """Return the tensors that a tensor is an elementwise function of, itself first."""
        return self.ancestors.get(tensor, (tensor,))

    def size(self, tensor: int) -> int:
        """Return how many numbers a tensor holds."""
        return math.prod(self.shapes[tensor])

    def view(self, operation: Operation) -> Operation:
        """Return an operation as relevance sees it."""
        return self.views.get(operation.index, operation)

    @property
    def targets(self) -> frozenset[int]:
        """Tensors that relevance is handed to past the operations that read them."""
        seen = {operation.inputs[0] for operation in self.views.values()}
        return frozenset(seen.union(self.normalised.values()))

    def through(self, tensor: int, passes: Callable[[Operation], bool]) -> int:
        """Return the tensor that one is made of by operations with one input that may be passed."""
        while tensor in self.producer:
            operation = self.producer[tensor]
            if len(operation.inputs) != 1 or not passes(operation):
                break
            tensor = operation.inputs[0]
        return tensor


def place_of(operation: Operation) -> str:
    """Return an operation and its layer in words."""
    return f"{operation.function} at {operation.path}" if operation.path else operation.function


def is_index(operation: Operation) -> bool:
    """Return whether an operation only moves numbers, or does nothing."""
    return operation.kind in ("shape", "dropout")


def keeps_shape(facts: Facts, operation: Operation) -> bool:
    """Return whether all inputs and outputs of an operation have one shape."""
    shapes = {facts.shapes[tensor] for tensor in (*operation.inputs, *operation.outputs)}
    return len(shapes) == 1


def see(facts: Facts, operation: Operation, kind_name: str, name: str, tensor: int, **attributes: object) -> None:
    """Note that relevance sees an operation as a function of one tensor."""
    facts.views[operation.index] = attrs.evolve(
        operation, kind=kind_name, function=name, inputs=(tensor,), attributes={**operation.attributes, **attributes}
    )
