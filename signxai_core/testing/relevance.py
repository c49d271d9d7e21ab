"""Rules at one operation, from its explicit matrix.

``x`` is the operation's input, ``W`` its matrix, ``b`` its bias, ``R`` what comes from above.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from signxai_core.errors import PlanError
from signxai_core.specs.cells import Bound, Cell, Mix, Sign
from signxai_core.specs.nonlinear import Exact, NormalisationRule, Pass, Shared, SoftmaxRule, Stop
from signxai_core.specs.rules import FunctionRule, Rule, Share, Stabiliser
from signxai_core.specs.values import ArrayValue, Missing, Value
from signxai_core.testing import nonlinear
from signxai_core.testing.composed import COMPOSED, jacobians
from signxai_core.testing.functions import by_function
from signxai_core.testing.linear import Linear, map_values
from signxai_core.testing.nodes import Array, BatchNorm, Scaling, Shape
from signxai_core.testing.planning import Operation
from signxai_core.testing.scheme import by_shares, by_softmax
from signxai_core.testing.structure import Softmax


@attrs.frozen(eq=False)
class Place:
    """An operation with its input of one sample: what a cell may depend on.

    Parameters
    ----------
    operation
        The operation.
    x
        Its input, flat; several inputs stand one after the other.
    shapes, output_shape
        Of its inputs and its output.
    input_shape
        Of the network's input.
    """

    operation: Operation
    x: Array
    shapes: tuple[Shape, ...]
    output_shape: Shape
    input_shape: Shape

    @property
    def inputs(self) -> list[Array]:
        """The inputs, each in its shape."""
        parts = np.split(self.x, np.cumsum([math.prod(shape) for shape in self.shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @property
    def linear(self) -> Linear:
        """The operation's matrix; an error for an operation that has none."""
        if self.operation.linear is None:
            raise PlanError(f"{self.operation.rule!r} needs a linear operation, got {self.operation.node!r}")
        return self.operation.linear


def quotient(a: Array, b: Array) -> Array:
    """Return ``a / b``, and 0 where ``b`` is 0."""
    return np.array([p / q if q != 0 else 0.0 for p, q in zip(a.flat, b.flat, strict=True)]).reshape(a.shape)


def _spread(value: Array, shape: Shape, *, channels: bool) -> Array | None:
    if channels and value.ndim == 1 and value.shape == shape[:1]:
        value = value.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        return np.broadcast_to(value, shape).ravel()
    except ValueError:
        return None


def _value(value: Value | Missing | None, place: Place, *, channels: bool) -> Array:
    """Return a number or array of a cell as one number per value of the operation's input."""
    if isinstance(value, Missing) or value is None:
        raise PlanError(f"a parameter of {place.operation.rule!r} is missing")
    if not isinstance(value, ArrayValue):
        return np.full(place.x.size, value)
    source = place.operation.source
    if source is not None:
        spread = _spread(value.array, place.input_shape, channels=channels)
        if spread is not None:
            return np.where(source >= 0, spread[source], 0.0)
    shapes = place.shapes
    spread = _spread(value.array, shapes[0], channels=channels) if len(shapes) == 1 else None
    if spread is None:
        raise PlanError(
            f"an array of shape {value.array.shape} fits neither the network's input {place.input_shape} nor "
            f"the input {shapes} of {place.operation.node.name!r}"
        )
    return spread


def map_input(cell: Cell, place: Place) -> Array:
    """Return an input cell applied to the operation's input."""
    if isinstance(cell, Bound):
        return _value(cell.value, place, channels=True)
    if isinstance(cell, Sign):
        mu = np.zeros(place.x.size) if cell.mu is None else _value(cell.mu, place, channels=False)
        return np.where(place.x >= mu, 1.0, -1.0)
    return map_values(cell, place.x)


def _slope(cell: Cell, x: Array) -> Array:
    assert isinstance(cell, Mix), "a rule with 'times' has no other input cells"
    return np.where(x >= 0, cell.positive, cell.negative)


def stabilised(stabiliser: Stabiliser, z: Array, place: Place) -> Array:
    """Return the denominator ``z`` kept away from 0."""
    sign = np.where(z >= 0, 1.0, -1.0)
    if stabiliser.scale == "relative":
        return np.asarray(sign * np.maximum(np.abs(z), stabiliser.epsilon * np.abs(z).max()))
    epsilon = stabiliser.epsilon
    if stabiliser.scale == "std":
        values = [float(v) for v in place.x]
        mean = math.fsum(values) / len(values)
        epsilon *= math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    return np.asarray(z + sign * epsilon)


