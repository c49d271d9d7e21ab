"""Vector-Jacobian products of elementwise functions, reductions, products and choices.

Written out where running the operation once more, as TensorFlow's own derivative of a single operation
does, would take time; see :mod:`signxai_tf.gradients`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from signxai_core.engine.backend import Array

raw = tf.raw_ops


def like(cotangent: Array, argument: Array) -> Array:
    """Sum over the axes along which an argument was broadcast."""
    if cotangent.shape == argument.shape and cotangent.shape.is_fully_defined():
        return cotangent
    axes, _ = raw.BroadcastGradientArgs(s0=tf.shape(argument), s1=tf.shape(cotangent))
    return tf.reshape(tf.reduce_sum(cotangent, axes), tf.shape(argument))


# --- elementwise -----------------------------------------------------------------------------------


def _square(call: Any, _: int, cotangent: Array) -> Array:
    return 2 * cotangent * call.arguments[0]


def _sqrt(call: Any, _: int, cotangent: Array) -> Array:
    return raw.SqrtGrad(y=call.outputs[0], dy=cotangent)


def _rsqrt(call: Any, _: int, cotangent: Array) -> Array:
    return raw.RsqrtGrad(y=call.outputs[0], dy=cotangent)


def _exp(call: Any, _: int, cotangent: Array) -> Array:
    return cotangent * call.outputs[0]


def _reciprocal(call: Any, _: int, cotangent: Array) -> Array:
    return raw.ReciprocalGrad(y=call.outputs[0], dy=cotangent)


def _divided(call: Any, place: int, cotangent: Array) -> Array:
    a, b = call.arguments
    return like(cotangent / b, a) if place == 0 else like(-cotangent * call.outputs[0] / b, b)


# --- along axes ------------------------------------------------------------------------------------


def _softmax(call: Any, _: int, cotangent: Array) -> Array:
    y = call.outputs[0]
    return (cotangent - tf.reduce_sum(cotangent * y, -1, keepdims=True)) * y


def _log_softmax(call: Any, _: int, cotangent: Array) -> Array:
    return cotangent - tf.reduce_sum(cotangent, -1, keepdims=True) * tf.exp(call.outputs[0])


def _kept(call: Any, cotangent: Array) -> tuple[Array, int]:
    """Return a cotangent with the axes that a reduction removed, and the number of numbers in each mean."""
    x = call.arguments[0]
    shape = [int(length) for length in x.shape]
    axes = {int(axis) % len(shape) for axis in np.ravel(tf.get_static_value(call.arguments[1]))}
    wide = [1 if place in axes else length for place, length in enumerate(shape)]
    return tf.reshape(cotangent, wide), int(np.prod([shape[axis] for axis in axes]))


def _summed(call: Any, _: int, cotangent: Array) -> Array:
    return tf.broadcast_to(_kept(call, cotangent)[0], tf.shape(call.arguments[0]))


def _averaged(call: Any, _: int, cotangent: Array) -> Array:
    kept, count = _kept(call, cotangent)
    return tf.broadcast_to(kept / count, tf.shape(call.arguments[0]))


# --- index maps and choices ------------------------------------------------------------------------


def _broadcast(call: Any, _: int, cotangent: Array) -> Array:
    return like(cotangent, call.arguments[0])


def _reversed(call: Any, _: int, cotangent: Array) -> Array:
    return raw.ReverseV2(tensor=cotangent, axis=call.arguments[1])


def _cut(call: Any, _: int, cotangent: Array) -> Array:
    options = {key: value for key, value in call.attributes.items() if key.endswith("_mask")}
    begin, end, strides = call.arguments[1:]
    shape = tf.shape(call.arguments[0], out_type=begin.dtype)
    return raw.StridedSliceGrad(shape=shape, begin=begin, end=end, strides=strides, dy=cotangent, **options)


def _chosen(call: Any, place: int, cotangent: Array) -> Array:
    zeros = tf.zeros_like(cotangent)
    own = (cotangent, zeros) if place == 1 else (zeros, cotangent)
    return like(tf.where(call.arguments[0], *own), call.arguments[place])


def _larger(call: Any, place: int, cotangent: Array) -> Array:
    """The first argument takes it all where both are equal."""
    a, b = call.arguments
    first = a >= b if call.op == "Maximum" else a <= b
    return like(tf.where(first if place == 0 else ~first, cotangent, tf.zeros_like(cotangent)), call.arguments[place])


KNOWN: dict[str, Callable[[Any, int, Array], Array]] = {
    "Square": _square,
    "Sqrt": _sqrt,
    "Rsqrt": _rsqrt,
    "Exp": _exp,
    **dict.fromkeys(("Reciprocal", "Inv"), _reciprocal),
    **dict.fromkeys(("RealDiv", "Div"), _divided),
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "Sum": _summed,
    "Mean": _averaged,
    "BroadcastTo": _broadcast,
    "ReverseV2": _reversed,
    "StridedSlice": _cut,
    "SelectV2": _chosen,
    **dict.fromkeys(("Maximum", "Minimum"), _larger),
}


# --- several outputs -------------------------------------------------------------------------------


def _given(call: Any, cotangents: Sequence[Array | None]) -> list[Array]:
    """Return a cotangent for every output."""
    pairs = zip(cotangents, call.outputs, strict=True)
    return [tf.zeros_like(output) if cotangent is None else cotangent for cotangent, output in pairs]


def _split(call: Any, cotangents: Sequence[Array | None]) -> Array:
    axis = call.arguments[0 if call.op == "Split" else 2]
    return tf.concat(_given(call, cotangents), axis)


def _unpacked(call: Any, cotangents: Sequence[Array | None]) -> Array:
    return tf.stack(_given(call, cotangents), call.attributes.get("axis", 0))


#: By name: place of the only argument that has a derivative, and the function.
SEVERAL: dict[str, tuple[int, Callable[[Any, Sequence[Array | None]], Array]]] = {
    "Split": (1, _split),
    "SplitV": (0, _split),
    "Unpack": (0, _unpacked),
}
