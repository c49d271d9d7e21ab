"""The neutral networks of :mod:`signxai_core.testing` as Keras models, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from signxai_core.testing import network as net
from signxai_tf.lacking import absent
from signxai_tf.network_blocks import FUNCTIONS, LAYERS

Function = Callable[..., Any]


class Part(keras.layers.Layer):  # type: ignore[misc] # Keras is untyped
    """A node: its arrays as weights, and a function of inputs and weights."""

    def __init__(self, name: str, dtype: str, arrays: dict[str, Any], function: Function) -> None:
        super().__init__(name=name, dtype=dtype)
        self.arrays = {
            key: self.add_weight(shape=np.shape(values), name=key, initializer="zeros")
            for key, values in arrays.items()
            if values is not None
        }
        for key, weight in self.arrays.items():
            weight.assign(arrays[key])
        self.function = function

    def call(self, *inputs: Any) -> Any:
        """Run the node."""
        return self.function(*inputs, **{key: weight.value for key, weight in self.arrays.items()})


class Graph(keras.Model):  # type: ignore[misc] # Keras is untyped
    """A network of nodes; each layer has its name, and is reused where nodes share it."""

    def __init__(self, network: net.Network, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.calls = [(node.name, node.layer, list(node.inputs)) for node in network.nodes]
        self.parts: dict[str, Any] = {}
        for node in network.nodes:
            if node.layer not in self.parts:
                self.parts[node.layer] = _part(node, network.shapes[node.inputs[0]], dtype)

    def call(self, x: Any) -> Any:
        """Run the network."""
        tensors = {net.INPUT: x}
        for name, layer, inputs in self.calls:
            x = self.parts[layer](*(tensors[used] for used in inputs))
            tensors[name] = x
        return x


def _channels_last(array: net.Array) -> net.Array:
    """Return a convolution's weight (out, in, *kernel) as (*kernel, in, out)."""
    return np.transpose(array, (*range(2, array.ndim), 1, 0))


