"""The formula: relevance through one group of operations, for any rule and any framework.

    R_in = Σ_share weight · Σ_term sign · times(x) ⊙ pull_term( gate(z) · R / stabilise(Σ_term sign · z_term) )

Symbols: ``x`` input, ``z`` output, ``R`` (``relevance``) at the output, ``t`` the quotient.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence

import attrs
import numpy as np

from signxai_core.engine.backend import Array, Backend
from signxai_core.engine.batch import along
from signxai_core.engine.linear import Linear
from signxai_core.engine.mapping import in_units
from signxai_core.engine.structure import is_heavy
from signxai_core.specs.cells import KEEP, Cell, WeightCell
from signxai_core.specs.rules import Rule, Share, Stabiliser


@attrs.frozen(eq=False)
class Job:
    """What is propagated through a linear group.

    Parameters
    ----------
    rule
        By which rule.
    relevance
        At the output, ``R``.
    rectified
        ``max(z, 0)``, if ``R`` is 0 wherever that is 0.
    """

    rule: Rule
    relevance: Array
    rectified: Array | None = None

    def of_units(self, units: slice) -> Job:
        """Return the job restricted to a slice of the output's last axis."""
        rectified = None if self.rectified is None else self.rectified[..., units]
        return Job(self.rule, self.relevance[..., units], rectified)


#: A computation that asks for :meth:`Linear.pull` of a cell and an array, and returns the relevance of every input.
_Steps = Generator[tuple[WeightCell, Array], tuple[Array, ...] | None, tuple[Array, ...]]


def propagate_rules(linear: Linear, jobs: Sequence[Job]) -> list[tuple[Array, ...]]:
    """Return the relevance of every input of a linear group, for each job."""
    apart = [job for job in jobs if _maps_outputs_alone(job.rule)]
    parts = linear.parts() if apart else None
    if parts is None:
        return _together(linear, jobs)
    totals: list[tuple[Array, ...]] = []
    for units, part in parts:
        some = _together(part, [job.of_units(units) for job in apart])
        pairs = zip(totals, some, strict=True)
        totals = [tuple(map(part.added, total, one)) for total, one in pairs] if totals else some
    others = _together(linear, [job for job in jobs if not _maps_outputs_alone(job.rule)])
    return [(totals if _maps_outputs_alone(job.rule) else others).pop(0) for job in jobs]


def _maps_outputs_alone(rule: Rule) -> bool:
    """Return whether a rule maps weights, and an output's relevance asks for nothing of other outputs."""
    maps = any(term.weight != KEEP for share in rule.shares for term in share.terms)
    return maps and rule.stabiliser.scale != "relative"


def _together(linear: Linear, jobs: Sequence[Job]) -> list[tuple[Array, ...]]:
    """Return :func:`propagate_rules` without parting the output: what jobs pull alike is pulled at once."""
    apart = len(jobs) < 2 or not is_heavy(linear.structure.recording, linear.group)
    runs = [_propagate(linear, job, alone=apart) for job in jobs]
    if apart:
        return [_alone(linear, run) for run in runs]
    results: list[tuple[Array, ...]] = [()] * len(runs)
    asked: dict[WeightCell, list[tuple[int, Array]]] = {}

    def go_on(number: int, pulled: tuple[Array, ...] | None) -> None:
        request, results[number] = _advanced(runs[number], pulled)
        if request is not None:
            cell, t = request
            asked.setdefault(cell, []).append((number, t))

    for number in range(len(runs)):
        go_on(number, None)
    while asked:
        cell = max(asked, key=lambda cell: len(asked[cell]))
        pairs = asked.pop(cell)
        numbers = [number for number, _ in pairs]
        pulled = linear.pull_many(cell, [t for _, t in pairs])
        del pairs
        for number in numbers:
            go_on(number, pulled.pop(0))
    return results


def _alone(linear: Linear, run: _Steps) -> tuple[Array, ...]:
    request, result = _advanced(run, None)
    while request is not None:
        pulled = linear.pull(*request)
        del request  # and with it the quotient, whose memory may be wanted
        request, result = _advanced(run, pulled)
    return result


def _advanced(
    run: _Steps, pulled: tuple[Array, ...] | None
) -> tuple[tuple[WeightCell, Array] | None, tuple[Array, ...]]:
    """Hand over what was pulled; return what is asked for next, or ``None`` and the result."""
    try:
        return run.send(pulled), ()
    except StopIteration as stop:
        return None, stop.value


