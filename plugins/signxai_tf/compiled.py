"""Forward passes and walks as compiled functions, for one model and one shape of its input.

The forward pass is compiled with every tensor that a rule or derivative may ask for among its
outputs, weights as they are at that time included. A stage of a walk is compiled as a function of
those of them that it uses, so that no number of a model is ever stage of a compiled function.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.backend import Array, Operation, Recording
from signxai_core.engine.compiler import Stage
from signxai_tf import operations, private
from signxai_tf.calls import Handle, Program
from signxai_tf.forward import Forward
from signxai_tf.pace import in_order
from signxai_tf.values import NotCompilableError
from signxai_tf.vocabulary import CONVOLUTIONS, MATMULS

#: Compiled stages per model and shape of the input: those used last.
_MOST_STAGES = 256
#: Operations whose derivatives ask for no number of their first argument.
_INDIFFERENT = frozenset({"Add", "AddV2", "BiasAdd", "ExpandDims", "Reshape", "Squeeze", "Sub", "Transpose"})
#: Operations whose derivatives do not ask for their output.
_FORGOTTEN = _INDIFFERENT | CONVOLUTIONS | MATMULS | {"Mul"}


@attrs.frozen(eq=False)
class _CompiledStage:
    """A stage of a walk.

    Parameters
    ----------
    function
        Takes the stage's arrays, then what it captured.
    sources
        What it captured: places among the outputs of the forward pass, or constants.
    description
        What the stage returned besides arrays.
    """

    function: Any
    sources: tuple[Any, ...]
    description: Any

    @property
    def places(self) -> list[int]:
        """The places among the sources."""
        return [source for source in self.sources if isinstance(source, int)]

    def __call__(self, arrays: Sequence[Array], outputs: Mapping[int, Array]) -> tuple[list[Array], Any]:
        captured = [outputs[source] if isinstance(source, int) else source for source in self.sources]
        return private.call_flat(self.function, [*arrays, *captured]), self.description


@attrs.frozen(eq=False)
class CompiledModel:
    """A model for inputs of one shape.

    Parameters
    ----------
    forward
        From the input to the outputs.
    recording
        What the operations are, with the symbolic tensors of the whole forward pass for arrays.
    places
        Number of the output, by the id of a symbolic tensor.
    """

    forward: Forward
    recording: Recording
    places: dict[int, int]
    _stages: OrderedDict[Hashable, _CompiledStage | None] = attrs.field(factory=OrderedDict, init=False)
    _lock: Any = attrs.field(factory=threading.RLock, init=False)

    def record(self, x: Any, purpose: Hashable, again: Callable[[], Recording]) -> Recording:
        """Run the model; ``again`` does that operation by operation."""
        point = Point(self, x, purpose, again)
        point.need(self.forward.small)
        places = {number: self.places[id(tensor)] for number, tensor in self.recording.values.items()}
        values = {number: point.value(place) for number, place in places.items()}
        return attrs.evolve(self.recording, values={**values, self.recording.input: x}, compiled=point)

    def stage(self, key: Hashable, stage: Stage, arrays: Sequence[Array]) -> _CompiledStage | None:
        """Return a compiled stage, from the cache where it is there; ``None`` if it cannot be compiled."""
        with self._lock:
            if key not in self._stages:
                self._stages[key] = self._compiled(stage, arrays)
                while len(self._stages) > _MOST_STAGES:
                    self._stages.popitem(last=False)
            self._stages.move_to_end(key)
            return self._stages[key]

    def _compiled(self, stage: Stage, arrays: Sequence[Array]) -> _CompiledStage | None:
        found = []

        def traced(*given: Array) -> list[Array]:
            with in_order():
                results, description = stage(self.recording, given)
            found.append(description)
            return list(results)

        with self.forward.whole.graph.as_default():
            function = tf.function(traced, autograph=False)
            concrete = function.get_concrete_function(*(tf.TensorSpec(array.shape, array.dtype) for array in arrays))
        outer = [tensor for tensor, _ in concrete.graph.captures]
        if any(tf.is_symbolic_tensor(tensor) and id(tensor) not in self.places for tensor in outer):
            return None  # a derivative asks for what the forward pass does not give
        sources = tuple(self.places[id(tensor)] if tf.is_symbolic_tensor(tensor) else tensor for tensor in outer)
        return _CompiledStage(concrete, sources, found[-1])


@attrs.frozen(eq=False)
class Later:
    """An output of a forward pass that is computed when its numbers are asked for."""

    point: Point
    place: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return self.point.model.forward.shapes[self.place]

    def now(self) -> Array:
        """Return the output."""
        return self.point.need([self.place])[self.place]


@attrs.frozen(eq=False)
class Point:
    """One run of a model, a recording's ``compiled`` handle."""

    model: CompiledModel
    x: Array
    purpose: Hashable
    again: Callable[[], Recording]
    _outputs: dict[int, Array] = attrs.field(factory=dict, init=False)

    def need(self, places: Iterable[int]) -> Mapping[int, Array]:
        """Return outputs of the forward pass, among which are those in ``places``."""
        places = frozenset(places)
        forward, missing = self.model.forward, places.difference(self._outputs)
        self._outputs.update(forward.run(self.x, self.purpose, missing) if missing else {})
        forward.ask(self.purpose, places)
        return self._outputs

    def value(self, place: int) -> Array:
        """Return an output, or what stands for it until its numbers are asked for."""
        return self._outputs[place] if place in self._outputs else Later(self, place)

    def run(self, key: Hashable, stage: Stage, arrays: Sequence[Array]) -> tuple[list[Array], Any]:
        """Return what a stage computes at this point."""
        compiled = self.model.stage(key, stage, arrays)
        if compiled is not None:
            return compiled(arrays, self.need(compiled.places))
        results, description = stage(self.again(), arrays)
        return list(results), description


