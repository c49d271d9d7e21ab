"""A compiled forward pass that computes what is asked for.

A walk needs some of the tensors of a forward pass. Which ones is known when it has been compiled; so
the first run for a purpose gives all tensors, and later ones those that were asked for in the runs
before, which leaves TensorFlow free to merge the others' operations and to write over their memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.backend import Array

#: Compiled selections of outputs per model and shape of the input: those used last.
_MOST = 32


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
    _asked: OrderedDict[Hashable, frozenset[int]] = attrs.field(factory=OrderedDict, init=False)
    _some: OrderedDict[frozenset[int], Callable[[Array], dict[int, Array]]] = attrs.field(
        factory=OrderedDict, init=False
    )
    _lock: Any = attrs.field(factory=threading.Lock, init=False)

    @shapes.default
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(tensor.shape) for tensor in self.whole.outputs)

    def ask(self, purpose: Hashable, places: frozenset[int]) -> None:
        """Note that a run for a purpose asked for outputs."""
        with self._lock:
            self._asked[purpose] = self._asked.pop(purpose, frozenset()) | places
            _forget(self._asked)

    def run(self, x: Array, purpose: Hashable, places: Iterable[int]) -> Mapping[int, Array]:
        """Return outputs by place, among which are those in ``places``."""
        asked = self._asked.get(purpose, frozenset())
        return self._function(asked)(x) if asked.issuperset(places) else dict(enumerate(self.whole(x)))

    def _function(self, places: frozenset[int]) -> Callable[[Array], dict[int, Array]]:
        """Return what computes some outputs."""
        with self._lock:
            if places not in self._some:
                self._some[places] = self._compiled(sorted(places))
                _forget(self._some)
            self._some.move_to_end(places)
            return self._some[places]

    def _compiled(self, places: list[int]) -> Callable[[Array], dict[int, Array]]:
        def some(x: Array) -> list[Array]:
            outputs = self.whole(x)
            return [outputs[place] for place in places]

        (spec,) = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self.whole.inputs[:1])
        function = tf.function(some, autograph=False).get_concrete_function(spec)
        return lambda x: dict(zip(places, function(x), strict=True))


def _forget(known: OrderedDict[Any, Any]) -> None:
    """Drop what was used longest ago."""
    while len(known) > _MOST:
        known.popitem(last=False)
