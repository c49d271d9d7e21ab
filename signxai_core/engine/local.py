"""Relevance through one operation that is not linear as a whole: a function per class of rule.

The table :data:`PROPAGATORS` is the only place where the engine asks for a rule's class. Symbols:
``R`` relevance at the output ``y``, ``a_k`` operands, ``J_k`` their derivatives at the recorded point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from signxai_core.engine.backend import Array, Backend, Operation
from signxai_core.engine.batch import along
from signxai_core.engine.plan import HandOn, Linearised
from signxai_core.engine.propagate import number
from signxai_core.engine.shares import shares
from signxai_core.engine.structure import Structure
from signxai_core.errors import PluginError, SignxaiError, UnsupportedOperationError
from signxai_core.registry.propagators import propagator_of
from signxai_core.specs.nonlinear import AnyRule, Exact, NormalisationRule, Pass, Shared, SoftmaxRule, Stop


@attrs.frozen(eq=False)
class Place:
    """One operation, and the relevance that arrives at each of its outputs.

    Parameters
    ----------
    backend, structure
        How to compute, and what was recorded.
    operation
        As the rule sees it.
    relevance
        One array per output; ``None`` where nothing arrived.
    """

    backend: Backend
    structure: Structure
    operation: Operation
    relevance: tuple[Array | None, ...]

    @property
    def inputs(self) -> tuple[Array, ...]:
        """The operands' values."""
        return tuple(self.structure.recording.values[tensor] for tensor in self.operation.inputs)

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The outputs' values."""
        return tuple(self.structure.recording.values[tensor] for tensor in self.operation.outputs)

    @property
    def only(self) -> Array:
        """The relevance at the only output that rules with one output know."""
        return self.relevance[0]


#: Returns one array per input of the operation.
Propagator = Callable[[Place, Any], Sequence[Array]]


def propagate(place: Place, rule: AnyRule) -> Sequence[Array]:
    """Return the relevance of every input of an operation.

    Raises
    ------
    PluginError
        If no propagator is registered for the rule's class, or what a plugin's one raised or returned
        is wrong.
    """
    own = PROPAGATORS.get(type(rule))
    return _of_plugin(place, rule) if own is None else own(place, rule)


def _of_plugin(place: Place, rule: AnyRule) -> Sequence[Array]:
    """Return what the propagator of a plugin's class of rules returns; what it raises names rule and operation."""
    propagator, owner = propagator_of(type(rule))
    where = f"plugin {owner!r}, rule {rule.name!r} at {place.operation.label}"
    try:
        handed = tuple(propagator(place, rule))
    except SignxaiError:
        raise
    except Exception as error:
        raise PluginError(f"{where}: {type(error).__name__}: {error}") from error
    shapes = [tuple(getattr(array, "shape", ())) for array in handed]
    wanted = [tuple(x.shape) for x in place.inputs]
    if shapes != wanted:
        raise PluginError(f"{where}: expected one array per input, of shapes {wanted}, and got {shapes}")
    return handed


def _exact(place: Place, rule: Exact) -> Sequence[Array]:
    """Return the vector-Jacobian product, with the clipping and masking that the rule asks for."""
    cotangents = place.relevance
    if rule.clip:
        cotangents = tuple(None if g is None else place.backend.maximum(g, 0.0) for g in cotangents)
    return place.backend.vjp(place.operation, cotangents) if rule.mask else [cotangents[0]]


def _unchanged(place: Place, rule: Pass | HandOn) -> Sequence[Array]:
    return [place.only]


def _stopped(place: Place, rule: Stop) -> Sequence[Array]:
    return [place.backend.full_like(x, 0.0) for x in place.inputs]


def _normalisation(place: Place, rule: NormalisationRule) -> Sequence[Array]:
    """Return ``x·(y − beta)·R / stabilised((x − mean)·y)``."""
    (x,), (y,), known = place.inputs, place.outputs, place.operation.parameters
    d = (x - known["mean"]) * y
    return [place.backend.quotient(x * (y - known["beta"]) * place.only, d, rule.epsilon)]


def _linearised(place: Place, rule: Linearised) -> Sequence[Array]:
    """Return ``1/n · a_k ⊙ J_kᵀ(R ⊘ y)``: an unsupported operation (``strict=False``)."""
    if any("complex" in str(a.dtype) for a in (*place.inputs, *place.outputs)):
        operation = place.operation
        raise UnsupportedOperationError(
            f"{operation.label} computes with complex numbers, which have no relevance of their own; give it and the "
            "operations around it a rule as one (docs/operations.md), or leave it out of the model",
            function=operation.function,
            path=operation.path,
        )
    quotients = [
        None if r is None else place.backend.quotient(r, y, 0.0)
        for r, y in zip(place.relevance, place.outputs, strict=True)
    ]
    pulled = place.backend.vjp(place.operation, quotients)
    share = 1 / len(pulled)
    return [a * (p * share if share != 1 else p) for a, p in zip(place.inputs, pulled, strict=True)]


def _shared(place: Place, rule: Shared) -> Sequence[Array]:
    """Return ``w_k · a_k ⊙ J_kᵀ(R ⊘ N(y))``; of an elementwise product or quotient ``w_k · R`` itself."""
    backend, operation = place.backend, place.operation
    weights = shares(place.structure.facts, operation, rule)
    if operation.kind != "matrix_product":
        shapes = [tuple(a.shape) for a in place.inputs]
        return [
            backend.sum_to(place.only * weight if weight != 1 else place.only, shape)
            for weight, shape in zip(weights, shapes, strict=True)
        ]
    (y,) = place.outputs
    t = backend.quotient(place.only, stabilised(place, y, rule.epsilon), 0.0)
    pulled = backend.vjp(operation, (t,))
    return [a * (p * weight if weight != 1 else p) for a, p, weight in zip(place.inputs, pulled, weights, strict=True)]


def _softmax(place: Place, rule: SoftmaxRule) -> Sequence[Array]:
    """Return ``x_i (R_i − s_i Σ_j R_j)``, or ``x_i R_i ⊘ N(y_i)`` at a log-softmax; masked logits get 0."""
    backend = place.backend
    (x,), (y,) = place.inputs, place.outputs
    finite = backend.where(backend.abs(x) < math.inf, x, number(backend, 0.0, x))
    if place.operation.function == "log_softmax":
        return [finite * backend.quotient(place.only, stabilised(place, y, 1e-9), 0.0)]
    axis = place.operation.attributes["axis"]
    shape = tuple(1 if one == axis % len(y.shape) else size for one, size in enumerate(y.shape))
    total = backend.sum_to(place.only, shape)
    return [finite * (place.only - y * total)]


def stabilised(place: Place, y: Array, epsilon: float) -> Array:
    """Return ``s(y)·max(|y|, epsilon · max|y|)``, the maximum of the finite numbers of each sample."""
    backend, operation = place.backend, place.operation
    size, axes = place.structure.per_sample(backend, operation.outputs[0], backend.abs(y), operation)
    finite = backend.where(size < math.inf, size, number(backend, 0.0, size))
    size = backend.maximum(size, epsilon * backend.largest(finite, along(axes)))
    return backend.copysign(backend.reshape(size, tuple(y.shape)), y)


#: How the engine propagates each class of rule; the linear ones have :mod:`signxai_core.engine.propagate`.
PROPAGATORS: dict[type, Propagator] = {
    Exact: _exact,
    HandOn: _unchanged,
    Linearised: _linearised,
    NormalisationRule: _normalisation,
    Pass: _unchanged,
    Shared: _shared,
    SoftmaxRule: _softmax,
    Stop: _stopped,
}
