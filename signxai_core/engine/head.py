"""Which output is explained: the logits in front of a model's head, or what the model returns.

A class is a logit: a softmax or sigmoid at the end of a model is skipped. A function as target gets
what the model returns, so that nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from signxai_core.engine.backend import Operation, Recording
from signxai_core.specs.operations import function, kind


def without_head(recording: Recording) -> Recording:
    """Return the recording with a final softmax or sigmoid climbed over: relevance is of the logit."""
    producer = _producers(recording)
    output = recording.output
    while output in producer and _is_head(producer[output]):
        output = producer[output].inputs[0]
    return attrs.evolve(recording, output=output, returned=recording.output)


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
