"""A compiled forward pass that computes what is asked for.

A walk needs some of the tensors of a forward pass. Which ones is known when it has been compiled; so
the first runs give all tensors, and later ones those that were asked for in the runs before, which
leaves TensorFlow free to merge the others' operations and to write over their memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.backend import Array


@attrs.define(eq=False)
class Forward:
    """A forward pass.

    Parameters
    ----------
    whole
        The compiled function with all outputs.
    small
        Places of outputs that every run gives.
    """

    whole: Any
    small: frozenset[int]
    shapes: tuple[tuple[int, ...], ...] = attrs.field(init=False)
    _asked: frozenset[int] = attrs.field(default=frozenset(), init=False)
    _settled: frozenset[int] = attrs.field(default=frozenset(), init=False)
    _some: tuple[list[int], Any] | None = attrs.field(default=None, init=False)
    _lock: Any = attrs.field(factory=threading.Lock, init=False)

    @shapes.default
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor.shape) for tensor in self.whole.outputs)

    def ask(self, places: frozenset[int]) -> None:
        """Note that a run asked for outputs."""
        if not self._asked.issuperset(places):
            with self._lock:
                self._asked |= places

    def run(self, x: Array, places: Iterable[int]) -> Mapping[int, Array]:
        """Return outputs by place, among which are those in ``places``."""
        some = self._function(frozenset(places))
        if some is None:
            return dict(enumerate(self.whole(x)))
        return dict(zip(some[0], some[1](x), strict=True))

    def _function(self, places: frozenset[int]) -> tuple[list[int], Any] | None:
        """Return places of outputs and what computes them; ``None`` for all, until nothing new has been asked for."""
        with self._lock:
            if not self._asked.issuperset(places):
                self._asked |= places
                self._settled, self._some = frozenset(), None
                return None
            if self._asked != self._settled:
                self._settled, self._some = self._asked, None
                return None
            if self._some is None:
                self._some = self._compiled(sorted(self._asked))
            return self._some

    def _compiled(self, places: list[int]) -> tuple[list[int], Any]:
        def some(x: Array) -> list[Array]:
            outputs = self.whole(x)
            return [outputs[place] for place in places]

        (spec,) = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self.whole.inputs[:1])
        return places, tf.function(some, autograph=False).get_concrete_function(spec)
