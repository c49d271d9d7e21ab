"""Streams of relevance: what queries have in common on their way from the output to the input."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from signxai_core.engine.backend import Array
from signxai_core.engine.structure import Structure


@attrs.define(eq=False)
class Stream:
    """Relevance by tensor id, for the queries in ``members``."""

    members: tuple[int, ...]
    relevance: dict[int, Array]

    def add(self, tensor: int, array: Array, *, is_own: bool) -> None:
        """Add relevance that arrives at a tensor; an array that nobody else has may be written to."""
        known = self.relevance.get(tensor)
        if known is None:
            self.relevance[tensor] = array
        elif is_own:
            array += known
            self.relevance[tensor] = array
        else:
            self.relevance[tensor] = known + array


def batched(
    structure: Structure, streams: Sequence[Stream], position: int, memory: float
) -> list[tuple[list[Stream], float]]:
    """Return which streams go on together from the group before ``position``, and what memory they have.

    In a group, a stream holds three arrays of the largest size there (relevance, quotient, product) and
    what waits for other groups; streams that wait for their turn hold their relevance.

    Parameters
    ----------
    structure
        What is walked through.
    streams
        At the same place.
    position
        Number of groups still to be visited.
    memory
        How many numbers the streams may hold.
    """
    if len(streams) == 1:
        return [(list(streams), memory)]
    recording, group = structure.recording, structure.groups[position - 1]

    def numbers(tensors: Iterable[int]) -> list[int]:
        return [math.prod(recording.shape(tensor)) for tensor in tensors]

    own = {tensor for operation in group.operations for tensor in (*operation.inputs, *operation.outputs)}
    working = 3 * max(numbers(own))
    waiting = sum(sum(numbers(stream.relevance)) for stream in streams)
    found: list[tuple[list[Stream], float]] = []
    held = 0
    for stream in streams:
        more = working + sum(numbers(stream.relevance.keys() - own))
        waiting -= sum(numbers(stream.relevance))
        if not found or held + more + waiting > memory:
            found.append(([], memory))
            held = 0
        held += more
        found[-1] = [*found[-1][0], stream], memory - waiting
    return found
