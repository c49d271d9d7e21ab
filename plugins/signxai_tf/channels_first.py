"""Operations with the channels first, run with the channels last.

TensorFlow's CPU kernels have no convolution or pooling with channels first; its graph optimiser
transposes around them, and so does this module, whatever the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from signxai_tf.convolutions import is_first
from signxai_tf.layer_groups import Origin
from signxai_tf.values import Value

_OPS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"})
_PER_AXIS = ("strides", "ksize", "dilations")

Execute = Callable[[str, Mapping[str, Any], list[Value], Origin], tuple[Value, ...]]


def applies(op: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether an operation has its channels first."""
    return op in _OPS and is_first(attributes)


def run(
    execute: Execute, op: str, attributes: Mapping[str, Any], inputs: list[Value], origin: Origin
) -> tuple[Value, ...]:
    """Run an operation between two transpositions."""
    rank = len(inputs[0].array.shape)
    last, first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    options = {"Tperm": tf.int32}
    (moved,) = execute("Transpose", options, [inputs[0], Value(tf.constant(last))], origin)
    (result,) = execute(op, _last(attributes, last), [moved, *inputs[1:]], origin)
    return execute("Transpose", options, [result, Value(tf.constant(first))], origin)


def _last(attributes: Mapping[str, Any], order: list[int]) -> dict[str, Any]:
    """Return the attributes with every axis in its new place."""
    new = dict(attributes)
    for name in _PER_AXIS:
        if name in new:
            new[name] = [new[name][axis] for axis in order]
    if new.get("explicit_paddings"):
        given = new["explicit_paddings"]
        new["explicit_paddings"] = [given[2 * axis + side] for axis in order for side in (0, 1)]
    new["data_format"] = "NHWC" if len(order) == 4 else "NDHWC"
    return new
