"""Methods on a model: record, walk, combine. All methods of a call share what they can.

Methods without sampling share one recording and one walk. SmoothGrad, VarGrad and their variants
share their noisy copies, integrals their paths. Whatever a method does to the finished map (times
input, times sign) happens in NumPy at the end.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine import sampling as samplings
from signxai_core.engine.backend import Backend
from signxai_core.engine.notes import notes, threshold
from signxai_core.engine.plan import Plan
from signxai_core.engine.run import Raw, Run, raw_of
from signxai_core.engine.target import per_sample
from signxai_core.engine.trouble import broken, vanished
from signxai_core.errors import SignxaiError
from signxai_core.specs.cells import Mix, Sign
from signxai_core.specs.fill import sliced
from signxai_core.specs.methods import Control, Integrate, MethodSpec, Sampling, Smooth

FloatArray = npt.NDArray[Any]


@attrs.frozen(eq=False)
class Result:
    """What the engine returns for one method."""

    relevance: FloatArray
    plan: Plan
    total: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]


@attrs.frozen(eq=False)
class Outcome:
    """What the engine returns for one call; ``failures`` are the errors of methods that were to fail alone."""

    results: Mapping[str, Result]
    target: npt.NDArray[np.int64] | None
    output: FloatArray
    failures: Mapping[str, SignxaiError] = attrs.field(factory=dict)


def _sampling_key(sampling: Sampling | None) -> Sampling | None:
    """Return what methods must have in common to share input variants."""
    return attrs.evolve(sampling, statistic="mean") if isinstance(sampling, Smooth) else sampling


def attribute(  # noqa: PLR0913 - options of a call
    backend: Backend,
    model: Any,
    x: FloatArray,
    specs: Mapping[str, MethodSpec],
    target: Any,
    *,
    seed: str | None,
    strict: bool,
    progress: Callable[[int, int], None],
    max_memory: int | None = None,
    collect: Collection[str] = (),
) -> Outcome:
    """Return the maps of all methods.

    Parameters
    ----------
    backend, model, x
        ``x`` as prepared by the backend, shape ``(N, ...)``.
    specs
        Methods by label, parameters filled in.
    target
        See :func:`signxai_core.engine.target.select`.
    seed, strict, max_memory
        See :class:`~signxai_core.engine.run.Run`.
    progress
        Called with the number of steps done and in all.
    collect
        Labels of methods whose errors do not end the call.
    """
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(done, max(total, done))

    total = 0
    run = Run(backend, model, x, seed, strict, step, max_memory)
    run.start(target, _by_sampling(specs, seed).get(None, ()))
    failures = Failures(collect)
    for label, spec in specs.items() if collect else ():
        with failures.of([label]):
            make_plan(run, label, spec, raw_of(spec, seed))
    by_sampling = _by_sampling({label: spec for label, spec in specs.items() if label not in failures.found}, seed)
    total = _total_steps(run, by_sampling)
    results: dict[str, Result] = {}
    for sampling, raws in by_sampling.items():
        values = _each(run, target, sampling, raws, failures)[::-1]
        for raw in raws:
            value = values.pop()  # which frees it when its maps are finished
            for label in raws[raw] if value is not None else ():
                with failures.of([label]):
                    relevance = _finish(value, specs[label], x)
                    results[label] = make_result(run, label, specs[label], relevance, raw)
    ordered = {label: results[label] for label in specs if label in results}
    return Outcome(ordered, run.selection.indices, run.output, failures.found)


def _by_sampling(specs: Mapping[str, MethodSpec], seed: str | None) -> dict[Sampling | None, dict[Raw, list[str]]]:
    """Return which methods share input variants, and which of them raw maps."""
    found: dict[Sampling | None, dict[Raw, list[str]]] = {}
    for label, spec in specs.items():
        found.setdefault(_sampling_key(spec.sampling), {}).setdefault(raw_of(spec, seed), []).append(label)
    return found


@attrs.frozen(eq=False)
class Failures:
    """Errors of methods that do not end the call, by label."""

    collect: Collection[str]
    found: dict[str, SignxaiError] = attrs.field(factory=dict, init=False)

    @contextlib.contextmanager
    def of(self, labels: Iterable[str]) -> Iterator[None]:
        """Note an error of the library in this block as that of some methods, or let it pass."""
        labels = list(labels)
        try:
            yield
        except SignxaiError as error:
            if not all(label in self.collect for label in labels):
                raise
            self.found.update(dict.fromkeys(labels, error))


def _each(
    run: Run, target: Any, sampling: Sampling | None, raws: Mapping[Raw, list[str]], failures: Failures
) -> list[Any]:
    """Return the values of raw maps; ``None`` for one that fails, where it may fail alone."""
    try:
        return list(_values(run, sampling, list(raws)))
    except SignxaiError:
        if not any(label in failures.collect for labels in raws.values() for label in labels):
            raise
    found: list[Any] = []
    for raw, labels in raws.items():
        value = None
        with failures.of(labels):
            alone = Run(run.backend, run.model, run.x, run.seed, run.strict, lambda _: None, run.max_memory)
            alone.start(target, [raw])
            (value,) = _values(alone, sampling, [raw])
        found.append(value)
    return found


def in_parts(
    compute: Callable[..., Outcome],
    x: FloatArray,
    specs: Mapping[str, MethodSpec],
    target: Any,
    size: int | None,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Return ``compute(x, specs, target, progress=...)``, from ``size`` samples at a time or all at once.

    A sample's map does not depend on its batch. A function as target gets the outputs of one part.
    """
    if size is None or x.ndim == 0 or size >= len(x):
        return compute(x, specs, target, progress=progress)
    if target is not None and not callable(target):
        target = per_sample(target, len(x))
    parts = [slice(start, start + size) for start in range(0, len(x), size)]
    outcomes: list[Outcome] = []
    for number, rows in enumerate(parts):
        failed = {label for outcome in outcomes for label in outcome.failures}

        def report(done: int, total: int, before: int = number) -> None:
            progress(before * total + done, len(parts) * total)

        chosen = {label: sliced(spec, rows, x.shape) for label, spec in specs.items() if label not in failed}
        of_rows = target[rows] if isinstance(target, np.ndarray) else target
        outcomes.append(compute(x[rows], chosen, of_rows, progress=report))
    return _joined(outcomes)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    def stacked(label: str) -> Result:
        results = [outcome.results[label] for outcome in outcomes]
        relevance, total, expected = (
            np.concatenate([getattr(result, name) for result in results]) for name in ("relevance", "total", "expected")
        )
        return Result(relevance, _joined_plan([result.plan for result in results]), total, expected)

    targets = [outcome.target for outcome in outcomes if outcome.target is not None]
    return Outcome(
        {label: stacked(label) for label in outcomes[-1].results},
        np.concatenate(targets) if targets else None,
        np.concatenate([outcome.output for outcome in outcomes]),
        {label: error for outcome in outcomes for label, error in outcome.failures.items()},
    )


