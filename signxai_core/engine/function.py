"""Rules that are Python functions: the context of :mod:`signxai_core.context`, for any backend and operation."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from signxai_core.context import Context, call
from signxai_core.engine.backend import Array, Backend
from signxai_core.engine.linear import Linear
from signxai_core.engine.local import PROPAGATORS, Place
from signxai_core.engine.propagate import number
from signxai_core.specs.cells import KEEP, WeightCell
from signxai_core.specs.rules import FunctionRule


@attrs.frozen(eq=False)
class BackendArrays:
    """A backend's array functions; see :class:`signxai_core.context.Arrays`."""

    backend: Backend

    def where(self, condition: Array, a: Array | float, b: Array | float) -> Array:
        """Elementwise choice."""
        like = next((array for array in (a, b) if not isinstance(array, (int, float))), None)
        if like is not None:
            a, b = (number(self.backend, v, like) if isinstance(v, (int, float)) else v for v in (a, b))
        return self.backend.where(condition, a, b)

    def maximum(self, a: Array, b: Array | float) -> Array:
        """Elementwise maximum."""
        return self.backend.maximum(a, b)

    def minimum(self, a: Array, b: Array | float) -> Array:
        """Elementwise minimum."""
        return self.backend.minimum(a, b)

    def abs(self, a: Array) -> Array:
        """Elementwise absolute value."""
        return self.backend.abs(a)

    def sign(self, a: Array) -> Array:
        """``+1`` where ``a >= 0``, else ``−1``."""
        return self.backend.copysign(self.backend.full_like(a, 1.0), a)

    def full_like(self, a: Array, value: float) -> Array:
        """An array of one number."""
        return self.backend.full_like(a, value)

    def divide(self, a: Array, b: Array) -> Array:
        """``a / b``, and 0 where ``b`` is 0."""
        return self.backend.quotient(a, b, 0.0)


def propagate_anywhere(place: Place, rule: FunctionRule) -> tuple[Array, ...]:
    """Return the relevance of every input of an operation that is not linear."""
    backend, operation = place.backend, place.operation
    zeros = [backend.full_like(y, 0.0) if r is None else r for y, r in zip(place.outputs, place.relevance, strict=True)]

    def apply(inputs: Sequence[Array]) -> tuple[Array, ...]:
        return backend.apply(operation, inputs)

    def vjp(cotangents: Sequence[Array | None]) -> tuple[Array, ...]:
        return backend.vjp(operation, cotangents)

    return call(
        rule,
        Context(
            x=place.inputs,
            z=place.outputs[0],
            relevance=zeros[0],
            outputs=place.outputs,
            relevances=place.relevance,
            apply=apply,
            vjp=vjp,
            arrays=BackendArrays(backend),
            kind=operation.kind,
            function=operation.function,
            path=operation.path,
            attributes=operation.attributes,
            parameters=operation.parameters,
        ),
    )


def propagate_function(linear: Linear, rule: FunctionRule, relevance: Array) -> tuple[Array, ...]:
    """Return the relevance of every input of a linear group."""
    core = linear.group.core

    def forward(inputs: Sequence[Array], weight: WeightCell = KEEP) -> Array:
        return linear.forward(inputs, weight)

    def pull(t: Array, weight: WeightCell = KEEP) -> tuple[Array, ...]:
        return linear.pull(weight, t)

    def bias(cell: WeightCell = KEEP) -> Array:
        zeros, found = linear.backend.full_like(linear.z, 0.0), linear.bias(cell)
        return zeros if found is None else zeros + found

    return call(
        rule,
        Context(
            x=linear.x,
            z=linear.z,
            relevance=relevance,
            forward=forward,
            pull=pull,
            bias=bias,
            arrays=BackendArrays(linear.backend),
            kind=core.kind,
            function=core.function,
            path=core.path,
            outputs=(linear.z,),
            relevances=(relevance,),
            attributes=core.attributes,
            parameters=core.parameters,
        ),
    )


PROPAGATORS[FunctionRule] = propagate_anywhere
