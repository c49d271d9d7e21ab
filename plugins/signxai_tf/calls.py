"""Handles of recorded operations: small programs of TensorFlow operations, run and differentiated.

A recorded operation may be several of TensorFlow's (a convolution along one axis is ExpandDims,
Conv2D, Squeeze and BiasAdd). A :class:`Program` runs them on other inputs and pulls cotangents back
through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.backend import Array
from signxai_tf import gradients, operations
from signxai_tf.values import Step, Value


@attrs.frozen
class Input:
    """Place of an argument that is an input of the program."""

    index: int


@attrs.frozen
class Local:
    """Place of an argument that an earlier instruction computes."""

    instruction: int
    place: int


#: Place of the weight.
WEIGHT = Input(-1)
#: Operations of data and a weight that have the batch on the first axis.
_PRODUCTS = frozenset({"Conv2D", "MatMul"})


@attrs.frozen(eq=False)
class Instruction:
    """One operation of a program.

    Parameters
    ----------
    op, attributes
        What runs.
    arguments
        Arrays (constants), or places; tuples of them for lists.
    recorded
        The arguments as they were when the model ran.
    outputs
        What came out then, flat.
    """

    op: str
    attributes: Mapping[str, Any]
    arguments: tuple[Any, ...]
    recorded: tuple[Any, ...]
    outputs: tuple[Array, ...]


@attrs.frozen(eq=False)
class Program:
    """Operations as one function of some inputs and, where it has one, a weight.

    Parameters
    ----------
    instructions
        In the order of execution.
    results
        Places of the outputs.
    inputs, weight
        As recorded.
    """

    instructions: tuple[Instruction, ...]
    results: tuple[Local | Input, ...]
    inputs: tuple[Array, ...]
    weight: Array | None = None

    def __call__(self, inputs: Sequence[Array], weight: Array | None = None) -> tuple[Array, ...]:
        """Run on other inputs, and another weight if one is given."""
        weight = self.weight if weight is None else weight
        known: list[list[Array]] = []

        def find(argument: Any) -> Any:
            if isinstance(argument, tuple):
                return tuple(find(item) for item in argument)
            if isinstance(argument, Input):
                return weight if argument is WEIGHT else inputs[argument.index]
            return known[argument.instruction][argument.place] if isinstance(argument, Local) else argument

        for instruction in self.instructions:
            arguments = [find(argument) for argument in instruction.arguments]
            results = operations.run(instruction.op, instruction.attributes, arguments)
            known.append(operations.flatten(results))
        return tuple(find(place) for place in self.results)

    def repeated(self, times: int) -> Program | None:
        """Return the program as recorded on a batch that is repeated, if it is a single product with the weight."""
        if len(self.instructions) != 1 or self.instructions[0].op not in _PRODUCTS:
            return None
        (step,) = self.instructions
        if step.arguments != (Input(0), WEIGHT) or step.attributes.get("transpose_a"):
            return None
        x = tf.repeat(self.inputs[0], times, axis=0)  # only its shape is looked at
        return attrs.evolve(self, instructions=(attrs.evolve(step, recorded=(x, step.recorded[1])),), inputs=(x,))

    def pull(self, cotangents: Sequence[Array | None], weight: Array | None = None) -> tuple[Array, ...]:
        """Return the vector-Jacobian product at the recorded point, one array per input."""
        arrived: dict[Local | Input, Array] = {}
        _arrive(arrived, self.results, cotangents)
        for number in reversed(range(len(self.instructions))):
            instruction = self.instructions[number]
            given = [arrived.pop(Local(number, place), None) for place in range(len(instruction.outputs))]
            if all(cotangent is None for cotangent in given):
                continue
            places = operations.flatten(instruction.arguments)
            weights = [i for i, place in enumerate(places) if place is WEIGHT]
            wanted = [i for i, place in enumerate(places) if isinstance(place, (Input, Local)) and i not in weights]
            recorded = instruction.recorded
            if weight is not None and weights:
                values = operations.flatten(recorded)
                values[weights[0]] = weight
                recorded = operations.arrange(instruction.op, instruction.attributes, values)
            call = gradients.Call(instruction.op, instruction.attributes, recorded, instruction.outputs)
            _arrive(arrived, [places[i] for i in wanted], gradients.pull(call, given, wanted))
        return tuple(
            tf.zeros_like(x) if Input(index) not in arrived else arrived[Input(index)]
            for index, x in enumerate(self.inputs)
        )


def _arrive(arrived: dict[Any, Array], places: Sequence[Any], cotangents: Sequence[Array | None]) -> None:
    for place, cotangent in zip(places, cotangents, strict=True):
        if cotangent is not None:
            arrived[place] = arrived[place] + cotangent if place in arrived else cotangent


def compose(
    steps: Sequence[Step],
    inputs: Sequence[Value],
    results: Sequence[Value],
    *,
    weight: Value | None = None,
    without: Step | None = None,
    free: Callable[[Array], Array] | None = None,
) -> Program:
    """Return steps as a program.

    Parameters
    ----------
    steps
        In the order of execution.
    inputs, results
        What goes in and comes out.
    weight
        The argument that takes the weight.
    without
        A step with one tracked argument that is left out: its argument takes the place of its result.
    free
        Replaces constant arguments that are added to what the input contributes.
    """
    places: dict[int, Any] = {id(value): Input(index) for index, value in enumerate(inputs)}
    if weight is not None:
        places[id(weight)] = WEIGHT
    instructions: list[Instruction] = []

    def place(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(place(item) for item in argument)
        known = places.get(id(argument))
        if known is not None:
            return known
        return argument.array if free is None or not argument.array.dtype.is_floating else free(argument.array)

    for step in steps:
        if step is without:
            places[id(step.outputs[0])] = places[id(step.tracked[0])]
            continue
        recorded = tuple(
            tuple(v.array for v in item) if isinstance(item, tuple) else item.array for item in step.arguments
        )
        arguments = tuple(place(argument) for argument in step.arguments)
        outputs = tuple(value.array for value in step.outputs)
        for index, value in enumerate(step.outputs):
            places[id(value)] = Local(len(instructions), index)
        instructions.append(Instruction(step.op, step.attributes, arguments, recorded, outputs))
    return Program(
        tuple(instructions),
        tuple(places[id(value)] for value in results),
        tuple(value.array for value in inputs),
        None if weight is None else weight.array,
    )


@attrs.frozen(eq=False)
class Layout:
    """How the channels lie in a weight.

    Parameters
    ----------
    inner, outer
        Axes of input and output channels.
    groups
        Number of groups of channels.
    depthwise
        Every input channel has its own output channels: ``outer`` counts those of one.
    """

    inner: int
    outer: int
    groups: int = 1
    depthwise: bool = False


@attrs.frozen(eq=False)
class Handle:
    """Backend's handle of an operation.

    Parameters
    ----------
    recorded
        As the model ran it.
    linear
        The same without bias and with a place for the weight; ``None`` where ``recorded`` is that.
    layout
        Layout of the weight, where it is one that the backend knows.
    """

    recorded: Program
    linear: Program | None = None
    layout: Layout | None = None
