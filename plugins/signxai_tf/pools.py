"""The gradient of max-pooling along three axes.

TensorFlow's own gives the whole cotangent to every element that equals the maximum, so that
relevance multiplies at ties, as there are many behind a ReLU. Along two axes, and in other
frameworks, the first of them wins.
"""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

from signxai_core.engine.backend import Array


def _amounts(x: Array, y: Array, attributes: Any) -> list[list[int]]:
    """Return what TensorFlow pads before and behind each axis."""
    if attributes["padding"] not in ("SAME", b"SAME"):
        return [[0, 0]] * len(x.shape)
    windows = zip(x.shape, y.shape, attributes["ksize"], attributes["strides"], strict=True)
    missing = [max((int(out) - 1) * stride + size - int(n), 0) for n, out, size, stride in windows]
    return [[total // 2, total - total // 2] for total in missing]


def first_winner(call: Any, _: int, cotangent: Array) -> Array:
    """Give everything to the first maximum of each window."""
    x, y = call.arguments[0], call.outputs[0]
    sizes, strides = call.attributes["ksize"], call.attributes["strides"]
    amounts = _amounts(x, y, call.attributes)
    padded = tf.pad(x, amounts, constant_values=x.dtype.min)
    free = tf.ones_like(y, tf.bool)
    pulled = tf.zeros_like(padded)
    for start in itertools.product(*(range(size) for size in sizes)):
        stop = [begin + (int(out) - 1) * step + 1 for begin, out, step in zip(start, y.shape, strides, strict=True)]
        wins = free & (tf.strided_slice(padded, start, stop, strides) == y)
        free &= ~wins
        won = tf.where(wins, cotangent, tf.zeros_like(cotangent))
        pulled += tf.raw_ops.StridedSliceGrad(shape=tf.shape(padded), begin=start, end=stop, strides=strides, dy=won)
    return tf.slice(pulled, [before for before, _ in amounts], tf.shape(x))
