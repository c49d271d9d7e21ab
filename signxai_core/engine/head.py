"""Which output is explained: the logits in front of a model's head, or what the model returns.

A class is a logit: a softmax or sigmoid at the end of a model is skipped. A function as target gets
what the model returns, so that nothing is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from signxai_core.engine.backend import Operation, Recording
from signxai_core.specs.operations import function, kind


def without_head(recording: Recording) -> Recording:
    """Return the recording with its head climbed over: relevance is of the logit.

    The head is a final softmax or sigmoid, with what a model does to the probabilities afterwards as
    long as classes stay in their places and the larger output stays the larger one (clipping, logarithm,
    a positive factor, reshaping, a cast).
    """
    producer = _producers(recording)
    tensor = output = recording.output
    while tensor in producer and (_is_head(producer[tensor]) or _keeps_classes(recording, producer[tensor])):
        is_head = _is_head(producer[tensor])
        tensor = producer[tensor].inputs[0]
        output = tensor if is_head else output
    return attrs.evolve(recording, output=output, returned=recording.output)


def _keeps_classes(recording: Recording, operation: Operation) -> bool:
    """Return whether every class keeps its place, and the order of outputs stays."""
    if len(operation.inputs) != 1 or len(operation.outputs) != 1:
        return False
    shapes = [recording.shape(tensor) for tensor in (*operation.inputs, *operation.outputs)]
    facts = function(operation.function)
    if operation.kind == "shape" and facts.in_order:
        return math.prod(shapes[0]) == math.prod(shapes[1]) and shapes[0][:1] == shapes[1][:1]
    return shapes[0] == shapes[1] and (facts.increasing or bool(operation.attributes.get("increasing")))


def with_output_of(known: Recording, recording: Recording) -> Recording:
    """Return another recording of the same model with the output that is explained in ``known``."""
    return attrs.evolve(recording, output=known.output, returned=known.returned)


def explained(recording: Recording, *, by_function: bool) -> str:
    """Return what is explained, in words: the operation that computes it, and those that were skipped.

    Parameters
    ----------
    recording
        Its ``output`` is what is explained.
    by_function
        A function of the outputs is explained; else one output per sample.
    """
    behind = list(_last_operations(recording, recording.output))
    source = behind[0].label if behind else "the model, which is its input"
    if len(behind) > 1 and kind(behind[-1].kind).layer:
        steps = ", ".join(operation.label for operation in behind[-2::-1])
        source = f"{source}, which {behind[-1].label} feeds through {steps}"
    if by_function:
        return f"the target function of what the model returns, the output of {source}"
    skipped = list(_between(recording))
    names = ", ".join(operation.label for operation in reversed(skipped))
    return f"the selected output of {source}" + (f"; skipped behind it: {names}" if skipped else "")


def _producers(recording: Recording) -> dict[int, Operation]:
    return {tensor: operation for operation in recording.operations for tensor in operation.outputs}


def _is_head(operation: Operation) -> bool:
    return function(operation.function).head or operation.kind in ("softmax", "dropout")


def _last_operations(recording: Recording, tensor: int) -> Iterator[Operation]:
    """Yield what computed a tensor, back to the last layer or to where several tensors meet."""
    producer = _producers(recording)
    while tensor in producer:
        yield producer[tensor]
        if kind(producer[tensor].kind).layer or len(producer[tensor].inputs) != 1:
            return
        tensor = producer[tensor].inputs[0]


def _between(recording: Recording) -> Iterator[Operation]:
    """Yield what the model runs behind the output that is explained, the last one first."""
    producer = _producers(recording)
    tensor = recording.output if recording.returned is None else recording.returned
    while tensor != recording.output:
        yield producer[tensor]
        tensor = producer[tensor].inputs[0]
