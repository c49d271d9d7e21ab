"""Activations and max-pooling: value and exact vector-Jacobian product, one sample each."""

from __future__ import annotations

import math

import numpy as np

from signxai_core.testing.linear import windows
from signxai_core.testing.nodes import Activation, Array, Node
from signxai_core.testing.structure import MaxPool


def _sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def _normal_cdf(v: float) -> float:
    return 0.5 * math.erfc(-v / math.sqrt(2))


def activation(node: Activation, v: float) -> float:
    """Return the value of an activation at one number."""
    values = {
        "relu": lambda: max(v, 0.0),
        "leaky_relu": lambda: v if v > 0 else node.alpha * v,
        "elu": lambda: v if v > 0 else node.alpha * math.expm1(v),
        "tanh": lambda: math.tanh(v),
        "sigmoid": lambda: _sigmoid(v),
        "softplus": lambda: max(v, 0.0) + math.log1p(math.exp(-abs(v))),
        "gelu": lambda: v * _normal_cdf(v),
        "silu": lambda: v * _sigmoid(v),
    }
    return values[node.of]()


def slope(node: Activation, v: float) -> float:
    """Return the derivative of an activation at one number; at a kink, the one from the left."""
    slopes = {
        "relu": lambda: 1.0 if v > 0 else 0.0,
        "leaky_relu": lambda: 1.0 if v > 0 else node.alpha,
        "elu": lambda: 1.0 if v > 0 else node.alpha * math.exp(v),
        "tanh": lambda: 1 - math.tanh(v) ** 2,
        "sigmoid": lambda: _sigmoid(v) * _sigmoid(-v),
        "softplus": lambda: _sigmoid(v),
        "gelu": lambda: _normal_cdf(v) + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi),
        "silu": lambda: _sigmoid(v) * (1 + v * _sigmoid(-v)),
    }
    return slopes[node.of]()


def _winners(node: MaxPool, x: Array) -> list[tuple[int, ...]]:
    """Return the position of every output's winner, in the order of the output."""
    kernel, stride, padding = node.geometry(x.ndim - 1)
    winners = []
    for channel in range(x.shape[0]):
        for _, inside in windows(x.shape[1:], kernel, stride, padding, (1,) * len(kernel)):
            # max() keeps the first of equals.
            winners.append(max(((channel, *position) for _, position in inside), key=lambda p: float(x[p])))
    return winners


def forward(node: Node, x: Array) -> Array:
    """Return the output of a node that is not linear."""
    if isinstance(node, Activation):
        return np.array([activation(node, float(v)) for v in x.flat]).reshape(x.shape)
    if isinstance(node, MaxPool):
        return np.array([x[p] for p in _winners(node, x)]).reshape(node.output_shape([x.shape]))
    raise NotImplementedError(f"the reference cannot compute {node!r}")


def pull(node: Node, x: Array, above: Array) -> Array:
    """Return the exact vector-Jacobian product of a node that is not linear."""
    if isinstance(node, Activation):
        slopes = np.array([slope(node, float(v)) for v in x.flat], dtype=np.float64)
        return above * slopes.reshape(x.shape)
    if isinstance(node, MaxPool):
        below = np.zeros(x.shape)
        for winner, value in zip(_winners(node, x), above.flat, strict=True):
            below[winner] += value
        return below
    raise NotImplementedError(f"the reference cannot differentiate {node!r}")
