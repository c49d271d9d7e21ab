"""Cells applied to arrays, and what is known of the result.

Sign and bounds, which need the model's input, stand in :mod:`signxai_core.engine.linear`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signxai_core.errors import PlanError
from signxai_core.specs.cells import Cell, Constant, Mix, Square, WeightCell

if TYPE_CHECKING:
    from signxai_core.engine.backend import Backend, Operation

Array = Any


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
