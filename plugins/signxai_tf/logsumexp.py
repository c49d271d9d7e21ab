"""``log Σ exp(x)`` as TensorFlow and Keras write it: with the largest number taken out, which has no derivative."""

from __future__ import annotations

import numpy as np

from signxai_tf.traits import Net, Unit, constant
from signxai_tf.values import TAINTED, TRACKED, Step, Value

_MOVES = frozenset({"Reshape", "Squeeze"})


def find(net: Net, last: Step, claimed: set[int]) -> Unit | None:
    """Return the operation that ends with ``log(Σ exp(x − m)) + m``, m being without a derivative."""
    if last.op not in ("Add", "AddV2") or len(last.tracked) != 1:
        return None
    (value,) = last.tracked
    largest = next(item for item in last.inputs if item is not value)
    chain = _chain(value, ("Log", "Sum", "Exp", "Sub"))
    if chain is None or largest.state != TAINTED:
        return None
    difference = chain[0]
    x, subtracted = difference.arguments
    if x.state != TRACKED or _origin(largest) is not _origin(subtracted) or not _is_stopped(subtracted):
        return None
    steps = [*chain, last]
    total = next(step for step in steps if step.op == "Sum")
    axes, rank = constant(total.arguments[1]), len(x.array.shape)
    inner = [step.outputs[0] for step in steps[:-1]]
    if axes is None or any(id(step) in claimed for step in steps) or any(net.sole(item) is None for item in inner):
        return None
    return Unit(
        steps=tuple(steps),
        inputs=(x,),
        outputs=last.outputs,
        kind="logsumexp",
        function="logsumexp",
        attributes={
            "axes": tuple(sorted({int(axis) % rank for axis in np.ravel(axes)})),
            "keepdims": len(last.outputs[0].array.shape) == rank,
        },
    )


def _chain(value: Value, ops: tuple[str, ...]) -> list[Step] | None:
    """Return the steps that computed a value, if they are these with shapes changed between, in order of execution."""
    steps: list[Step] = []
    for op in ops:
        while value.step is not None and value.step.op in _MOVES:
            steps.append(value.step)
            value = value.step.arguments[0]
        if value.step is None or value.step.op != op or value.state != TRACKED:
            return None
        steps.append(value.step)
        value = value.step.arguments[0]
    return steps[::-1]


def _origin(value: Value) -> Value:
    """Return a value before its shape was changed."""
    while value.step is not None and value.step.op in _MOVES:
        value = value.step.arguments[0]
    return value


def _is_stopped(value: Value) -> bool:
    step = _origin(value).step
    return step is not None and step.op == "StopGradient"
