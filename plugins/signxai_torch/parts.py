"""Large weights, scaled and under a cell, in memory that is used again and again.

Fresh memory costs more than arithmetic: writing the positive part of a dense layer of hundreds of
megabytes to it takes longer than the matrix product. So such a weight is mapped part by part
whenever it is used, and a smaller one once, into memory that the walk keeps for the next operation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import torch
from torch import Tensor

from signxai_core.engine.backend import Backend
from signxai_core.engine.mapping import UnitSquare, apply_weight_cell, unit
from signxai_core.specs.cells import KEEP, NEGATIVE, POSITIVE, SQUARE, WeightCell
from signxai_torch.calls import Call, Layout
from signxai_torch.derivatives import pull

#: Numbers per part.
PART = 2**19
#: Weights with more numbers are never held as a whole.
WHOLE = 2**23
#: Output units come in multiples of this, which is what processors like.
_UNITS = 16


def scaled(weight: Tensor, layout: Layout, inner: Tensor | None, outer: Tensor | None) -> Tensor:
    """Return a weight with input channels times ``inner`` and output channels times ``outer``."""
    groups = layout.groups
    # With a first axis for groups; the axis that runs over all channels is split.
    grouped = weight[None] if groups == 1 else weight.reshape(groups, -1, *weight.shape[1:])
    for factors, axis in ((inner, layout.inner), (outer, layout.outer)):
        if factors is not None:
            shape = [1] * grouped.dim()
            shape[0], shape[axis + 1] = groups, -1
            grouped = grouped * factors.reshape(shape)
    return grouped.reshape(weight.shape)


def is_large(weight: Tensor, layout: Layout) -> bool:
    """Return whether a weight is better mapped in parts, and can be: its outputs are independent of each other."""
    if weight.numel() <= PART or layout.groups > 1:
        return False
    return not layout.convolution or layout.outer == 0


@attrs.define(eq=False)
class InParts:
    """A cell of a weight for which :func:`is_large` holds, scaled before.

    Parameters
    ----------
    backend
        Applies cells.
    call, layout
        Handle of the operation, and the weight's layout.
    weight
        The operation's own.
    inner, outer
        See :func:`scaled`.
    factor
        A number for the whole weight.
    cell
        ``KEEP`` where the weight is only scaled.
    """

    backend: Backend
    call: Call
    layout: Layout
    weight: Tensor
    inner: Tensor | None = None
    outer: Tensor | None = None
    factor: Tensor | None = None
    cell: WeightCell = KEEP
    _memory: Tensor | None = attrs.field(default=None, init=False)

    def __mul__(self, factor: Tensor) -> InParts:
        """Return this weight times a number."""
        return attrs.evolve(self, factor=factor if self.factor is None else self.factor * factor)

    def mapped(self, cell: WeightCell) -> InParts:
        """Return a cell of this weight; the unit of a square is that of the whole weight."""
        if not isinstance(cell, UnitSquare):
            return attrs.evolve(self, cell=cell)
        size = unit(self.backend, self.weight)
        for factors in (self.inner, self.outer, self.factor):
            size = size if factors is None else size * unit(self.backend, factors)
        factor = size if self.factor is None else self.factor * size
        return attrs.evolve(self, factor=factor, cell=SQUARE)

    def slices(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the mapped weight by output units; a slice is gone when the next one comes."""
        axis, units = self.layout.outer, self.weight.shape[self.layout.outer]
        plain = self.cell == KEEP and self.inner is None and self.outer is None and self.factor is None
        count = self._count()
        memory = self.weight if plain else self.call.scratch.take(self.weight.narrow(axis, 0, count), self)
        for start in range(0, units, count):
            length = min(count, units - start)
            part = memory.narrow(axis, start if plain else 0, length)
            if not plain:
                self._write(start, part)
            yield slice(start, start + length), part

    def _count(self) -> int:
        """Return how many output units make a part."""
        units = self.weight.shape[self.layout.outer]
        count = math.ceil(units / math.ceil(self.weight.numel() / PART))
        return min(units, math.ceil(count / _UNITS) * _UNITS)

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield :meth:`slices`, or a weight of moderate size as a whole, which is mapped once."""
        if self.weight.numel() > WHOLE:
            yield from self.slices()
            return
        units = self.weight.shape[self.layout.outer]
        if self._memory is None:
            self._memory = self.call.scratch.take(self.weight, self)
            for start in range(0, units, self._count()):
                length = min(self._count(), units - start)
                self._write(start, self._memory.narrow(self.layout.outer, start, length))
        yield slice(0, units), self._memory

    def _write(self, start: int, memory: Tensor) -> None:
        """Write the mapped weights of output units from ``start`` on."""
        count = memory.shape[self.layout.outer]
        part = self.weight.narrow(self.layout.outer, start, count)
        outer = None if self.outer is None else self.outer.narrow(0, start, count)
        for factor, axis in ((self.inner, self.layout.inner), (outer, self.layout.outer), (self.factor, 0)):
            if factor is not None:
                shape = [-1 if place == axis else 1 for place in range(part.dim())]
                part = torch.mul(part, factor.reshape(shape), out=memory)
        if self.cell == POSITIVE:
            torch.clamp(part, min=0.0, out=memory)
        elif self.cell == NEGATIVE:
            torch.clamp(part, max=0.0, out=memory)
        elif self.cell != KEEP:
            memory.copy_(apply_weight_cell(self.backend, self.cell, part))

    def times(self, x: Tensor) -> Tensor:
        """Return the outputs for ``x``, without bias."""
        linear = self.call.linear
        assert linear is not None, "operations with a weight have a form with a place for it"
        axis = 1 if self.layout.convolution else x.dim() - 1
        outputs: Tensor | None = None
        for units, part in self._parts():
            some: Tensor = linear((x,), part)
            if part.shape == self.weight.shape:
                return some
            if outputs is None:
                length = self.weight.shape[self.layout.outer]
                outputs = some.new_empty(*some.shape[:axis], length, *some.shape[axis + 1 :])
            outputs.narrow(axis, units.start, some.shape[axis]).copy_(some)
        assert outputs is not None, "an operation has output units"
        return outputs

    def pull(self, t: Tensor) -> Tensor:
        """Return the vector-Jacobian product of :meth:`times`."""
        axis = 1 if self.layout.convolution else t.dim() - 1
        total: Tensor | None = None
        for units, part in self._parts():
            some = t.narrow(axis, units.start, part.shape[self.layout.outer])
            product = pull(self.layout, part, some, self.call.local_inputs[0])
            total = product if total is None else total.add_(product)
        assert total is not None, "an operation has output units"
        return total
