"""Recorded numbers, of which some are computed again when they are asked for.

What a ReLU or a batch-normalisation reads is rarely asked for by a walk, and takes as much memory as
what it makes. So it is dropped during the run, and computed again, to the same bits, where a rule
needs it after all.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import torch
from torch import Tensor

from signxai_core.engine.backend import Operation, Released
from signxai_torch.calls import exact

#: Functions before which values are dropped.
READERS = frozenset({"relu", "batch_norm"})
#: Functions whose single result is dropped. The rule of sums asks for theirs, if only for the largest number.
MAKERS = frozenset({"conv1d", "conv2d", "conv3d", "linear", "batch_norm"})


@attrs.frozen(eq=False)
class Dropped:
    """Stands for a value that was dropped."""

    operation: Operation
    shape: torch.Size

    def again(self, values: Values) -> Tensor:
        """Compute the value again."""
        inputs = [values[tensor] for tensor in self.operation.inputs]
        with torch.inference_mode(False), torch.no_grad(), exact(inputs[0]):
            value: Tensor = self.operation.call.recorded(inputs)
        return value


class Values(dict[int, Any]):
    """Values by tensor id. A stand-in has the value's shape; the inherited ``dict.__getitem__`` returns it."""

    def __init__(self) -> None:
        super().__init__()
        #: How many dropped tensors are computed from one.
        self._sources: Counter[int] = Counter()

    def __getitem__(self, tensor: int) -> Any:
        """Return a value, computed again if it was dropped."""
        value = super().__getitem__(tensor)
        return value.again(self) if isinstance(value, Dropped) else value

    def __setitem__(self, tensor: int, value: Any) -> None:
        """Set a value; one that a dropped value is computed from is not released before that is."""
        if isinstance(value, Released):
            if self._sources[tensor] > 0:
                return
            if self.is_dropped(tensor):
                self._sources.subtract(super().__getitem__(tensor).operation.inputs)
        super().__setitem__(tensor, value)

    def shape(self, tensor: int) -> torch.Size:
        """Return the shape of a value, which is not computed for that."""
        return super().__getitem__(tensor).shape  # type: ignore[no-any-return]

    def values(self) -> Any:
        """Return all values."""
        return [self[tensor] for tensor in self]

    def items(self) -> Any:
        """Return all ids and values."""
        return [(tensor, self[tensor]) for tensor in self]

    def is_dropped(self, tensor: int) -> bool:
        """Return whether a value would have to be computed again."""
        return isinstance(self.get(tensor), Dropped)

    def drop(self, tensor: int, operation: Operation) -> None:
        """Drop what an operation made."""
        if not self.is_dropped(tensor):
            self[tensor] = Dropped(operation, super().__getitem__(tensor).shape)
            self._sources.update(operation.inputs)
