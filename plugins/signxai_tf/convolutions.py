"""Gradients of convolutions and matrix products with respect to their data.

TensorFlow's CPU kernels refuse the gradients of grouped and of dilated convolutions, which they
run forwards. A dilated convolution is one with zeros between the weights, a grouped one several
next to each other; so they are written out here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from signxai_core.engine.backend import Array

raw = tf.raw_ops
_FIRST = ("NCHW", "NCDHW", b"NCHW", b"NCDHW")


def is_first(attributes: Any) -> bool:
    """Return whether an operation has its channels on the first axis behind the batch."""
    return attributes.get("data_format") in _FIRST


def channel_axis(attributes: Any, rank: int) -> int:
    """Return the axis of the channels of a convolution's or pooling's output."""
    return 1 if is_first(attributes) else rank - 1


def groups(op: str, attributes: Any, x: Array, weight: Array) -> int:
    """Return the number of groups of a convolution."""
    if op not in ("Conv2D", "Conv3D"):
        return 1
    return int(x.shape[channel_axis(attributes, len(x.shape))]) // int(weight.shape[-2])


def _options(call: Any, *names: str) -> dict[str, Any]:
    return {name: call.attributes[name] for name in names if name in call.attributes}


def _spatial(attributes: Any, count: int) -> list[int]:
    """Return the dilation of each spatial axis."""
    dilations = list(attributes.get("dilations") or [1] * (count + 2))
    start = 2 if is_first(attributes) else 1
    return dilations[start : start + count]


def _spread(weight: Array, dilations: list[int]) -> Array:
    """Return a weight with zeros between its entries along the spatial axes, which come first."""
    for axis, dilation in enumerate(dilations):
        if dilation > 1:
            shape = weight.shape.as_list()
            size = shape[axis]
            padding = [[0, 0]] * (axis + 1) + [[0, dilation - 1]] + [[0, 0]] * (len(shape) - axis - 1)
            wide = tf.reshape(
                tf.pad(tf.expand_dims(weight, axis + 1), padding),
                [*shape[:axis], size * dilation, *shape[axis + 1 :]],
            )
            weight = wide[(slice(None),) * axis + (slice(0, (size - 1) * dilation + 1),)]
    return weight


def _convolution(call: Any, _: int, cotangent: Array) -> Array:
    x, weight = call.arguments
    count = len(x.shape) - 2
    weight = _spread(weight, _spatial(call.attributes, count))
    axis = channel_axis(call.attributes, len(x.shape))
    parts = groups(call.op, call.attributes, x, weight)
    sizes = tf.tensor_scatter_nd_update(tf.shape(x), [[axis]], [int(x.shape[axis]) // parts])
    options = _options(call, "strides", "padding", "explicit_paddings", "data_format")
    function = raw.Conv2DBackpropInput if call.op == "Conv2D" else raw.Conv3DBackpropInputV2
    pulled = [
        function(input_sizes=sizes, filter=w, out_backprop=c, **options)
        for w, c in zip(_cut(weight, parts, -1), _cut(cotangent, parts, axis), strict=True)
    ]
    return pulled[0] if parts == 1 else tf.concat(pulled, axis)


def _cut(array: Array, parts: int, axis: int) -> list[Array]:
    return [array] if parts == 1 else list(tf.split(array, parts, axis))


def _depthwise(call: Any, _: int, cotangent: Array) -> Array:
    x, weight = call.arguments
    return raw.DepthwiseConv2dNativeBackpropInput(
        input_sizes=tf.shape(x),
        filter=_spread(weight, _spatial(call.attributes, 2)),
        out_backprop=cotangent,
        **_options(call, "strides", "padding", "explicit_paddings", "data_format"),
    )


def _transposed(call: Any, _: int, cotangent: Array) -> Array:
    _, weight, _ = call.arguments
    options = _options(call, "strides", "padding", "explicit_paddings", "data_format")
    if call.op == "Conv2DBackpropInput":
        weight = _spread(weight, _spatial(call.attributes, 2))
        return raw.Conv2D(input=cotangent, filter=weight, **options)
    weight = _spread(weight, _spatial(call.attributes, 3))
    options.pop("explicit_paddings", None)
    return raw.Conv3D(input=cotangent, filter=weight, **options)


def _product(call: Any, place: int, cotangent: Array) -> Array:
    """Gradient of a matrix product, with broadcasting over the leading axes."""
    a, b = call.arguments
    left = call.attributes.get("transpose_a", call.attributes.get("adj_x", False))
    right = call.attributes.get("transpose_b", call.attributes.get("adj_y", False))
    if place == 0:
        pulled = (
            tf.matmul(b, cotangent, transpose_a=right, transpose_b=True)
            if left
            else tf.matmul(cotangent, b, transpose_b=not right)
        )
    else:
        pulled = (
            tf.matmul(cotangent, a, transpose_a=True, transpose_b=left)
            if right
            else tf.matmul(a, cotangent, transpose_a=not left)
        )
    own = call.arguments[place]
    if pulled.shape == own.shape and pulled.shape.is_fully_defined():
        return pulled
    axes, _ = raw.BroadcastGradientArgs(s0=tf.shape(own)[:-2], s1=tf.shape(pulled)[:-2])
    return tf.reshape(tf.reduce_sum(pulled, axes), tf.shape(own))


PULLS: dict[str, Callable[[Any, int, Array], Array]] = {
    **dict.fromkeys(("Conv2D", "Conv3D"), _convolution),
    "DepthwiseConv2dNative": _depthwise,
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed),
    **dict.fromkeys(("MatMul", "BatchMatMulV2", "BatchMatMulV3", "BatchMatMul"), _product),
}
