"""A walk in stages that a backend compiles.

A compiled stage costs time once, and memory while it runs: everything that it has not finished
yet. So a walk of many methods is cut into stages, between groups of operations. What lies at a cut
follows from the key of the walk and the place of the cut, and is kept with the compiled stage.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence

import attrs

from signxai_core.engine.backend import Array, Recording
from signxai_core.engine.compiler import Compiler
from signxai_core.engine.head import with_output_of
from signxai_core.engine.streams import Stream, batched
from signxai_core.engine.structure import analyse
from signxai_core.engine.walk import Walk

#: Visits of streams to groups in one stage; the walk of one method is rarely cut.
_VISITS = 400


@attrs.frozen(cache_hash=True)
class _Key:
    """What a walk computes, apart from the numbers."""

    backend: type
    rules: Hashable
    kinds: tuple[str, ...]
    captures: frozenset[int]
    non_negative: bool
    output: int


@attrs.frozen
class _Cut:
    """What lies between two stages: groups still to be visited, and places of arrays in a list.

    Parameters
    ----------
    groups
        Number of groups that come before the cut.
    streams
        Members of every stream, and tensor id and place of its relevance.
    captured
        Query and tensor id, and place, of what the stage before the cut has captured.
    """

    groups: int
    streams: tuple[tuple[tuple[int, ...], tuple[tuple[int, int], ...]], ...]
    captured: tuple[tuple[tuple[int, int], int], ...] = ()

    def filled(self, arrays: Sequence[Array]) -> list[Stream]:
        """Return the streams at this cut, with their arrays."""
        return [Stream(members, {tensor: arrays[place] for tensor, place in held}) for members, held in self.streams]


@attrs.define(eq=False)
class _Arrays:
    """A list of different arrays."""

    arrays: list[Array] = attrs.field(factory=list)
    _places: dict[int, int] = attrs.field(factory=dict)

    def place(self, array: Array) -> int:
        if id(array) not in self._places:
            self._places[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._places[id(array)]


def run_in_stages(
    walk: Walk, starts: Mapping[str, Array], kinds: Sequence[str], rules: Hashable
) -> list[dict[int, Array]]:
    """Return what ``walk.run(starts, kinds)`` returns.

    Parameters
    ----------
    walk
        Of a compiling backend, on a recording that it has compiled.
    starts, kinds
        As in :meth:`~signxai_core.engine.walk.Walk.run`.
    rules
        Equal for walks with equal assignments.
    """
    backend, recording = walk.backend, walk.structure.recording
    assert isinstance(backend, Compiler), "only compiling backends give a recording that is compiled"
    non_negative = recording.input in walk.structure.non_negative
    key = _Key(type(backend), rules, tuple(kinds), walk.captures, non_negative, recording.output)
    pending = [(walk.begin(starts, kinds), len(walk.structure.groups), walk.memory)]
    while pending:
        streams, position, memory = pending.pop()
        if not position:
            walk.finish(streams)
            continue
        batches = batched(walk.structure, streams, position, memory)
        if len(batches) > 1:
            pending += [(batch, position, left) for batch, left in reversed(batches)]
            continue
        arrays, cut = _at_cut(streams, {}, position)

        stage = functools.partial(_stage, walk, cut, memory)
        arrays, after = backend.run(recording, (key, cut, memory), stage, arrays)
        walk.captured.update((what, arrays[place]) for what, place in after.captured)
        walk.step((position - after.groups) * sum(len(stream.members) for stream in streams))
        if after.streams:
            pending.append((after.filled(arrays), after.groups, memory))
    return walk.found()


def _stage(
    walk: Walk, cut: _Cut, memory: float, recording: Recording, arrays: Sequence[Array]
) -> tuple[list[Array], _Cut]:
    """Walk from a cut on, on a recording like the walk's own."""
    known = walk.structure
    recording = with_output_of(known.recording, recording)
    structure = analyse(recording, non_negative=known.recording.input in known.non_negative)
    own = Walk(walk.backend, structure, walk.assignments, walk.captures)
    streams, groups, visits = cut.filled(arrays), cut.groups, 0
    while groups and (
        visits == 0 or (visits + len(streams) <= _VISITS and len(batched(structure, streams, groups, memory)) == 1)
    ):
        groups -= 1
        streams = own.visit(groups, streams)
        visits += len(streams)
    if not groups:
        own.finish(streams)
        streams = []
    return _at_cut(streams, own.captured, groups)


def _at_cut(
    streams: Sequence[Stream], captured: Mapping[tuple[int, int], Array], groups: int
) -> tuple[list[Array], _Cut]:
    found = _Arrays()
    held = tuple(
        (stream.members, tuple((tensor, found.place(array)) for tensor, array in stream.relevance.items()))
        for stream in streams
    )
    return found.arrays, _Cut(groups, held, tuple((what, found.place(array)) for what, array in captured.items()))
