"""Memory that one recording uses again and again."""

from __future__ import annotations

import weakref
from typing import Any

import attrs
from torch import Tensor


@attrs.define(eq=False)
class Scratch:
    """Memory for the mapped weights of one walk, each for as long as what asked for it lives."""

    _taken: list[tuple[Tensor, weakref.ref[Any]]] = attrs.field(factory=list, init=False)

    def take(self, weight: Tensor, user: Any) -> Tensor:
        """Return memory of a weight's shape and type."""
        size, kept = weight.numel(), []
        memory: Tensor | None = None
        for known, owner in self._taken:
            if owner() is not None:
                kept.append((known, owner))
            elif memory is None and known.numel() >= size and known.dtype == weight.dtype:
                memory = known
        memory = weight.new_empty(size) if memory is None else memory
        self._taken = [*kept, (memory, weakref.ref(user))]
        return memory[:size].view(weight.shape)