def _dense(node: Any, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    def run(x: Any, weight: Any, bias: Any = None) -> Any:
        y = tf.matmul(x, weight)
        return y if bias is None else tf.nn.bias_add(y, bias)

    return {"weight": node.weight.T, "bias": node.bias}, run


def _wrap(x: Any, amounts: Sequence[tuple[int, int]], mode: str) -> Any:
    """Pad the spatial axes with zeros or values of the input."""
    pairs: list[tuple[int, ...]] = [(0, 0), *amounts, (0, 0)]
    if mode == "zeros":
        return tf.pad(x, pairs)
    if mode == "reflect":
        return tf.pad(x, pairs, "REFLECT")
    if mode == "replicate":
        for _ in range(max(max(pair) for pair in pairs)):
            step = [tuple(min(1, amount) for amount in pair) for pair in pairs]
            x = tf.pad(x, step, "SYMMETRIC")
            pairs = [tuple(max(0, amount - 1) for amount in pair) for pair in pairs]
        return x
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            size = x.shape[axis]
            parts = [tf.gather(x, range(size - before, size), axis=axis), x, tf.gather(x, range(after), axis=axis)]
            x = tf.concat(parts, axis)
    return x


def _conv(node: Any, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    axes = len(shape) - 1
    _, stride, padding, dilation = node.geometry()
    amounts = [(p, p) for p in padding]

    def run(x: Any, weight: Any, bias: Any = None) -> Any:
        outside = amounts
        if node.mode != "zeros" and max(padding):
            x, outside = _wrap(x, amounts, node.mode), [(0, 0)] * axes
        if axes == 3:
            y = tf.nn.convolution(x, weight, stride, "SAME" if any(map(any, outside)) else "VALID", dilations=dilation)
        else:
            y = _flat_conv(x, weight, stride, outside, dilation)
        return y if bias is None else tf.nn.bias_add(y, bias)

    return {"weight": _channels_last(node.weight), "bias": node.bias}, run


def _flat_conv(x: Any, weight: Any, stride: net.Shape, padding: Any, dilation: net.Shape) -> Any:
    """Convolve along one or two axes, with the padding inside the operation."""
    series = len(stride) == 1
    if series:
        x, weight = tf.expand_dims(x, 1), tf.expand_dims(weight, 0)
        stride, padding, dilation = (1, *stride), [(0, 0), *padding], (1, *dilation)
    pairs = [(0, 0), *padding, (0, 0)]
    explicit = [list(pair) for pair in pairs] if any(map(any, pairs)) else "VALID"
    y = tf.nn.conv2d(x, weight, stride, explicit, dilations=dilation)
    return tf.squeeze(y, [1]) if series else y


def _conv_transpose(node: Any, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    axes = len(shape) - 1
    _, stride, padding, dilation = node.geometry()
    outside = node.output_shape([shape])
    operation = tf.nn.conv3d_transpose if axes == 3 else tf.nn.conv2d_transpose

    def run(x: Any, weight: Any, bias: Any = None) -> Any:
        sizes, steps, spread = list(outside[1:]), list(stride), list(dilation)
        pairs = [(p, p) for p in padding]
        if axes == 1:
            x, weight = tf.expand_dims(x, 1), tf.expand_dims(weight, 0)
            sizes, steps, spread, pairs = [1, *sizes], [1, *steps], [1, *spread], [(0, 0), *pairs]
        inside: Any = [(0, 0), *pairs, (0, 0)] if max(padding) else "VALID"
        inside = "SAME" if axes == 3 and max(padding) else inside
        shape = tf.stack([tf.shape(x)[0], *sizes, outside[0]])
        y = operation(x, weight, shape, steps, inside, dilations=spread)
        y = tf.squeeze(y, [1]) if axes == 1 else y
        return y if bias is None else tf.nn.bias_add(y, bias)

    return {"weight": _channels_last(node.weight), "bias": node.bias}, run


def _scaling(node: Any, _: net.Shape, __: str) -> tuple[dict[str, Any], Function]:
    """``scale · x + shift`` with constants; one operation where the other one would do nothing."""
    scales, shifts = bool((node.scale != 1).any()), bool((node.shift != 0).any())

    def run(x: Any, scale: Any, shift: Any) -> Any:
        if not shifts:
            return x * scale
        return x * scale + shift if scales else x + shift

    return {"scale": node.scale, "shift": node.shift}, run


def _pool(node: Any, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    axes = len(shape) - 1
    kernel, stride, padding = node.geometry(axes)
    largest = node.type == "max_pool"
    pairs = [(0, 0), *((p, p) for p in padding), (0, 0)]

    def run(x: Any) -> Any:
        if max(padding) and not largest and not node.count_include_pad:
            return tf.nn.avg_pool(x, kernel, stride, [list(pair) for pair in pairs])
        if max(padding):
            x = tf.pad(x, pairs, constant_values=x.dtype.min if largest else 0)
        return tf.nn.pool(x, kernel, "MAX" if largest else "AVG", stride, "VALID")

    return {}, run


def _in_order(function: Function, rank: int) -> Function:
    """Return a function that sees its input with the channels first."""
    first = [0, rank - 1, *range(1, rank - 1)]
    return lambda x: function(tf.transpose(x, first) if rank > 2 else x)


def _flatten(_: Any, shape: net.Shape, __: str) -> tuple[dict[str, Any], Function]:
    return {}, _in_order(lambda x: tf.reshape(x, [tf.shape(x)[0], int(np.prod(shape))]), len(shape) + 1)


def _reshape(node: Any, shape: net.Shape, _: str) -> tuple[dict[str, Any], Function]:
    rank = len(node.shape) + 1
    last = [0, *range(2, rank), 1]

    def run(x: Any) -> Any:
        y = tf.reshape(x, [tf.shape(x)[0], *node.shape])
        return tf.transpose(y, last) if rank > 2 else y

    return {}, _in_order(run, len(shape) + 1)


def _activation(node: Any, _: net.Shape, __: str) -> tuple[dict[str, Any], Function]:
    functions: dict[str, Function] = {
        "relu": tf.nn.relu,
        # tf.nn.leaky_relu and tf.nn.gelu round their constants to float32.
        "leaky_relu": lambda x: tf.where(x > 0, x, node.alpha * x),
        "elu": lambda x: keras.ops.elu(x, node.alpha),
        "tanh": tf.tanh,
        "sigmoid": tf.sigmoid,
        "softplus": tf.math.softplus,
        "gelu": lambda x: 0.5 * x * (1 + tf.math.erf(x * 0.5**0.5)),
        "silu": keras.ops.silu,
    }
    return {}, functions[node.of]


def _batch_norm(node: Any, shape: net.Shape, dtype: str) -> Any:
    layer = keras.layers.BatchNormalization(epsilon=node.eps, name=node.layer, dtype=dtype)
    layer.build((None,) * len(shape) + (len(node.mean),))
    for name, values in (("gamma", "gamma"), ("beta", "beta"), ("moving_mean", "mean"), ("moving_variance", "var")):
        getattr(layer, name).assign(getattr(node, values))
    return layer


_PARTS: dict[str, Callable[[Any, net.Shape, str], tuple[dict[str, Any], Function]]] = {
    "activation": _activation,
    **FUNCTIONS,
    "add": lambda *_: ({}, lambda *tensors: sum(tensors[1:], start=tensors[0])),
    "avg_pool": _pool,
    "concat": lambda *_: ({}, lambda *tensors: tf.concat(tensors, -1)),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "dropout": lambda *_: ({}, tf.identity),
    "flatten": _flatten,
    "global_avg_pool": lambda _, shape, __: ({}, lambda x: tf.reduce_mean(x, list(range(1, len(shape))))),
    "max_pool": _pool,
    "pad": lambda node, *_: ({}, lambda x: _wrap(x, node.amounts, "zeros")),
    "reshape": _reshape,
    "scaling": _scaling,
    "softmax": lambda *_: ({}, tf.nn.softmax),
}


def _part(node: Any, shape: net.Shape, dtype: str) -> Any:
    if node.type == "batch_norm":
        return _batch_norm(node, shape, dtype)
    if node.type in LAYERS:
        return LAYERS[node.type](node, shape, dtype)
    if node.type not in _PARTS:
        raise NotImplementedError(f"no Keras layer for {node!r}")
    arrays, function = _PARTS[node.type](node, shape, dtype)
    return Part(node.layer, dtype, arrays, function)


def build(network: net.Network, dtype: str = "float64") -> keras.Model:
    """Return a network as a Keras model that has been called once, its layers named by the nodes' layers.

    Parameters
    ----------
    network
        Its arrays are copied, and laid out channels last.
    dtype
        Of weights and computations.

    Raises
    ------
    NotImplementedError
        TensorFlow has no operation for one of the nodes.
    """
    reason = absent(network, dtype)
    if reason is not None:
        raise NotImplementedError(reason)
    model = Graph(network, dtype)
    model(tf.zeros((1, *network.input_shape[1:], network.input_shape[0]), dtype))
    return model


#: Read by the conformance suite: the models take (batch, ..., channels), and which ones there are not.
build.channels_last = True  # type: ignore[attr-defined]
build.absent = absent  # type: ignore[attr-defined]
