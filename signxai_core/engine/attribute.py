"""Methods on a model: record, walk, combine. All methods of a call share what they can.

Methods without sampling share one recording and one walk. SmoothGrad, VarGrad and their variants
share their noisy copies, integrals their paths. Whatever a method does to the finished map (times
input, times sign) happens in NumPy at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine import cam as cams
from signxai_core.engine import sampling as samplings
from signxai_core.engine.backend import Backend
from signxai_core.engine.check import check_input, check_output, without_head
from signxai_core.engine.plan import Assignment, Plan, Query, resolve
from signxai_core.engine.structure import Structure, analyse
from signxai_core.engine.target import Selection, seeds, select
from signxai_core.engine.walk import Walk
from signxai_core.specs.cells import Mix, Sign
from signxai_core.specs.composites import Composite, Entry, Where
from signxai_core.specs.methods import Cam, Control, Integrate, MethodSpec, Preset, Sampling, Smooth
from signxai_core.specs.rules import Exact, Rule
from signxai_core.specs.values import ArrayValue, Missing

FloatArray = npt.NDArray[Any]
Step = Callable[[int], None]

_GRADIENT = Composite((Entry(Where(), Exact()),), fold_normalisation=False)
#: Bytes of recorded values per internal batch of sampled inputs.
_BLOCK_BYTES = 2**29


@attrs.frozen
class Raw:
    """A map before sampling statistics and modifiers: what methods can share."""

    composite: Composite
    input_layer: Rule | None
    seed: str
    cam: Cam | None
    preset: Preset | None

    @property
    def main(self) -> Query | None:
        """The query whose relevance at the input is wanted, if any."""
        if self.cam is not None and not self.cam.guided:
            return None
        return Query(self.composite, self.input_layer, self.seed)

    def gradient(self, seed: str | None) -> Query | None:
        """The query of a class-activation map, if any; its seed is 1 unless forced."""
        return None if self.cam is None else Query(_GRADIENT, None, seed or "one")


@attrs.frozen(eq=False)
class Result:
    """What the engine returns for one method."""

    relevance: FloatArray
    plan: Plan
    total: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]


@attrs.frozen(eq=False)
class Outcome:
    """What the engine returns for one call."""

    results: Mapping[str, Result]
    target: npt.NDArray[np.int64] | None
    output: FloatArray


def raw_of(spec: MethodSpec, seed: str | None) -> Raw:
    """Return the part of a method that is computed per input variant."""
    preset = spec.preset if spec.cam is not None else None
    return Raw(spec.composite, spec.input_layer, seed or spec.seed, spec.cam, preset)


def _sampling_key(sampling: Sampling | None) -> Sampling | None:
    """Return what methods must have in common to share input variants."""
    return attrs.evolve(sampling, statistic="mean") if isinstance(sampling, Smooth) else sampling


@attrs.define(eq=False)
class Run:
    """One call on one model and input.

    Parameters
    ----------
    backend, model, x
        ``x`` as prepared by the backend.
    seed
        ``None``, or a seed forced on every method.
    strict
        See :func:`signxai_core.engine.plan.resolve`.
    step
        Called with the number of groups of a walk that were visited.
    """

    backend: Backend
    model: Any
    x: FloatArray
    seed: str | None
    strict: bool
    step: Step
    clean: Structure = attrs.field(init=False)
    selection: Selection = attrs.field(init=False)
    output: FloatArray = attrs.field(init=False)

    def start(self, target: Any) -> None:
        """Record the model on the input and select the outputs to explain."""
        check_input(self.x)
        self.clean = self.record(self.x)
        self.output = self.backend.to_numpy(self.clean.recording.values[self.clean.recording.output])
        self.selection = select(target, self.output)

    def record(self, x: FloatArray) -> Structure:
        """Record the model on a batch and check its output."""
        recording = without_head(self.backend.record(self.model, x))
        check_output(self.backend, recording)
        return analyse(recording)

    def assign(self, raw: Raw, structure: Structure) -> dict[Query, Assignment]:
        """Resolve the queries of a raw map."""
        queries = [query for query in (raw.main, raw.gradient(self.seed)) if query is not None]
        return {query: resolve(query, structure, strict=self.strict) for query in queries}

    def evaluate(
        self, raws: Sequence[Raw], structure: Structure, selection: Selection, x: FloatArray
    ) -> list[FloatArray]:
        """Return the raw maps of one recording, all from one walk."""
        assignments: dict[Query, Assignment] = {}
        activations: dict[Raw, int] = {}
        for raw in raws:
            assignments.update(self.assign(raw, structure))
            if raw.cam is not None:
                activations[raw] = cams.activation(structure, raw.cam, raw.preset)[0]
        starts, _ = seeds(self.backend, structure.recording, selection)
        walk = Walk(self.backend, structure, list(assignments.values()), frozenset(activations.values()), self.step)
        found = dict(zip(assignments, walk.run(starts, [query.seed for query in assignments]), strict=True))
        recording = structure.recording
        cache: dict[tuple[Query, int], FloatArray] = {}

        def native(query: Query, tensor: int) -> FloatArray:
            if (query, tensor) not in cache:
                array = found[query].get(tensor)
                value = recording.values[tensor]
                cache[query, tensor] = (
                    np.zeros(tuple(value.shape), x.dtype) if array is None else self.backend.to_numpy(array)
                )
            return cache[query, tensor]

        maps = []
        for raw in raws:
            heat: FloatArray | None = None
            gradient = raw.gradient(self.seed)
            if raw.cam is not None and gradient is not None:
                tensor = activations[raw]
                values = self.backend.to_numpy(recording.values[tensor])
                heat = cams.class_activation_map(recording, values, native(gradient, tensor), x, raw.cam)
            relevance = None if raw.main is None else native(raw.main, recording.input)
            maps.append(_product(relevance, heat))
        return maps

    def sample(self, sampling: Smooth | Integrate, raws: Sequence[Raw]) -> list[samplings.Moments]:
        """Return mean and variance of raw maps over variants of the input."""
        moments = [samplings.Moments() for _ in raws]
        for block, weights in samplings.variants(sampling, self.x, self.block_size()):
            flat = block.reshape(-1, *self.x.shape[1:])
            maps = self.evaluate(raws, self.record(flat), self.selection.repeat(len(block)), flat)
            for moment, values in zip(moments, maps, strict=True):
                moment.add(values.reshape(block.shape), weights)
        return moments

    def block_size(self) -> int:
        """Return how many variants of the input go into one internal batch."""
        if self.selection.function is not None:
            return 1  # a user's function may expect the user's batch
        recording = self.clean.recording
        held: int = 8 * sum(math.prod(value.shape) for value in recording.values.values())
        return max(1, _BLOCK_BYTES // max(held, 1))

    def expected(self, spec: MethodSpec, raw: Raw) -> npt.NDArray[np.float64]:
        """Return what the relevance of each sample should sum to."""
        recording = self.clean.recording
        starts, selected = seeds(self.backend, recording, self.selection)
        if isinstance(spec.sampling, Integrate):
            origin = self.record(samplings.baseline(spec.sampling.baseline, self.x))
            _, at_origin = seeds(self.backend, origin.recording, self.selection)
            return _float64(self.backend, selected) - _float64(self.backend, at_origin)
        rows = _float64(self.backend, starts[raw.seed]).reshape(len(self.x), -1)
        return np.asarray(rows.sum(axis=1))


def _float64(backend: Backend, values: Any) -> npt.NDArray[np.float64]:
    array = values if isinstance(values, np.ndarray) else backend.to_numpy(values)
    return np.asarray(array, dtype=np.float64)


def _product(relevance: FloatArray | None, heat: FloatArray | None) -> FloatArray:
    if relevance is None or heat is None:
        found = heat if relevance is None else relevance
        assert found is not None, "a method has a relevance or a class-activation map"
        return found
    return relevance * heat


def attribute(
    backend: Backend,
    model: Any,
    x: FloatArray,
    specs: Mapping[str, MethodSpec],
    target: Any,
    *,
    seed: str | None,
    strict: bool,
    progress: Callable[[int, int], None],
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
    seed, strict
        See :class:`Run`.
    progress
        Called with the number of steps done and in all.
    """
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(done, max(total, done))

    total = 0
    run = Run(backend, model, x, seed, strict, step)
    run.start(target)
    by_sampling: dict[Sampling | None, dict[Raw, list[str]]] = {}
    for label, spec in specs.items():
        raws = by_sampling.setdefault(_sampling_key(spec.sampling), {})
        raws.setdefault(raw_of(spec, seed), []).append(label)
    total = _total_steps(run, list(by_sampling))
    finished: dict[str, FloatArray] = {}
    for sampling, raws in by_sampling.items():
        for raw, value in zip(raws, _values(run, sampling, list(raws)), strict=True):
            for label in raws[raw]:
                finished[label] = _finish(value, specs[label], x)
    results = {label: _result(run, label, spec, finished[label], raw_of(spec, seed)) for label, spec in specs.items()}
    return Outcome(results, run.selection.indices, run.output)


