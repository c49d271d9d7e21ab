"""Vector-Jacobian products of single operations, without running them again where that is possible.

Written out for the operations that networks are made of; all others are differentiated by
TensorFlow, which runs them once more. No gradient of a weight is ever computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_core.engine.backend import Array
from signxai_core.errors import UnsupportedOperationError
from signxai_tf import operations
from signxai_tf.convolutions import PULLS
from signxai_tf.derivatives import KNOWN, SEVERAL, like
from signxai_tf.pools import first_winner

raw = tf.raw_ops


@attrs.frozen(eq=False)
class Call:
    """An operation with the arguments and outputs of the recorded point."""

    op: str
    attributes: Mapping[str, Any]
    arguments: tuple[Any, ...]
    outputs: tuple[Array, ...]


def pull(call: Call, cotangents: Sequence[Array | None], wanted: Sequence[int]) -> list[Array | None]:
    """Return the cotangents of some of the arguments (numbers in the flat list of arguments)."""
    if call.op in SEVERAL and list(wanted) == [SEVERAL[call.op][0]]:
        return [SEVERAL[call.op][1](call, cotangents)]
    known = _KNOWN.get(call.op)
    if call.op in _DATA_ONLY and list(wanted) != [_DATA_ONLY[call.op]]:
        known = None
    if known is not None and cotangents[0] is not None:
        return [known(call, place, cotangents[0]) for place in wanted]
    return _by_tape(call, cotangents, wanted)


def _by_tape(call: Call, cotangents: Sequence[Array | None], wanted: Sequence[int]) -> list[Array | None]:
    flat = operations.flatten(call.arguments)
    used = [place for place in wanted if flat[place].dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for place in used:
            flat[place] = tf.identity(flat[place])
        tape.watch([flat[place] for place in used])
        arguments = operations.arrange(call.op, call.attributes, flat)
        outputs = operations.flatten(operations.run(call.op, call.attributes, arguments))
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if c is not None]
    try:
        found = tape.gradient([o for o, _ in pairs], [flat[i] for i in used], [c for _, c in pairs])
    except LookupError as error:
        message = f"the operation {call.op!r} has no derivative in TensorFlow"
        raise UnsupportedOperationError(message, function=call.op) from error
    by_place = dict(zip(used, found, strict=True))
    return [None if by_place.get(i) is None else tf.convert_to_tensor(by_place[i]) for i in wanted]


def _reshaped(call: Call, _: int, cotangent: Array) -> Array:
    return tf.reshape(cotangent, tf.shape(call.arguments[0]))


def _transposed(call: Call, _: int, cotangent: Array) -> Array:
    return tf.transpose(cotangent, tf.math.invert_permutation(call.arguments[1]))


def _padded(call: Call, _: int, cotangent: Array) -> Array:
    return tf.slice(cotangent, tf.cast(call.arguments[1][:, 0], tf.int32), tf.shape(call.arguments[0]))


def _cast(call: Call, _: int, cotangent: Array) -> Array:
    return tf.cast(cotangent, call.arguments[0].dtype)


def _concatenated(call: Call, place: int, cotangent: Array) -> Array:
    parts, axis = call.arguments
    rank = len(cotangent.shape)
    axis = int(tf.get_static_value(axis)) % rank
    start = sum(int(part.shape[axis]) for part in parts[:place])
    index = [slice(None)] * rank
    index[axis] = slice(start, start + int(parts[place].shape[axis]))
    return cotangent[tuple(index)]


def _stacked(call: Call, place: int, cotangent: Array) -> Array:
    return tf.gather(cotangent, place, axis=call.attributes.get("axis", 0))


def _added(call: Call, place: int, cotangent: Array) -> Array:
    return like(cotangent, call.arguments[place])


def _subtracted(call: Call, place: int, cotangent: Array) -> Array:
    return like(-cotangent if place else cotangent, call.arguments[place])


def _negated(_: Call, __: int, cotangent: Array) -> Array:
    return -cotangent


def _multiplied(call: Call, place: int, cotangent: Array) -> Array:
    return like(cotangent * call.arguments[1 - place], call.arguments[place])


def _biased(_: Call, __: int, cotangent: Array) -> Array:
    return cotangent


def _relu(call: Call, _: int, cotangent: Array) -> Array:
    return raw.ReluGrad(gradients=cotangent, features=call.outputs[0])


def _relu6(call: Call, _: int, cotangent: Array) -> Array:
    return raw.Relu6Grad(gradients=cotangent, features=call.outputs[0])


def _sigmoid(call: Call, _: int, cotangent: Array) -> Array:
    return raw.SigmoidGrad(y=call.outputs[0], dy=cotangent)


def _tanh(call: Call, _: int, cotangent: Array) -> Array:
    return raw.TanhGrad(y=call.outputs[0], dy=cotangent)


def _max_pooled(call: Call, _: int, cotangent: Array) -> Array:
    x, y = call.arguments[0], call.outputs[0]
    options = {key: value for key, value in call.attributes.items() if key in operations.signature(call.op).attributes}
    if not tf.executing_eagerly() and x.dtype == tf.float32:
        # On a CPU TensorFlow has a much faster gradient for a pooling that runs in the same function.
        y = raw.MaxPool(input=x, **options)
    return raw.MaxPoolGrad(orig_input=x, orig_output=y, grad=cotangent, **options)


def _average_pooled(call: Call, _: int, cotangent: Array) -> Array:
    options = {key: value for key, value in call.attributes.items() if key in operations.signature(call.op).attributes}
    function = raw.AvgPoolGrad if call.op == "AvgPool" else raw.AvgPool3DGrad
    return function(orig_input_shape=tf.shape(call.arguments[0]), grad=cotangent, **options)


def _first_winner(call: Call, _: int, cotangent: Array) -> Array:
    """Everything goes to the winner, the first one on ties, as at max-pooling."""
    x = call.arguments[0]
    rank = len(x.shape)
    axes = [int(axis) % rank for axis in np.ravel(tf.get_static_value(call.arguments[1]))]
    order = [axis for axis in range(rank) if axis not in axes] + axes
    moved = tf.transpose(x, order)
    rows = tf.reshape(moved, tf.concat([tf.shape(moved)[: rank - len(axes)], [-1]], 0))
    place = (tf.argmax if call.op == "Max" else tf.argmin)(rows, axis=-1)
    winner = tf.one_hot(place, tf.shape(rows)[-1], dtype=x.dtype)
    spread = winner * tf.reshape(cotangent, tf.concat([tf.shape(rows)[:-1], [1]], 0))
    return tf.transpose(tf.reshape(spread, tf.shape(moved)), [order.index(axis) for axis in range(rank)])


_KNOWN: dict[str, Callable[[Any, int, Array], Array]] = {
    **PULLS,
    **KNOWN,
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), _reshaped),
    "Transpose": _transposed,
    **dict.fromkeys(("Pad", "PadV2"), _padded),
    "Cast": _cast,
    "ConcatV2": _concatenated,
    "Pack": _stacked,
    **dict.fromkeys(("Add", "AddV2"), _added),
    "AddN": _biased,
    "Sub": _subtracted,
    "Neg": _negated,
    "Mul": _multiplied,
    "BiasAdd": _biased,
    "Relu": _relu,
    "Relu6": _relu6,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "MaxPool": _max_pooled,
    "MaxPool3D": first_winner,
    **dict.fromkeys(("AvgPool", "AvgPool3D"), _average_pooled),
    **dict.fromkeys(("Max", "Min"), _first_winner),
}

#: Operations whose other arguments may depend on the input too, and the argument that is written out.
_DATA_ONLY = {
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "BiasAdd"), 0),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), 2),
    **dict.fromkeys(("Sum", "Mean", "BroadcastTo", "ReverseV2", "StridedSlice"), 0),
}
