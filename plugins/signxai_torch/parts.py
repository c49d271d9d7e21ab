"""Large dense weights under an elementwise function, without ever holding the result.

A dense layer may hold hundreds of megabytes. Writing, say, its positive part to fresh memory costs
more than the matrix product itself; mapped part by part it stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import torch
from torch import Tensor

#: Numbers per part.
PART = 2**19


@attrs.frozen(eq=False)
class InParts:
    """``function(weight)`` of a dense operation, whose output units lie along axis ``outer``."""

    function: Callable[[Tensor], Tensor]
    weight: Tensor
    outer: int

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield output units and their mapped weights, one row per unit."""
        units = self.weight.shape[self.outer]
        count = max(1, PART * units // self.weight.numel())
        for start in range(0, units, count):
            part = self.weight.narrow(self.outer, start, min(count, units - start))
            mapped = self.function(part)
            yield slice(start, start + count), mapped if self.outer == 0 else mapped.T

    def times(self, x: Tensor) -> Tensor:
        """Return the outputs for ``x``, without bias."""
        z = x.new_empty(*x.shape[:-1], self.weight.shape[self.outer])
        for units, rows in self._parts():
            z[..., units] = torch.nn.functional.linear(x, rows)
        return z

    def pull(self, t: Tensor) -> Tensor:
        """Return the vector-Jacobian product of :meth:`times`."""
        total: Tensor | None = None
        for units, rows in self._parts():
            product = t[..., units] @ rows
            total = product if total is None else total.add_(product)
        assert total is not None, "a dense operation has output units"
        return total
