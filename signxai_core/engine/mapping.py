"""Cells applied to arrays, and what is known of the result.

Sign and bounds, which need the model's input, stand in :mod:`signxai_core.engine.linear`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from signxai_core.errors import PlanError
from signxai_core.specs.cells import SQUARE, ZERO, Cell, Constant, Mix, Square, WeightCell
from signxai_core.specs.rules import Rule, Share, Term

if TYPE_CHECKING:
    from signxai_core.engine.backend import Backend, Operation

Array = Any


#: Weights larger than this or smaller than its inverse have squares that float32 may not hold, or not their sum.
_USUAL, _FAR = 2.0**48, 2.0**80


@attrs.frozen
class UnitSquare(Square):
    """The square of the weights in a unit of their own size, for rules that no factor on all weights changes."""


def in_units(rule: Rule) -> tuple[Share, ...]:
    """Return the shares of a rule, squares in a unit of the weights' size where nothing else is in the denominator."""
    terms = [term for share in rule.shares for term in share.terms]
    plain = rule.stabiliser.epsilon == 0 or rule.stabiliser.scale == "relative"
    if not plain or any(term.weight != SQUARE or term.bias != ZERO for term in terms):
        return rule.shares
    return tuple(
        attrs.evolve(share, terms=[attrs.evolve(term, weight=UnitSquare()) for term in share.terms])
        for share in rule.shares
    )


def without_units(term: Term) -> Term:
    """Return a term as its rule has it."""
    return attrs.evolve(term, weight=SQUARE) if isinstance(term.weight, UnitSquare) else term


def unit(backend: Backend, weight: Array) -> Array:
    """Return a power of two that brings weights to a usual size: 1, unless the largest has no such size.

    Multiplied with it, they keep all their digits.
    """
    one, down, up = (backend.asarray(np.asarray(factor), weight) for factor in (1.0, 1 / _FAR, _FAR))
    largest = backend.largest(backend.reshape(weight, (1, -1)), 1)
    small = backend.where(largest < 1 / _USUAL, backend.where(largest > 0, up, one), one)
    return backend.reshape(backend.where(largest > _USUAL, down, small), ())


def apply_mix(backend: Backend, cell: Mix, v: Array) -> Array:
    """Return ``positive · max(v, 0) + negative · min(v, 0)``."""
    if cell.positive == cell.negative:
        return v if cell.positive == 1 else v * cell.positive
    parts = []
    if cell.positive:
        parts.append(cell.positive * backend.maximum(v, 0.0) if cell.positive != 1 else backend.maximum(v, 0.0))
    if cell.negative:
        parts.append(cell.negative * backend.minimum(v, 0.0) if cell.negative != 1 else backend.minimum(v, 0.0))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def apply_weight_cell(backend: Backend, cell: WeightCell, v: Array) -> Array:
    """Return a cell of a weight or bias."""
    if isinstance(cell, Mix):
        return apply_mix(backend, cell, v)
    if isinstance(cell, UnitSquare):
        v = v * unit(backend, v)
    return v * v if isinstance(cell, Square) else backend.full_like(v, cell.value)


def scales(operation: Operation, cell: WeightCell) -> tuple[float, float]:
    """Return factors of positive and negative coefficients of an operation without weights."""
    if not isinstance(cell, Mix):
        raise PlanError(
            f"a rule that replaces the weights by {cell.formula('W')!r} cannot be applied to {operation.label}, "
            f"which has no weights; give operations of kind {operation.kind!r} another rule"
        )
    return cell.positive, cell.negative


def sign_of(cell: Cell) -> int:
    """Return the sign of all numbers that a cell makes, 0 where they may have both; 0 itself counts as positive."""
    if isinstance(cell, Mix):
        up, down = cell.positive >= 0 >= cell.negative, cell.positive <= 0 <= cell.negative
        return 1 if up else -1 if down else 0
    if isinstance(cell, Constant):
        return 1 if cell.value >= 0 else -1
    return 1 if isinstance(cell, Square) else 0
