"""Large weights, scaled and under an elementwise function, in memory that is used again and again.

Fresh memory costs more than arithmetic: writing the positive part of a dense layer of hundreds of
megabytes to it takes longer than the matrix product. So such a weight is mapped part by part
whenever it is used, and a smaller one once, into memory that the walk keeps for the next operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import attrs
import torch
from torch import Tensor

from signxai_torch.calls import Call, Layout
from signxai_torch.derivatives import pull

#: Numbers per part.
PART = 2**19
#: Weights with more numbers are never held as a whole.
_WHOLE = 2**23
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


def is_large(weight: Tensor, layout: Layout | None) -> bool:
    """Return whether a weight is better mapped in parts, and can be: its outputs are independent of each other."""
    if layout is None or weight.numel() <= PART or layout.groups > 1:
        return False
    return not layout.convolution or layout.outer == 0


@attrs.define(eq=False)
class InParts:
    """A weight for which :func:`is_large` holds, scaled and under functions, applied in their order.

    Parameters
    ----------
    call
        Handle of the operation.
    weight
        The operation's own.
    inner, outer
        See :func:`scaled`.
    functions
        Elementwise.
    """

    call: Call
    weight: Tensor
    inner: Tensor | None = None
    outer: Tensor | None = None
    functions: tuple[Callable[[Tensor], Tensor], ...] = ()
    _whole: Tensor | None = attrs.field(default=None, init=False)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> InParts:
        """Return ``function`` of this weight."""
        return attrs.evolve(self, functions=(*self.functions, function))

    def __mul__(self, factor: Tensor) -> InParts:
        """Return this weight times a number."""
        return self.mapped(lambda part: part * factor)

    def _parts(self, layout: Layout) -> Iterator[tuple[int, Tensor]]:
        """Yield parts of the mapped weight, and their first output unit."""
        if self.weight.numel() > _WHOLE:
            yield from self._mapped_parts(layout)
            return
        if self._whole is None:
            self._whole = self.call.scratch.take(self.weight, self)
            for start, part in self._mapped_parts(layout):
                self._whole.narrow(layout.outer, start, part.shape[layout.outer]).copy_(part)
        yield 0, self._whole

    def _mapped_parts(self, layout: Layout) -> Iterator[tuple[int, Tensor]]:
        units = self.weight.shape[layout.outer]
        count = math.ceil(units / math.ceil(self.weight.numel() / PART))
        count = min(units, math.ceil(count / _UNITS) * _UNITS)
        for start in range(0, units, count):
            length = min(count, units - start)
            part = self.weight.narrow(layout.outer, start, length)
            if self.inner is not None or self.outer is not None:
                part = scaled(part, layout, self.inner, None if self.outer is None else self.outer[start:][:length])
            for function in self.functions:
                part = function(part)
            yield start, part

    def times(self, x: Tensor) -> Tensor:
        """Return the outputs for ``x``, without bias."""
        layout, linear = self.call.layout, self.call.linear
        assert layout is not None and linear is not None, "only weights with a layout are large"
        axis, outputs = 1 if layout.convolution else x.dim() - 1, None
        for start, part in self._parts(layout):
            some = linear((x,), part)
            if part.shape == self.weight.shape:
                return some
            if outputs is None:
                # Kept results between freed parts would keep the next part from taking their place.
                outputs = some.new_empty(*some.shape[:axis], self.weight.shape[layout.outer], *some.shape[axis + 1 :])
            outputs.narrow(axis, start, some.shape[axis]).copy_(some)
        assert outputs is not None, "an operation has output units"
        return outputs

    def pull(self, t: Tensor) -> Tensor:
        """Return the vector-Jacobian product of :meth:`times`."""
        layout = self.call.layout
        assert layout is not None, "only weights with a layout are large"
        axis, total = 1 if layout.convolution else t.dim() - 1, None
        for start, part in self._parts(layout):
            some = t.narrow(axis, start, part.shape[layout.outer])
            product = pull(layout, part, some, self.call.local_inputs[0])
            total = product if total is None else total.add_(product)
        assert total is not None, "an operation has output units"
        return total