def compile_model(record: Callable[[Any], Recording], shape: Sequence[int], dtype: Any) -> CompiledModel:
    """Compile a model.

    Parameters
    ----------
    record
        Records a run on a symbolic input.
    shape, dtype
        Of the input.

    Raises
    ------
    NotCompilableError
        If the model's operations, or the shapes of its tensors, are not known before the run.
    """
    found: list[tuple[Recording, list[Array]]] = []

    def forward(x: Any) -> list[Array]:
        recording = record(x)
        tensors = {id(tensor): tensor for tensor in _tensors(recording)}
        found.append((recording, list(tensors.values())))
        return found[-1][1]

    function = tf.function(forward, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype))
    recording, tensors = found[-1]
    if not all(tensor.shape.is_fully_defined() for tensor in tensors):
        raise NotCompilableError("the shapes of the model's tensors depend on its numbers")
    return CompiledModel(
        Forward(function, _small(recording, tensors)),
        recording,
        {id(tensor): place for place, tensor in enumerate(tensors)},
    )


def _small(recording: Recording, tensors: Sequence[Array]) -> frozenset[int]:
    """Return the places of values that are no larger than the output: what comes out before a head is one of them."""
    most = recording.values[recording.output].shape.num_elements()
    small = {id(tensor) for tensor in recording.values.values() if tensor.shape.num_elements() <= most}
    return frozenset(place for place, tensor in enumerate(tensors) if id(tensor) in small)


def _tensors(recording: Recording) -> Iterator[Array]:
    """Yield every symbolic tensor that a walk may use."""
    shown = {id(tensor) for tensor in recording.values.values()}
    yield from recording.values.values()
    for operation in recording.operations:
        for tensor in _own(operation, shown):
            if tf.is_symbolic_tensor(tensor):
                yield tensor


def _own(operation: Operation, shown: set[int]) -> Iterator[Any]:
    """Yield the arrays of an operation, and those inside it that its derivative may need."""
    yield from operation.parameters.values()
    handle: Handle = operation.call
    for program in (handle.recorded, handle.linear):
        if program is None:
            continue
        grouped = handle.layout is not None and handle.layout.groups > 1
        # TensorFlow fuses a convolution with a bias, and then refuses to run it where it is grouped.
        unused = set() if grouped else _unused(program, shown)
        yield from (array for array in _of_program(program) if id(array) not in unused)


def _unused(program: Program, shown: set[int]) -> set[int]:
    """Return the ids of tensors inside a program that no derivative asks for."""
    steps = program.instructions
    made = {id(array) for step in steps if step.op in _FORGOTTEN for array in step.outputs}
    asked = {id(array) for step in steps if step.op not in _INDIFFERENT for array in operations.flatten(step.recorded)}
    return made - asked - shown


def _of_program(program: Program) -> Iterator[Any]:
    yield from program.inputs
    if program.weight is not None:
        yield program.weight
    for step in program.instructions:
        yield from operations.flatten([operations.flatten(step.arguments), operations.flatten(step.recorded)])
        yield from step.outputs