def _values(run: Run, sampling: Sampling | None, raws: Sequence[Raw]) -> Sequence[FloatArray | samplings.Moments]:
    if isinstance(sampling, (Smooth, Integrate)):
        return run.sample(sampling, raws)
    if isinstance(sampling, Control):
        drawn = np.random.default_rng(sampling.random_state).uniform(-1, 1, run.x.shape[1:])
        return [np.broadcast_to(drawn, run.x.shape)] * len(raws)
    return run.evaluate(raws, run.clean, run.selection, run.x)


def _total_steps(run: Run, samplings_used: Sequence[Sampling | None]) -> int:
    groups, size = len(run.clean.groups), run.block_size()
    walks = 0
    for sampling in samplings_used:
        if isinstance(sampling, Smooth):
            walks += math.ceil(sampling.samples / size)
        elif isinstance(sampling, Integrate):
            walks += math.ceil(sampling.steps / size)
        elif sampling is None:
            walks += 1
    return walks * groups


def _finish(value: FloatArray | samplings.Moments, spec: MethodSpec, x: FloatArray) -> FloatArray:
    """Apply statistic and modifier; return an array of its own in the input's type."""
    if isinstance(value, samplings.Moments):
        relevance: FloatArray = value.result(spec.sampling.statistic if isinstance(spec.sampling, Smooth) else "mean")
    else:
        relevance = value
    if isinstance(spec.sampling, Integrate):
        relevance = relevance * (x - samplings.baseline(spec.sampling.baseline, x).astype(np.float64))
    if isinstance(spec.modifier, Mix):
        relevance = relevance * (spec.modifier.positive * np.maximum(x, 0) + spec.modifier.negative * np.minimum(x, 0))
    elif isinstance(spec.modifier, Sign):
        relevance = relevance * np.where(x >= _threshold(spec.modifier, x), 1, -1)
    return np.array(relevance, dtype=x.dtype)


