"""Layers for gates, normalisations, attention and recurrence of :mod:`signxai_core.testing`, channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from signxai_core.testing import network as net

Function = Callable[..., Any]


def _spread(x: Any, like: Any) -> Any:
    """Return numbers per channel so that they broadcast."""
    missing = len(like.shape) - len(x.shape)
    return tf.reshape(x, [tf.shape(x)[0], *(1,) * missing, x.shape[-1]]) if missing else x


def _multiply(first: Any, *rest: Any) -> Any:
    for tensor in rest:
        first = first * _spread(tensor, first)
    return first


def _matrix_product(node: net.MatrixProduct, *_: Any) -> tuple[dict[str, Any], Function]:
    # The inputs are the transposes of the node's.
    return {}, lambda a, b: tf.matmul(b, a, transpose_b=node.transposed)


def _take(node: net.Take, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    axis = node.axis or len(shape)

    def run(x: Any) -> Any:
        begin, size = [0] * (len(shape) + 1), [-1] * (len(shape) + 1)
        begin[axis], size[axis] = node.start, node.stop - node.start
        return tf.slice(x, begin, size)

    return {}, run


#: As a function per type of node, without weights.
FUNCTIONS: dict[str, Callable[[Any, net.Shape, str], tuple[dict[str, Any], Function]]] = {
    "divide": lambda *_: ({}, lambda a, b: a / _spread(b, a)),
    "matrix_product": _matrix_product,
    "multiply": lambda *_: ({}, _multiply),
    "stack": lambda *_: ({}, lambda *vectors: tf.stack(vectors, axis=1)),
    "take": _take,
}


class Around(keras.layers.Layer):  # type: ignore[misc] # Keras is untyped
    """A layer inside a function."""

    def __init__(self, inner: Any, run: Function, name: str, dtype: str) -> None:
        super().__init__(name=name, dtype=dtype)
        self.inner, self.run = inner, run

    def call(self, x: Any) -> Any:
        """Run the function."""
        return self.run(self.inner, x)


def _norm(node: net.Norm, shape: net.Shape, dtype: str) -> Any:
    options = {"epsilon": node.eps, "name": node.layer, "dtype": dtype}
    if node.groups is not None:
        layer = keras.layers.GroupNormalization(node.groups, center=node.bias is not None, **options)
    elif node.centred:
        layer = keras.layers.LayerNormalization(center=node.bias is not None, **options)
    else:
        layer = keras.layers.RMSNormalization(**options)
    layer.build((None, *shape[1:], shape[0]))
    layer.set_weights([node.weight] if node.bias is None else [node.weight, node.bias])
    return layer


def _attention(node: net.Attention, shape: net.Shape, dtype: str) -> Any:
    size, heads = shape[0], node.heads
    inner = keras.layers.MultiHeadAttention(heads, size // heads, dtype=dtype)
    inner.build((None, shape[1], size), (None, shape[1], size))
    arrays = []
    for weight, bias in zip((node.query, node.key, node.value), node.biases[:3], strict=True):
        arrays += [weight.T.reshape(size, heads, -1), bias.reshape(heads, -1)]
    inner.set_weights([*arrays, node.out.T.reshape(heads, -1, size), node.biases[3]])
    return Around(inner, lambda inner, x: inner(x, x), node.layer, dtype)


def _recurrent(node: net.Recurrent, shape: net.Shape, dtype: str) -> Any:
    cells = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
    inner = cells[node.cell](node.size, return_sequences=True, go_backwards=node.reverse, dtype=dtype)
    inner.build((None, shape[1], shape[0]))
    order = np.arange(len(node.weight))
    if node.cell == "gru":  # update, reset, candidate
        reset, update, new = np.split(order, 3)
        order = np.concatenate([update, reset, new])
    biases = node.biases[:, order] if node.cell == "gru" else node.biases.sum(axis=0)
    inner.set_weights([node.weight[order].T, node.recurrent[order].T, biases])

    def run(inner: Any, x: Any) -> Any:
        y = inner(x)
        return tf.reverse(y, [1]) if node.reverse else y

    return Around(inner, run, node.layer, dtype)


#: As a layer per type of node; called with the node, the shape of its input, and the type of its numbers.
LAYERS: dict[str, Callable[[Any, net.Shape, str], Any]] = {
    "attention": _attention,
    "norm": _norm,
    "recurrent": _recurrent,
}
