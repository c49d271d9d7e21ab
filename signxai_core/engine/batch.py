"""Where the samples of a batch are in every recorded tensor.

Numbers per sample (deviations, largest outputs) need to know which numbers belong to one sample. In row-major
order a tensor reads ``before`` blocks of ``batch`` runs of ``after`` numbers each: ``(1, n)`` where the batch's
axis comes first, ``(T, F)`` for ``(T, batch, F)``. Models that put the time first, or fold heads into
the batch's axis, have other numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import attrs

from signxai_core.engine.backend import Array, Backend, Operation
from signxai_core.specs.operations import function

Shape = tuple[int, ...]


@attrs.frozen
class Samples:
    """How a tensor holds its samples: ``before`` blocks of ``batch`` runs of ``after`` numbers."""

    before: int
    after: int


@attrs.frozen
class _Axis:
    """The axis that holds the batch, and how many numbers of it come before and behind the samples."""

    place: int
    outer: int
    inner: int

    def within(self, shape: Shape) -> Samples:
        """Return how a tensor of a shape holds its samples."""
        return Samples(math.prod(shape[: self.place]) * self.outer, self.inner * math.prod(shape[self.place + 1 :]))


def follow(operations: Iterable[Operation], shapes: Mapping[int, Shape], source: int, batch: int) -> dict[int, Samples]:
    """Return how tensors hold their samples; those of which it is not known are left out.

    Parameters
    ----------
    operations
        In the order of execution.
    shapes
        By tensor.
    source, batch
        The model's input, whose first axis is the batch's, and the number of samples.
    """
    found = {source: Samples(1, math.prod(shapes[source][1:]))}
    for operation in operations:
        known = next((tensor for tensor in operation.inputs if tensor in found), None)
        for output in operation.outputs:
            shape = shapes[output]
            if batch == 1:
                found[output] = Samples(1, math.prod(shape))
            elif known is not None:
                samples = _behind(operation, found[known], shapes[known], shape, batch)
                if samples is not None:
                    found[output] = samples
    return found


def _behind(operation: Operation, samples: Samples, before: Shape, after: Shape, batch: int) -> Samples | None:
    """Return how an output holds its samples."""
    if function(operation.function).in_order and math.prod(before) == math.prod(after):
        return samples
    axis = _located(samples, before, batch)
    if axis is None:
        return None
    place = _moved(operation, axis.place, before, after)
    if place is None or place >= len(after) or after[place] != before[axis.place]:
        return samples if math.prod(before) == math.prod(after) and place is None else None
    return attrs.evolve(axis, place=place).within(after)


def _located(samples: Samples, shape: Shape, batch: int) -> _Axis | None:
    """Return the axis that holds the samples, if they do not spread over several."""
    for place, length in enumerate(shape):
        behind = math.prod(shape[place + 1 :])
        inside, rest = divmod(samples.after, behind) if behind else (0, 1)
        if not rest and inside and inside * batch <= length and not length % (inside * batch):
            return _Axis(place, length // (inside * batch), inside)
    return None


def _moved(operation: Operation, axis: int, before: Shape, after: Shape) -> int | None:
    """Return where an axis of the input is in the output; ``None`` where it is gone or mixed."""
    attributes = operation.attributes
    if "order" in attributes:
        order: tuple[int | None, ...] = attributes["order"]
        return order.index(axis) if axis in order else None
    if "axes" in attributes:
        axes: tuple[int, ...] = attributes["axes"]
        if axis in axes:
            return None
        return axis if attributes.get("keepdims") else axis - sum(one < axis for one in axes)
    if operation.function == "stack" and "axis" in attributes:
        return axis + bool(attributes["axis"] <= axis)
    fewer = len(before) - len(after)
    if fewer <= 0:  # broadcasting adds axes in front
        return axis - fewer
    places = [place for place in (axis - fewer, axis) if 0 <= place < len(after) and after[place] == before[axis]]
    return places[0] if places else None


def along(axes: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return axes as array functions take them: a single one as a number."""
    return axes[0] if len(axes) == 1 else axes


def per_sample(
    backend: Backend, samples: Samples, shape: Shape, array: Array, batch: int
) -> tuple[Array, tuple[int, ...]] | None:
    """Return an array with an axis of its own for the samples, and the axes of what belongs to one.

    Parameters
    ----------
    backend
        Reshapes.
    samples, shape
        How a tensor of that shape holds its samples.
    array
        Of that shape, or padded along other axes than the batch's.
    batch
        The number of samples.
    """
    given = tuple(array.shape)
    if given != shape:
        axis = _located(samples, shape, batch) if len(given) == len(shape) else None
        if axis is None or given[axis.place] != shape[axis.place]:
            return None
        samples = axis.within(given)
    if samples.before == 1:
        return backend.reshape(array, (batch, -1)), (1,)
    return backend.reshape(array, (samples.before, batch, samples.after)), (0, 2)