def _threshold(sign: Sign, x: FloatArray) -> Any:
    assert not isinstance(sign.mu, Missing), "missing parameters are refused before"
    if sign.mu is None:
        return 0
    return np.broadcast_to(sign.mu.array, x.shape) if isinstance(sign.mu, ArrayValue) else sign.mu


def _result(run: Run, label: str, spec: MethodSpec, relevance: FloatArray, raw: Raw) -> Result:
    total = relevance.astype(np.float64).reshape(len(relevance), -1).sum(axis=1)
    return Result(relevance, make_plan(run, label, spec, raw), total, run.expected(spec, raw))


def make_plan(run: Run, label: str, spec: MethodSpec, raw: Raw) -> Plan:
    """Return the plan of one method on the recorded model."""
    notes = [f"seed: {'the selected output' if raw.seed == 'logit' else '1'}"]
    if spec.sampling is not None:
        notes.append(f"sampling: {spec.sampling}")
    if spec.cam is not None:
        notes.append(f"activation of: {cams.activation(run.clean, spec.cam, spec.preset)[1]}")
    if spec.modifier is not None:
        notes.append(f"map times: {spec.modifier.formula('x')}")
    if spec.family == "control":
        return Plan(label, (), tuple(notes))
    assignments = list(run.assign(raw, run.clean).values())
    return Plan(label, assignments[0].rows, tuple(notes), assignments[0].warnings)