def _joined_plan(plans: Sequence[Plan]) -> Plan:
    """Return one plan of several parts: notes that hold for all of them, warnings of any."""
    shared = tuple(note for note in plans[0].notes if all(note in plan.notes for plan in plans))
    warnings = dict.fromkeys(warning for plan in plans for warning in plan.warnings)
    return attrs.evolve(plans[0], notes=shared, warnings=tuple(warnings))


def _values(run: Run, sampling: Sampling | None, raws: Sequence[Raw]) -> Sequence[FloatArray | samplings.Moments]:
    if isinstance(sampling, (Smooth, Integrate)):
        return run.sample(sampling, raws)
    if isinstance(sampling, Control):
        return [samplings.control(sampling, run.x, run.clean.recording.channel_axis)] * len(raws)
    return run.evaluate(raws, run.clean, run.selection, run.x)


def _total_steps(run: Run, by_sampling: Mapping[Sampling | None, Iterable[Raw]]) -> int:
    """Return through how many groups queries will be taken, as far as the clean recording tells."""
    queries = 0
    for sampling, raws in by_sampling.items():
        if isinstance(sampling, Control):
            continue
        variants = {Smooth: "samples", Integrate: "steps"}.get(type(sampling), "")
        blocks = 1
        if variants:
            blocks = len(run.sampled_rows()) * math.ceil(getattr(sampling, variants) / run.block_size())
        queries += blocks * run.query_count(raws)
    return queries * len(run.clean.groups)


@np.errstate(invalid="ignore", over="ignore")  # a map with such numbers is an error
def _finish(value: FloatArray | samplings.Moments, spec: MethodSpec, x: FloatArray) -> FloatArray:
    """Apply statistic and modifier; return an array of its own in the input's type, at least float32."""
    if isinstance(value, samplings.Moments):
        relevance: FloatArray = value.result(spec.sampling.statistic if isinstance(spec.sampling, Smooth) else "mean")
    else:
        relevance = value
    if isinstance(spec.sampling, Integrate):
        relevance = relevance * (x - samplings.baseline(spec.sampling.baseline, x).astype(np.float64))
    if isinstance(spec.modifier, Mix):
        relevance = relevance * (spec.modifier.positive * np.maximum(x, 0) + spec.modifier.negative * np.minimum(x, 0))
    elif isinstance(spec.modifier, Sign):
        relevance = relevance * np.where(x >= threshold(spec.modifier, x), 1, -1)
    return np.array(relevance, dtype=np.result_type(x.dtype, np.float32))


def make_result(run: Run, label: str, spec: MethodSpec, relevance: FloatArray, raw: Raw) -> Result:
    """Return a finished map with its sum, what it should sum to, and its plan.

    Raises
    ------
    RelevanceError
        If the map holds NaN or infinite numbers.
    """
    if not np.isfinite(relevance).all():
        raise broken(run, label, spec, relevance)
    total = relevance.reshape(len(relevance), -1).sum(axis=1, dtype=np.float64)
    plan = make_plan(run, label, spec, raw)
    warning = vanished(run, spec, relevance)
    if warning:
        plan = attrs.evolve(plan, warnings=(*plan.warnings, warning))
    return Result(relevance, plan, total, run.expected(spec, raw))


def make_plan(run: Run, label: str, spec: MethodSpec, raw: Raw) -> Plan:
    """Return the plan of one method on the recorded model."""
    own = tuple(notes(run, spec, raw))
    if spec.family == "control":
        return Plan(label, (), own, spec=spec)
    assignments = list(run.assign(raw, run.clean).values())
    warnings = (*run.clean.recording.warnings, *assignments[0].warnings)
    return Plan(label, assignments[0].rows, own, warnings, run.explains, spec=spec)
