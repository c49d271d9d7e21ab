"""One call on one model and input: recordings, walks, raw maps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine import cam as cams
from signxai_core.engine import heap
from signxai_core.engine import sampling as samplings
from signxai_core.engine.backend import Array, Backend, Recording
from signxai_core.engine.bounds import check_bounds
from signxai_core.engine.check import check_input, check_output
from signxai_core.engine.compiler import Compiler
from signxai_core.engine.head import explained, with_output_of, without_head
from signxai_core.engine.plan import Assignment, Query, resolve
from signxai_core.engine.stages import run_in_stages
from signxai_core.engine.structure import Structure, analyse
from signxai_core.engine.target import Seeds, Selection, seeds, select
from signxai_core.engine.walk import Walk
from signxai_core.specs.cells import Mix
from signxai_core.specs.composites import Composite, Entry, Where
from signxai_core.specs.fill import sliced
from signxai_core.specs.methods import Cam, Integrate, MethodSpec, Preset, Smooth
from signxai_core.specs.nonlinear import Exact
from signxai_core.specs.rules import FunctionRule, LinearRule

FloatArray = npt.NDArray[Any]

_GRADIENT = Composite((Entry(Where(), Exact()),), fold_normalisation=False)
#: Defaults of ``max_memory``, in bytes: for walks at least so much, for sampled inputs so much.
_WALK, _SAMPLED = 2**26, 2**29


@attrs.frozen
class Raw:
    """A map before sampling statistics and modifiers: what methods can share."""

    composite: Composite
    input_layer: LinearRule | None
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


def raw_of(spec: MethodSpec, seed: str | None) -> Raw:
    """Return the part of a method that is computed per input variant."""
    preset = spec.preset if spec.cam is not None else None
    return Raw(spec.composite, spec.input_layer, seed or spec.seed, spec.cam, preset)


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
    max_memory
        Bytes that a walk may hold besides the recording (methods with other trunks then part where they
        would hold more together), and that the recording of an internal batch of sampled inputs may
        hold. At least one trunk and one copy of one sample are always taken. By default a walk may hold as
        much as the recording, or 64 MiB, and sampled inputs 512 MiB.
    step
        See :class:`~signxai_core.engine.walk.Walk`.
    """

    backend: Backend
    model: Any
    x: FloatArray
    seed: str | None
    strict: bool
    step: Callable[[int], None]
    max_memory: int | None = None
    by_function: bool = attrs.field(default=False, init=False)
    _checked: set[Query] = attrs.field(factory=set, init=False)
    clean: Structure = attrs.field(init=False)
    selection: Selection = attrs.field(init=False)
    output: FloatArray = attrs.field(init=False)

    def start(self, target: Any, raws: Iterable[Raw] = ()) -> None:
        """Record the model on the input and select the outputs to explain; ``raws`` as in :meth:`record`."""
        check_input(self.x)
        heap.settle()
        self.by_function = callable(target)
        self.clean = self.record(self.x, raws)
        recording = self.clean.recording
        self.output = self.backend.to_numpy(recording.values[recording.output]).reshape(recording.output_shape)
        self.selection = select(target, self.output)

    @property
    def explains(self) -> str:
        """What is explained, in words."""
        return explained(self.clean.recording, by_function=self.by_function)

    @functools.cached_property
    def seeds(self) -> Seeds:
        """The starts of walks for the user's input."""
        return seeds(self.backend, self.clean.recording, self.selection)

    def record(self, x: FloatArray, raws: Iterable[Raw] = ()) -> Structure:
        """Record the model on a batch, for raw maps that will be evaluated, and check its output."""
        if isinstance(self.backend, Compiler):
            native = self.backend.outline(self.model, x, frozenset(raws))
        else:
            native = self.backend.record(self.model, x)
        recording = native if self.by_function else without_head(native)
        check_output(self.backend, recording)
        return analyse(recording, non_negative=bool((x >= 0).all()))

    def assign(self, raw: Raw, structure: Structure) -> dict[Query, Assignment]:
        """Resolve the queries of a raw map."""
        recording = structure.recording

        def rules(query: Query) -> Assignment:
            resolved = functools.partial(resolve, query, structure, strict=self.strict)
            return recording.derive(("rules", query, self.strict, recording.output), resolved)

        found = {query: rules(query) for query in self._queries(raw)}
        for query, assignment in found.items():
            if structure is self.clean and query not in self._checked:
                check_bounds(self.backend, structure, assignment)
                self._checked.add(query)
        return found

    def evaluate(
        self, raws: Sequence[Raw], structure: Structure, selection: Selection, x: FloatArray
    ) -> list[FloatArray]:
        """Return the raw maps of one recording, which serves nothing else afterwards."""
        assignments: dict[Query, Assignment] = {}
        activations: dict[Raw, int] = {}
        for raw in raws:
            assignments.update(self.assign(raw, structure))
            if raw.cam is not None:
                activations[raw] = cams.activation(structure, raw.cam, raw.preset)[0]
        own = self.seeds if structure is self.clean else seeds(self.backend, structure.recording, selection)
        captures = frozenset(activations.values())
        found: dict[Query, dict[int, Any]] = {}
        compiled = structure.recording.compiled is not None
        python = {query for query in assignments if compiled and _calls_python(query)}
        for queries in filter(None, (python, assignments.keys() - python)):
            chosen = {query: assignment for query, assignment in assignments.items() if query in queries}
            walked = self.walk(structure, chosen, own.starts, captures, consume=True)
            found.update(zip(chosen, walked, strict=True))
        recording = structure.recording
        cache: dict[tuple[Query, int], FloatArray] = {}

        def native(query: Query, tensor: int) -> FloatArray:
            if (query, tensor) not in cache:
                array = found[query].get(tensor)
                cache[query, tensor] = (
                    np.zeros(recording.shape(tensor), x.dtype) if array is None else self.backend.to_numpy(array)
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

    def walk(
        self,
        structure: Structure,
        assignments: Mapping[Query, Assignment],
        starts: Mapping[str, Array],
        captures: frozenset[int],
        *,
        consume: bool = False,
    ) -> list[dict[int, Array]]:
        """Return, per query, relevance by tensor id; compiled, where the backend can and no rule forbids it.

        With ``consume`` the recording serves no walk after this one.
        """
        recording, kinds = structure.recording, [query.seed for query in assignments]
        if recording.compiled is not None and any(map(_calls_python, assignments)):
            again = with_output_of(recording, self.backend.record(self.model, recording.values[recording.input]))
            structure = analyse(again, non_negative=recording.input in structure.non_negative)
        memory = self._memory(recording) // self.x.itemsize
        walk = Walk(self.backend, structure, list(assignments.values()), captures, self.step, consume, memory)
        if structure.recording.compiled is None:
            return walk.run(starts, kinds)
        return run_in_stages(walk, starts, kinds, (tuple(assignments), self.strict))

    def sample(self, sampling: Smooth | Integrate, raws: Sequence[Raw]) -> list[samplings.Moments]:
        """Return mean and variance of raw maps over variants of the input."""
        shape = self.x.shape
        parts = []
        for rows in self.sampled_rows():
            chosen = [sliced(raw, rows, shape) for raw in raws]
            parts.append(self._sample(sliced(sampling, rows, shape), chosen, self.x[rows], self.selection.of(rows)))
        return [samplings.Moments.joined(moments) for moments in zip(*parts, strict=True)]

    def _sample(
        self, sampling: Smooth | Integrate, raws: Sequence[Raw], x: FloatArray, selection: Selection
    ) -> list[samplings.Moments]:
        moments = [samplings.Moments() for _ in raws]
        channel_axis = self.clean.recording.channel_axis
        for block, weights in samplings.variants(sampling, x, self.block_size(), channel_axis):
            flat = block.reshape(-1, *x.shape[1:])
            maps = self.evaluate(raws, self.record(flat, raws), selection.repeat(len(block)), flat)
            for moment, values in zip(moments, maps, strict=True):
                moment.add(values.reshape(block.shape), weights)
        return moments

    def block_size(self) -> int:
        """Return how many variants of the input go into one internal batch."""
        return 1 if self.selection.function is not None else max(1, self._sampled() // len(self.x))

    def sampled_rows(self) -> list[slice]:
        """Return the samples of which variants are taken together: all, or as many as one batch can hold."""
        count = len(self.x)
        # A user's function may expect the user's batch.
        size = count if self.selection.function is not None else max(1, min(count, self._sampled()))
        return [slice(start, start + size) for start in range(0, count, size)]

    def _sampled(self) -> int:
        """Return how many variants of single samples one internal batch may hold."""
        held = 2 * self.x.itemsize * _sizes(self.clean.recording)[1]
        bound = _SAMPLED if self.max_memory is None else self.max_memory
        return bound * len(self.x) // max(held, 1)

    def query_count(self, raws: Iterable[Raw]) -> int:
        """Return how many queries these take to the input."""
        return len({query for raw in raws for query in self._queries(raw)})

    def _queries(self, raw: Raw) -> list[Query]:
        return [query for query in (raw.main, raw.gradient(self.seed)) if query is not None]

    def _memory(self, recording: Recording) -> int:
        """Return how many bytes the streams of a walk may hold."""
        return max(_WALK, self.x.itemsize * _sizes(recording)[1]) if self.max_memory is None else self.max_memory

    def expected(self, spec: MethodSpec, raw: Raw) -> npt.NDArray[np.float64]:
        """Return what the relevance of each sample should sum to."""
        if isinstance(spec.sampling, Integrate):
            origin = self.record(samplings.baseline(spec.sampling.baseline, self.x))
            return self.seeds.selected - seeds(self.backend, origin.recording, self.selection).selected
        is_times_input = spec.family == "gradient" and isinstance(spec.modifier, Mix)
        return (self.seeds.times_output if is_times_input else self.seeds.totals)[raw.seed]


def _sizes(recording: Recording) -> tuple[int, int]:
    """Return how many numbers the largest recorded value holds, and all of them."""

    def sizes() -> tuple[int, int]:
        numbers = [math.prod(recording.shape(tensor)) for tensor in recording.values]
        return max(numbers), sum(numbers)

    return recording.derive("sizes", sizes)


def _calls_python(query: Query) -> bool:
    """Return whether a rule is a function, which may ask for numbers and so cannot be compiled."""
    rules = (query.input_layer, *(entry.rule for entry in query.composite.entries))
    return any(isinstance(rule, FunctionRule) for rule in rules)


def _product(relevance: FloatArray | None, heat: FloatArray | None) -> FloatArray:
    if relevance is None or heat is None:
        found = heat if relevance is None else relevance
        assert found is not None, "a method has a relevance or a class-activation map"
        return found
    return relevance * heat