def _share(rule: Rule, share: Share, place: Place, gated: Array) -> Array:
    denominator = np.zeros(gated.shape)
    mapped = [map_input(term.x, place) for term in share.terms]
    for term, x in zip(share.terms, mapped, strict=True):
        denominator += term.sign * (place.linear.matrix(term.weight) @ x + place.linear.constant(term.bias))
    t = quotient(gated, stabilised(rule.stabiliser, denominator, place))
    below = np.zeros(place.x.shape)
    for term, x in zip(share.terms, mapped, strict=True):
        factor = x if rule.times is None else map_input(rule.times, place) * _slope(term.x, place.x)
        below += term.sign * factor * (place.linear.matrix(term.weight).T @ t)
    return share.weight * below


def by_rule(rule: Rule, place: Place, above: Array) -> Array:
    """Return ``Σ_share weight · Σ_term sign · times ⊙ Wᵀ(gate · R / stabilised(Σ_term sign · z))``."""
    z = place.linear.matrix() @ place.x + place.linear.constant()
    gates = {"all": np.ones(z.shape), "positive": (z > 0) * 1.0, "negative": (z < 0) * 1.0}
    below = np.zeros(place.x.shape)
    for share in rule.shares:
        below += _share(rule, share, place, gates[share.gate] * above)
    return below


def _normalisation(rule: NormalisationRule, place: Place, above: Array) -> Array:
    node, x = place.operation.node, place.x
    if not isinstance(node, (BatchNorm, Scaling)):
        raise PlanError(f"{rule!r} is for batch-normalisation and scaling, got {node!r}")
    y = place.linear.matrix() @ x + place.linear.constant()
    # Scaling is batch-normalisation with mean 0, so that its shift is the whole constant part.
    mean, beta = (node.mean, node.beta) if isinstance(node, BatchNorm) else (np.zeros(1), node.shift)
    shape = place.output_shape
    rest = (1,) * (len(shape) - 1)
    wide_mean, wide_beta = (np.broadcast_to(v.reshape(-1, *rest), shape).ravel() for v in (mean, beta))
    d = (x - wide_mean) * y
    return quotient(x * (y - wide_beta) * above, d + np.where(d >= 0, rule.epsilon, -rule.epsilon))


def _exact(rule: Exact, place: Place, above: Array) -> Array:
    above = np.maximum(above, 0.0) if rule.clip else above
    if not rule.mask:
        return _unchanged(place, above)
    if place.operation.linear is not None:
        return np.asarray(place.linear.matrix().T @ above)
    if isinstance(place.operation.node, COMPOSED):
        return np.concatenate([jacobian.T @ above for jacobian in jacobians(place.operation.node, place.inputs)])
    x = place.x.reshape(place.shapes[0])
    return nonlinear.pull(place.operation.node, x, above.reshape(place.output_shape)).ravel()


def _unchanged(place: Place, above: Array) -> Array:
    if above.size != place.x.size:
        raise PlanError(f"{place.operation.rule!r} keeps the shape, but {place.operation.node!r} does not")
    return above


def _of_composed(place: Place, above: Array) -> Array:
    """Return the relevance of operations that are no linear ones."""
    rule, node = place.operation.rule, place.operation.node
    if isinstance(rule, Shared):
        return by_shares(rule, node, place.operation.shares, place.inputs, above)
    if isinstance(rule, SoftmaxRule) and isinstance(node, Softmax):
        return by_softmax(node, place.inputs[0], above)
    raise PlanError(f"the reference does not know the rule {rule!r} at {node!r}")


def propagate(place: Place, above: Array) -> Array:
    """Return the relevance of the operation's input, from that of its output; both flat."""
    rule = place.operation.rule
    if isinstance(rule, (Pass, Stop)):
        return _unchanged(place, above) * isinstance(rule, Pass)
    if isinstance(rule, Exact):
        return _exact(rule, place, above)
    if isinstance(rule, NormalisationRule):
        return _normalisation(rule, place, above)
    if isinstance(rule, FunctionRule):
        return by_function(rule, place.linear, place.x, above, place.shapes, place.output_shape)
    if isinstance(rule, Rule):
        return by_rule(rule, place, above)
    return _of_composed(place, above)
