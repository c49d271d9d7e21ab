"""How far rounding can move a map: the reference in Monte Carlo arithmetic (Parker 1997).

Each number of the network, and each coefficient and constant of an operation every time that it is
used, is moved at random by a few units of rounding. That is what computing in that type, in some
order, does to every sum of products, cancellations included. A map that this moves far has a
denominator that nearly cancels, or a threshold (of a ReLU, a largest value, a gate) that rounding
decides: there, no order of computation is more right than another.
"""

from __future__ import annotations

import contextlib
from unittest.mock import patch

import attrs
import numpy as np

from signxai_core.testing import Network, explain, nonlinear, reference, relevance, scheme
from signxai_core.testing.linear import Linear

#: Largest relative move, in units of rounding: some ten sums of some ten terms stand between input and map.
_UNITS = 16
_DRAWS = 16
#: Activations whose slope is a difference of numbers near 1, such as 1 − tanh², and rounded like them.
_SATURATING = frozenset({"tanh", "sigmoid", "elu", "softplus", "gelu", "silu"})
#: Activations whose value is a factor times such a difference: v (1 + erf) / 2 in PyTorch, exp(v) − 1 in TensorFlow.
_CANCELLING = {"gelu": lambda v: v, "elu": lambda v: 1.0 if v <= 0 else 0.0}


def movement(network, x, spec, target, seed, dtype, of="relevance"):
    """Return how far rounding of that type moves a map (or the ``output``), at least in one of several draws."""
    exact = getattr(explain(network, x, spec, target, seed), of)
    random = np.random.default_rng(0)
    size = _UNITS * np.finfo(dtype).eps / 2
    farthest = 0.0
    for _ in range(_DRAWS):
        with _rounded(random, size):
            moved = getattr(explain(_moved(network, random, size), x, spec, target, seed), of)
        farthest = max(farthest, float(np.abs(moved - exact).max()))
    return farthest


def _noisy(array, random, size):
    return array * (1 + size * random.uniform(-1, 1, array.shape))


@contextlib.contextmanager
def _rounded(random, size):
    matrix, constant = Linear.matrix, Linear.constant
    activation, slope = nonlinear.activation, nonlinear.slope
    forward, jacobians = scheme.forward, scheme.jacobians

    def noisy_activation(node, v):
        factor = _CANCELLING[node.of](v) if node.of in _CANCELLING else 0.0
        return activation(node, v) + factor * size * random.uniform(-1, 1)

    def noisy_slope(node, v):
        return slope(node, v) + (size * random.uniform(-1, 1) if node.of in _SATURATING else 0.0)

    def noisy_forward(*given):
        return _noisy(forward(*given), random, size)

    def noisy_jacobians(*given, **options):
        return [_noisy(one, random, size) for one in jacobians(*given, **options)]

    with (
        patch.object(reference, "composed_forward", noisy_forward),
        patch.object(scheme, "forward", noisy_forward),
        patch.object(scheme, "jacobians", noisy_jacobians),
        patch.object(relevance, "jacobians", noisy_jacobians),
        patch.object(nonlinear, "activation", noisy_activation),
        patch.object(nonlinear, "slope", noisy_slope),
        patch.object(Linear, "matrix", lambda *given: _noisy(matrix(*given), random, size)),
        patch.object(Linear, "constant", lambda *given: _noisy(constant(*given), random, size)),
    ):
        yield


def _moved(network, random, size):
    """Return the network with other numbers, the same in every use of a layer."""
    by_layer = {}
    for node in network.nodes:
        arrays = {key: value for key, value in node.own().items() if isinstance(value, np.ndarray)}
        by_layer.setdefault(node.layer, {key: _noisy(value, random, size) for key, value in arrays.items()})
    return Network([attrs.evolve(node, **by_layer[node.layer]) for node in network.nodes], network.input_shape)
