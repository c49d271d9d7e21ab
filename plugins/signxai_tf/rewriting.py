"""Operations that are run as others, so that every backend records the same primitives.

``(a − b)²`` is a difference and a square, ``x · x`` a square, and a tensor that a constant stretches is
stretched by an operation of its own. Numbers and derivatives stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from signxai_tf import canonical
from signxai_tf.layer_groups import Origin
from signxai_tf.values import FREE, TRACKED, Value

Execute = Callable[[str, Mapping[str, Any], list[Value], Origin], tuple[Value, ...]]

#: Operations that stretch their two arguments to a common shape.
_BROADCAST = frozenset(
    {"Add", "AddV2", "Sub", "Mul", "MulNoNan", "RealDiv", "Div", "DivNoNan", "Xdivy", "Pow", "Maximum", "Minimum"}
)


def run(
    execute: Execute, op: str, attributes: Mapping[str, Any], inputs: list[Value], origin: Origin
) -> Sequence[Value] | None:
    """Run an operation as others; ``None`` for one that stays as it is."""
    if len(inputs) != 2 or all(value.state == FREE for value in inputs):
        return None
    if op == "SquaredDifference":
        (difference,) = execute("Sub", attributes, _plain_mean(inputs), origin)
        return execute("Square", attributes, [difference], origin)
    if op in ("Add", "AddV2", "BiasAdd"):
        found = canonical.add(execute, attributes, inputs, origin)
        if found is not None:
            return (found,)
    if op not in _BROADCAST:
        return None
    if op == "Mul" and inputs[0] is inputs[1]:
        return execute("Square", attributes, inputs[:1], origin)
    stretched = _stretched(execute, inputs, origin)
    return None if stretched is None else execute(op, attributes, stretched, origin)


def _plain_mean(inputs: list[Value]) -> list[Value]:
    """Return the arguments of ``(x − mean)²``, the mean with its derivative.

    ``tf.nn.moments`` stops the gradient at the mean, since the variance has none with respect to it.
    """
    x, mean = inputs
    stop = mean.step
    if stop is None or stop.op != "StopGradient":
        return inputs
    source: Value = stop.arguments[0]
    if source.state != TRACKED or source.step is None or source.step.op != "Mean":
        return inputs
    return [x, source] if source.step.arguments[0] is x else inputs


def _stretched(execute: Execute, inputs: list[Value], origin: Origin) -> list[Value] | None:
    """Return the arguments with the one that depends on the input stretched to the result's shape."""
    tracked = [value for value in inputs if value.state == TRACKED]
    if len(tracked) != 1:
        return None
    (x,) = tracked
    shapes = [value.array.shape for value in inputs]
    if not all(shape.is_fully_defined() for shape in shapes):
        return None
    try:
        shape = tf.broadcast_static_shape(*shapes)
    except ValueError:
        return None  # the operation itself says what does not fit
    if shape == x.array.shape:
        return None
    size = Value(tf.constant(shape.as_list(), tf.int32))
    (wide,) = execute("BroadcastTo", {}, [x, size], origin)
    return [wide if value is x else value for value in inputs]
