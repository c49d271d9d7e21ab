"""Maps that hold NaN or infinite numbers, and maps of zeros: where that happened.

Such a map is rare, and found when it is finished. Then its walk is repeated, operation by operation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine import sampling as samplings
from signxai_core.engine.backend import Array
from signxai_core.engine.head import with_output_of
from signxai_core.engine.plan import Assignment, Query
from signxai_core.engine.run import Raw, Run, raw_of
from signxai_core.engine.streams import Stream
from signxai_core.engine.structure import Structure, analyse
from signxai_core.engine.target import Selection, seeds
from signxai_core.engine.walk import Walk
from signxai_core.errors import RelevanceError
from signxai_core.specs.fill import sliced
from signxai_core.specs.methods import Integrate, MethodSpec, Smooth

FloatArray = npt.NDArray[np.floating]


def broken(run: Run, label: str, spec: MethodSpec, relevance: FloatArray) -> RelevanceError:
    """Return the error for a map with NaN or infinite numbers."""
    raw = raw_of(spec, run.seed)
    place = next(filter(None, (_where_it_broke(run, raw, x) for x in _inputs(run, spec))), "")
    bad = int((~np.isfinite(relevance)).sum())
    arose = f"the first arose at {place}" if place else "they arose when the map was finished (factors, means, CAM)"
    return RelevanceError(
        f"the map of {label!r} holds {bad} numbers that are NaN or infinite; {arose}. Numbers there are too large or "
        f"too small for {relevance.dtype}: explain the model in float64, scale weights and input, or take a rule with "
        "a stabiliser (epsilon)",
        operation=place,
    )


def vanished(run: Run, spec: MethodSpec, relevance: FloatArray) -> str:
    """Return a warning for a map that is 0 everywhere because its numbers were too small; else nothing."""
    zero = np.flatnonzero(~relevance.reshape(len(relevance), -1).any(axis=1))
    if not zero.size or spec.sampling is not None or spec.cam is not None:
        return ""
    if run.selection.indices is None and len(relevance) > 1:
        return ""  # a function of the outputs may expect the whole batch
    first = slice(int(zero[0]), int(zero[0]) + 1)
    place = _where_it_vanished(run, raw_of(sliced(spec, first, run.x.shape), run.seed), first)
    if not place:
        return ""
    others = f" and {zero.size - 1} others" if zero.size > 1 else ""
    return (
        f"the map of sample {zero[0]}{others} is 0 everywhere: its numbers became too small for {relevance.dtype} at "
        f"{place}; explain the model in float64"
    )


def _inputs(run: Run, spec: MethodSpec) -> Iterator[FloatArray]:
    if not isinstance(spec.sampling, (Smooth, Integrate)):
        yield run.x
        return
    for block, _ in samplings.variants(spec.sampling, run.x, 1, run.clean.recording.channel_axis):
        yield block[0]


@attrs.frozen(eq=False)
class _Path:
    """One query's way from the output to the input, of which a group is taken at a time."""

    walk: Walk
    assignment: Assignment
    structure: Structure

    def named(self, position: int) -> str:
        """Return operation and rule of a group."""
        rules = dict.fromkeys(part.rule.name for part in self.assignment.steps[position])
        return f"{self.structure.groups[position].core.label}, rule {', '.join(rules)}"


def _paths(run: Run, raw: Raw, x: FloatArray, selection: Selection) -> Iterator[tuple[_Path, list[Stream]]]:
    """Yield every query of a raw map with its streams at the output."""
    recording = with_output_of(run.clean.recording, run.backend.record(run.model, x))
    structure = analyse(recording, non_negative=bool((x >= 0).all()))
    starts = seeds(run.backend, recording, selection).starts
    assignments: dict[Query, Assignment] = run.assign(raw, structure)
    for query, assignment in assignments.items():
        walk = Walk(run.backend, structure, [assignment])
        yield _Path(walk, assignment, structure), walk.begin(starts, [query.seed])


def _arrays(streams: list[Stream]) -> list[Array]:
    return [array for stream in streams for array in stream.relevance.values()]


def _where_it_broke(run: Run, raw: Raw, x: FloatArray) -> str:
    for path, streams in _paths(run, raw, x, run.selection):
        if not all(np.isfinite(run.backend.to_numpy(array)).all() for array in _arrays(streams)):
            return "the seed"
        for position in reversed(range(len(path.structure.groups))):
            streams[:] = path.walk.visit(position, streams)
            if not all(np.isfinite(run.backend.to_numpy(array)).all() for array in _arrays(streams)):
                return path.named(position)
    return ""


def _where_it_vanished(run: Run, raw: Raw, sample: slice) -> str:
    """Return where relevance left the range of its type, which a walk shows that is scaled up on the way."""
    indices = run.selection.indices
    selection = run.selection if indices is None else Selection(indices[sample])
    smallest = math.log2(float(np.finfo(run.x.dtype).tiny))
    for path, streams in _paths(run, raw, run.x[sample], selection):
        exponent = _raised(run, streams)
        for position in reversed(range(len(path.structure.groups))):
            if exponent == -math.inf:
                break  # nothing is left, in any type
            streams[:] = path.walk.visit(position, streams)
            exponent += _raised(run, streams)
            if -math.inf < exponent < smallest:
                return path.named(position)
    return ""


def _raised(run: Run, streams: list[Stream]) -> float:
    """Multiply relevance by the power of two that brings the largest number near 1; return its negative exponent."""
    largest = max((float(np.abs(run.backend.to_numpy(array)).max()) for array in _arrays(streams)), default=0.0)
    if not 0 < largest < math.inf:
        return -math.inf
    exponent = math.floor(math.log2(largest))
    for stream in streams:
        stream.relevance = {tensor: array * 2.0**-exponent for tensor, array in stream.relevance.items()}
    return exponent