def _propagate(linear: Linear, job: Job, *, alone: bool) -> _Steps:
    """Propagate one job; ``alone``: no other one is on its way, which may still need the outputs that both have."""
    rule, rectified = job.rule, job.rectified
    # With max(z, 0), no relevance is where z < 0.
    shares = [share for share in in_units(rule) if rectified is None or share.gate != "negative"]
    linear.begin(rule)
    # Without stabiliser, a sum that cannot be positive is taken negated: then no sign has to be looked at.
    signs = [linear.sign_of(share) for share in shares]
    flips = [-1 if sign < 0 and rule.stabiliser == Stabiliser() else 1 for sign in signs]
    sums = [_sum(linear, share, rectified, flip) for share, flip in zip(shares, flips, strict=True)]
    linear.finish(rule)
    pulled: dict[Cell, Sequence[Array]] = {}  # by the term's x, which they are still to be multiplied with
    for share in shares:
        z, is_own = sums.pop(0)
        sign, flip = signs.pop(0), flips.pop(0)
        is_free = alone and is_own and not linear.keeps(z) and all(z is not other for other, _ in sums)
        positive = sign * flip > 0 or (rectified is not None and z is rectified)
        relevance = _gated(linear, share, job.relevance) if rectified is None else job.relevance
        t = _quotient(linear, rule.stabiliser, z, relevance, rectified, positive=positive, is_free=is_free)
        del z, relevance
        for term in share.terms:
            if rule.times is None and linear.vanishes(term):
                continue
            found = yield term.weight, t
            assert found is not None, "None only starts the run"
            parts = [linear.times(part, share.weight * term.sign * flip) for part in found]
            known = pulled.get(term.x)
            pulled[term.x] = parts if known is None else [linear.added(a, b) for a, b in zip(known, parts, strict=True)]
        del t
    return tuple(
        _times(linear, rule, index, {x: parts[index] for x, parts in pulled.items()})
        for index in range(len(linear.group.inputs))
    )


def _times(linear: Linear, rule: Rule, index: int, pulled: Mapping[Cell, Array]) -> Array:
    """Return the sum of what was pulled to input number ``index``, times what the rule multiplies it with."""
    if rule.times is not None:
        parts = [linear.times(part, linear.slope(x, index)) for x, part in pulled.items()]
        return linear.times(functools.reduce(linear.added, parts), linear.mapped(rule.times, index))
    # A sum pulls the quotient itself to its inputs, of which the last may have it; others pull views of it.
    is_own = linear.group.core.kind == "sum" and index == len(linear.group.inputs) - 1
    parts = [linear.times(part, linear.mapped(x, index), is_own=is_own) for x, part in pulled.items()]
    return functools.reduce(linear.added, parts) if parts else linear.backend.full_like(linear.x[index], 0.0)


def _sum(linear: Linear, share: Share, rectified: Array | None, flip: int) -> tuple[Array, bool]:
    """Return ``flip · Σ_term sign · z_term``, and whether it is an array that was made for that."""
    z: Array | None = None
    is_own = False
    for term in share.terms:
        sign = flip * term.sign
        if z is None:
            z = linear.output(term, rectified, sign)
            is_own = sign < 0 or (linear.makes_arrays and not linear.is_whole(term))
            continue
        if linear.vanishes(term) and not linear.has_bias(term.bias):
            continue
        output = linear.output(term, rectified, 1)
        if is_own and not linear.keeps(z):
            z += output if sign > 0 else -output
        else:
            is_own = True
            z = z + output if sign > 0 else z - output
    return z, is_own


def _gated(linear: Linear, share: Share, relevance: Array) -> Array:
    """Return ``gate(z) · R``."""
    if share.gate == "all":
        return relevance
    is_open = linear.z > 0 if share.gate == "positive" else linear.z < 0
    return linear.backend.where(is_open, relevance, number(linear.backend, 0.0, relevance))


def _quotient(
    linear: Linear,
    stabiliser: Stabiliser,
    z: Array,
    relevance: Array,
    rectified: Array | None,
    *,
    positive: bool,
    is_free: bool,
) -> Array:
    """Return ``R / stabilise(z)``, in the memory of ``z`` if that is free; ``positive``: ``z`` is never negative."""
    backend = linear.backend
    if stabiliser.scale == "absolute":
        return backend.quotient(relevance, z, stabiliser.epsilon, positive=positive, is_free=is_free)
    stabilised = _stabilised(linear, stabiliser, z, rectified, positive=positive)
    return backend.quotient(relevance, stabilised, 0.0, positive=positive, is_free=True)


def number(backend: Backend, value: float, like: Array) -> Array:
    """Return a number as a native array without axes, of ``like``'s type."""
    return backend.asarray(np.asarray(value), like)


def _stabilised(linear: Linear, stabiliser: Stabiliser, z: Array, rectified: Array | None, *, positive: bool) -> Array:
    """Return ``z`` moved away from 0 by what its sample as a whole allows."""
    backend = linear.backend
    rows, axes = linear.of_output(z)
    size = rows if positive else backend.abs(rows)
    if stabiliser.scale == "std":
        spread, spread_axes = linear.of_input(linear.x[0])
        one_each = tuple(1 if place in axes else length for place, length in enumerate(rows.shape))
        size = size + stabiliser.epsilon * backend.reshape(backend.std(spread, along(spread_axes)), one_each)
    else:
        largest = backend.largest(linear.of_output(linear.z)[0] if z is rectified else rows, along(axes))
        size = backend.maximum(size, stabiliser.epsilon * largest)
    size = backend.reshape(size, tuple(z.shape))
    return size if positive else backend.copysign(size, z)
