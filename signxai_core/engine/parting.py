"""Where two recordings of what should be one network part: values forward, then relevance backward.

The operations of both are matched in the order of execution. Where all operations that do something
to the numbers match by kind, all are compared, else those with weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import Recording
from signxai_core.engine.plan import Query, resolve
from signxai_core.engine.run import Run
from signxai_core.engine.structure import Group, Structure
from signxai_core.specs.operations import KINDS, Kind, kind

FloatArray = npt.NDArray[Any]

_WEIGHTED: frozenset[Kind] = KINDS.those(lambda row: row.layer)
#: Frameworks write reshaping, casts and constant factors in different numbers of operations.
_COMPARED: frozenset[Kind] = KINDS.those(lambda row: row.compared)


@attrs.frozen
class Parting:
    """The first place where two models differ.

    Parameters
    ----------
    what
        ``"operations"``: they do not execute the same ones; ``"values"``: the outputs of these
        operations differ, for the same input; ``"relevance"``: what these operations hand on to
        their input differs, for the same relevance at their output.
    a, b
        The operation in the first and in the second model.
    difference
        Largest difference, relative to the first model's largest number there.
    """

    what: str
    a: str
    b: str
    difference: float

    def __str__(self) -> str:
        return f"{self.what}: {self.a} | {self.b}"


@attrs.frozen
class Layouts:
    """Where the channels of the models lie.

    Parameters
    ----------
    a, b
        Whether they are last; matters for arrays of three and more axes, batch axis included.
    """

    a: bool
    b: bool

    def to_a(self, array: FloatArray) -> FloatArray:
        """Return an array of the second model in the layout of the first."""
        return self._moved(array, to_last=self.a)

    def to_b(self, array: FloatArray) -> FloatArray:
        """Return an array of the first model in the layout of the second."""
        return self._moved(array, to_last=self.b)

    def _moved(self, array: FloatArray, *, to_last: bool) -> FloatArray:
        if self.a == self.b or array.ndim < 3:
            return array
        return np.moveaxis(array, 1, -1) if to_last else np.moveaxis(array, -1, 1)


def channels_last(recording: Recording) -> bool:
    """Return whether a recorded model has its channels last."""
    axes = (op.channel_axis for op in recording.operations if op.kind == "convolution")
    return next((axis for axis in axes if axis is not None), recording.channel_axis) != 1


def relative(a: FloatArray, b: FloatArray) -> float:
    """Return ``max |a − b| / max |a|``; the difference itself where ``a`` is zero."""
    if a.shape != b.shape:
        return float("inf")
    largest = float(np.abs(a).max(initial=0.0))
    difference = float(np.abs(a.astype(np.float64) - b).max(initial=0.0))
    if not np.isfinite(difference):
        return float("inf")
    return difference / largest if largest > 0 else difference


@attrs.frozen(eq=False)
class Pairing:
    """Two models on the same batch, and which operations of theirs belong together."""

    a: Run
    b: Run
    layouts: Layouts
    tolerance: float

    def pairs(self) -> Sequence[tuple[Group, Group]] | Parting:
        """Return the pairs in the order of execution, or the first operations without a partner."""
        for kinds in (_COMPARED, _WEIGHTED):
            one, two = _those(self.a.clean, kinds), _those(self.b.clean, kinds)
            if [group.core.kind for group in one] == [group.core.kind for group in two]:
                return list(zip(one, two, strict=True))
        place = next((i for i, (g, h) in enumerate(zip(one, two, strict=False)) if g.core.kind != h.core.kind), None)
        place = min(len(one), len(two)) if place is None else place
        return Parting("operations", _label(one, place), _label(two, place), float("inf"))

    def forward(self) -> Parting | None:
        """Return the first operation whose outputs differ."""
        pairs = self.pairs()
        if isinstance(pairs, Parting):
            return pairs
        for one, two in pairs:
            apart = self._apart(one, _value(self.a, one.outputs[0]), _value(self.b, two.outputs[0]))
            if not apart <= self.tolerance:
                return Parting("values", one.core.label, two.core.label, apart)
        return None

    def backward(self, queries: Sequence[tuple[Query, Query]]) -> list[Parting | None]:
        """Return, per pair of queries, the first operation from the output back whose relevance differs."""
        pairs = self.pairs()
        if isinstance(pairs, Parting):
            return [pairs] * len(queries)
        found_a = _walk(self.a, [query for query, _ in queries], [group for group, _ in pairs])
        found_b = _walk(self.b, [query for _, query in queries], [group for _, group in pairs])
        return [self._first(pairs, one, two) for one, two in zip(found_a, found_b, strict=True)]

    def _first(
        self,
        pairs: Sequence[tuple[Group, Group]],
        relevance_a: Callable[[int], FloatArray],
        relevance_b: Callable[[int], FloatArray],
    ) -> Parting | None:
        tensors: list[tuple[Group | None, int, int]] = [(g, g.outputs[0], h.outputs[0]) for g, h in reversed(pairs)]
        source = (None, self.a.clean.recording.input, self.b.clean.recording.input)
        for group, tensor_a, tensor_b in (*tensors, source):
            apart = self._apart(group, relevance_a(tensor_a), relevance_b(tensor_b))
            if not apart <= self.tolerance:
                one, two = _senders(self.a.clean, tensor_a), _senders(self.b.clean, tensor_b)
                return Parting("relevance", one, two, apart)
        return None

    def _apart(self, group: Group | None, a: FloatArray, b: FloatArray) -> float:
        b = self.layouts.to_a(b)
        apart = relative(a, b)
        if group is not None and group.core.kind not in _WEIGHTED and a.ndim == 2 and a.shape == b.shape:
            # Behind a flattening the layouts give the same features in another order.
            apart = min(apart, relative(np.sort(a, axis=1), np.sort(b, axis=1)))
        return apart


def _those(structure: Structure, kinds: frozenset[Kind]) -> list[Group]:
    return [group for group in structure.groups if group.core.kind in kinds]


def _label(groups: Sequence[Group], place: int) -> str:
    return groups[place].core.label if place < len(groups) else "(no operation)"


def _value(run: Run, tensor: int) -> FloatArray:
    return run.backend.to_numpy(run.clean.recording.values[tensor])


def _walk(run: Run, queries: Sequence[Query], groups: Sequence[Group]) -> list[Callable[[int], FloatArray]]:
    """Return, per query, a function from a tensor to the relevance that arrives there."""
    captures = frozenset(group.outputs[0] for group in groups)
    assignments = {query: resolve(query, run.clean, strict=run.strict) for query in queries}
    starts = run.seeds.starts
    found = dict(zip(assignments, run.walk(run.clean, assignments, starts, captures), strict=True))

    def reader(found: dict[int, Any]) -> Callable[[int], FloatArray]:
        def relevance(tensor: int) -> FloatArray:
            array = found.get(tensor)
            return np.zeros_like(_value(run, tensor)) if array is None else run.backend.to_numpy(array)

        return relevance

    return [reader(found[query]) for query in queries]


def _senders(structure: Structure, tensor: int) -> str:
    """Return the operations that handed relevance to a tensor, reshaping aside."""
    labels = list(dict.fromkeys(_behind(structure, tensor)))
    return " and ".join(labels) if labels else "the output"


def _behind(structure: Structure, tensor: int) -> Iterator[str]:
    for operation in structure.consumers.get(tensor, ()):
        if kind(operation.kind).routes and kind(operation.kind).before_first:
            yield from _behind(structure, operation.outputs[0])
        else:
            yield operation.label
