"""Products, quotients, normalisations and softmax: values and Jacobian matrices of one sample, by scalar loops.

A Jacobian is (output values, input values), both flat; there is one for every input.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from signxai_core.testing.blocks import Norm
from signxai_core.testing.linear import per_channel
from signxai_core.testing.nodes import Array, Node, Shape
from signxai_core.testing.structure import Divide, MatrixProduct, Multiply, Softmax

COMPOSED = (Multiply, Divide, MatrixProduct, Norm, Softmax)


def _wide(inputs: Sequence[Array]) -> list[Array]:
    """Return every input as one number per value of the first, flat."""
    shape = inputs[0].shape
    return [x.ravel() if x.shape == shape else per_channel(x, shape) for x in inputs]


def owners(shape: Shape, size: int) -> list[int]:
    """Return for every value of a tensor which of ``size`` numbers belongs to it: its own or its channel's."""
    total = math.prod(shape)
    return [i * size // total for i in range(total)]


def groups(node: Norm | Softmax, shape: Shape) -> list[list[int]]:
    """Return the values that are normalised together, by their flat positions."""
    channels, places = shape[0], math.prod(shape[1:])
    if isinstance(node, Norm) and node.groups is not None:
        size = channels // node.groups * places
        return [list(range(start, start + size)) for start in range(0, channels * places, size)]
    return [list(range(place, channels * places, places)) for place in range(places)]


def _deviation(node: Norm, values: Sequence[float]) -> tuple[float, float]:
    """Return what is taken away from a group of values, and what divides them."""
    mean = math.fsum(values) / len(values) if node.centred else 0.0
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values) + node.eps)


def _softmax(values: Sequence[float]) -> list[float]:
    highest = max(values)
    powers = [math.exp(v - highest) for v in values]
    return [power / math.fsum(powers) for power in powers]


def _normalised(node: Norm, x: Array) -> Array:
    y = np.zeros(x.size)
    for group in groups(node, x.shape):
        mean, deviation = _deviation(node, [float(x.flat[i]) for i in group])
        for i in group:
            y[i] = (x.flat[i] - mean) / deviation
    shift = 0.0 if node.bias is None else per_channel(node.bias, x.shape)
    return np.asarray(y * per_channel(node.weight, x.shape) + shift)


def forward(node: Node, inputs: Sequence[Array]) -> Array:
    """Return the output of a node of :data:`COMPOSED`."""
    shape = node.output_shape([x.shape for x in inputs])
    if isinstance(node, Multiply):
        return np.array([math.prod(map(float, factors)) for factors in zip(*_wide(inputs), strict=True)]).reshape(shape)
    if isinstance(node, Divide):
        return np.array([a / d for a, d in zip(*_wide(inputs), strict=True)]).reshape(shape)
    if isinstance(node, MatrixProduct):
        a, b = inputs
        return np.asarray((a.T if node.transposed else a) @ b)
    if isinstance(node, Norm):
        return _normalised(node, inputs[0]).reshape(shape)
    y = np.zeros(inputs[0].size)
    assert isinstance(node, Softmax)
    for group in groups(node, inputs[0].shape):
        y[group] = _softmax([float(inputs[0].flat[i]) for i in group])
    return y.reshape(shape)


def _of_product(inputs: Sequence[Array]) -> list[Array]:
    wide = _wide(inputs)
    found = []
    for k, x in enumerate(inputs):
        jacobian = np.zeros((wide[0].size, x.size))
        for i, owner in enumerate(owners(inputs[0].shape, x.size)):
            jacobian[i, owner] = math.prod(float(other[i]) for j, other in enumerate(wide) if j != k)
        found.append(jacobian)
    return found


def _of_quotient(inputs: Sequence[Array]) -> list[Array]:
    above, below = _wide(inputs)
    denominator = np.zeros((above.size, inputs[1].size))
    for i, owner in enumerate(owners(inputs[0].shape, inputs[1].size)):
        denominator[i, owner] = -above[i] / below[i] ** 2
    return [np.diag(1 / below), denominator]


def _of_matrix_product(node: MatrixProduct, a: Array, b: Array) -> list[Array]:
    rows, columns = node.output_shape([a.shape, b.shape])
    left, right = np.zeros((rows * columns, a.size)), np.zeros((rows * columns, b.size))
    for r, c, s in itertools.product(range(rows), range(columns), range(b.shape[0])):
        place = (s, r) if node.transposed else (r, s)
        left[r * columns + c, place[0] * a.shape[1] + place[1]] = b[s, c]
        right[r * columns + c, s * b.shape[1] + c] = a[place]
    return [left, right]


def _of_norm(node: Norm, x: Array, *, frozen: bool) -> Array:
    """Return w (δ − 1/n − x̂ x̂ᵀ / n) / deviation; without x̂ where the deviation is a constant."""
    jacobian, weight = np.zeros((x.size, x.size)), per_channel(node.weight, x.shape)
    for group in groups(node, x.shape):
        mean, deviation = _deviation(node, [float(x.flat[i]) for i in group])
        for i, j in itertools.product(group, group):
            slope = (i == j) - (1 / len(group) if node.centred else 0.0)
            if not frozen:
                slope -= (x.flat[i] - mean) * (x.flat[j] - mean) / deviation**2 / len(group)
            jacobian[i, j] = weight[i] * slope / deviation
    return jacobian


def _of_softmax(node: Softmax, x: Array) -> Array:
    jacobian = np.zeros((x.size, x.size))
    y = forward(node, [x]).ravel()
    for group in groups(node, x.shape):
        for i, j in itertools.product(group, group):
            jacobian[i, j] = y[i] * ((i == j) - y[j])
    return jacobian


def jacobians(node: Node, inputs: Sequence[Array], *, frozen: bool = False) -> list[Array]:
    """Return a node's Jacobian for every input.

    Parameters
    ----------
    node
        Of :data:`COMPOSED`.
    inputs
        Of one sample.
    frozen
        The statistic of a normalisation is a constant.
    """
    if isinstance(node, Multiply):
        return _of_product(inputs)
    if isinstance(node, Divide):
        return _of_quotient(inputs)
    if isinstance(node, MatrixProduct):
        return _of_matrix_product(node, *inputs)
    if isinstance(node, Norm):
        return [_of_norm(node, inputs[0], frozen=frozen)]
    assert isinstance(node, Softmax)
    return [_of_softmax(node, inputs[0])]
