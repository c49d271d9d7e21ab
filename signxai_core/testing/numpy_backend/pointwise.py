"""Activations, max-pooling, softmax and constants: value, and exact vector-Jacobian product."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from signxai_core.testing import network as net
from signxai_core.testing.nodes import Array
from signxai_core.testing.numpy_backend.linear import Layer
from signxai_core.testing.numpy_backend.windows import Windows


def _sigmoid(v: Array) -> Array:
    e = np.exp(-np.abs(v))  # never overflows
    return np.asarray(np.where(v >= 0, 1.0, e) / (1 + e))


def _normal_cdf(v: Array) -> Array:
    return np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in v.flat]).reshape(v.shape)


def _normal_density(v: Array) -> Array:
    return np.asarray(np.exp(-v * v / 2) / math.sqrt(2 * math.pi))


_Function = Callable[[Array, float], Any]
#: By name: value and derivative; at a kink, the derivative from the left.
_ACTIVATIONS: Final[Mapping[str, tuple[_Function, _Function]]] = MappingProxyType(
    {
        "relu": (lambda v, _: np.maximum(v, 0.0), lambda v, _: v > 0),
        "leaky_relu": (lambda v, a: np.where(v > 0, v, a * v), lambda v, a: np.where(v > 0, 1.0, a)),
        "elu": (
            lambda v, a: np.where(v > 0, v, a * np.expm1(np.minimum(v, 0.0))),
            lambda v, a: np.where(v > 0, 1.0, a * np.exp(np.minimum(v, 0.0))),
        ),
        "tanh": (lambda v, _: np.tanh(v), lambda v, _: 1 - np.tanh(v) ** 2),
        "sigmoid": (lambda v, _: _sigmoid(v), lambda v, _: _sigmoid(v) * _sigmoid(-v)),
        "softplus": (lambda v, _: np.logaddexp(v, 0.0), lambda v, _: _sigmoid(v)),
        "gelu": (lambda v, _: v * _normal_cdf(v), lambda v, _: _normal_cdf(v) + v * _normal_density(v)),
        "silu": (lambda v, _: v * _sigmoid(v), lambda v, _: _sigmoid(v) * (1 + v * _sigmoid(-v))),
    }
)


def activation(node: net.Activation) -> Layer:
    """An elementwise function."""
    value, slope = _ACTIVATIONS[node.of]
    return Layer(
        lambda inputs, _: np.asarray(value(inputs[0], node.alpha)),
        lambda inputs, _, r: (np.asarray(r * slope(inputs[0], node.alpha)),),
    )


def affine(scale: Array, shift: Array) -> Layer:
    """``scale · x + shift`` with constants."""
    return Layer(lambda inputs, _: scale * inputs[0] + shift, lambda _, __, r: (scale * r,))


def identity() -> Layer:
    """Dropout at inference."""
    return Layer(lambda inputs, _: inputs[0], lambda _, __, r: (r,))


def max_pool(node: net.MaxPool, axes: int) -> Layer:
    """The largest number of every window; the first one wins a tie."""
    windows = Windows(*node.geometry(axes), dilation=(1,) * axes)

    def flat(x: Array) -> Array:
        found = windows.gather(x, fill=-np.inf)
        return found.reshape(*found.shape[:-axes], -1)

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        candidates = flat(inputs[0])
        wins = np.arange(candidates.shape[-1]) == candidates.argmax(axis=-1)[..., None]
        parts = (wins * r[..., None]).reshape(*r.shape, *windows.kernel)
        return (windows.scatter(parts, inputs[0].shape[2:]),)

    return Layer(lambda inputs, _: flat(inputs[0]).max(axis=-1), pull)


def softmax() -> Layer:
    """Softmax over the last axis."""

    def value(inputs: Sequence[Array], _: Array | None) -> Array:
        powers = np.exp(inputs[0] - inputs[0].max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        y = value(inputs, None)
        return (y * (r - (r * y).sum(axis=-1, keepdims=True)),)

    return Layer(value, pull)
