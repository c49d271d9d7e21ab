"""Whether a rule can be applied to an operation at all."""

from __future__ import annotations

from collections.abc import Mapping

from signxai_core.engine.backend import Operation
from signxai_core.errors import PlanError
from signxai_core.specs.nonlinear import AnyRule


def check_fit(rule: AnyRule, operation: Operation, shapes: Mapping[int, tuple[int, ...]], why: str) -> None:
    """Refuse a rule that makes no sense at an operation.

    Raises
    ------
    PlanError
        Naming rule, where it came from, operation, and what would fit.
    """
    reason = rule.misfit(operation, shapes.__getitem__)
    if reason:
        raise PlanError(f"the rule {rule.name!r} (from: {why}) cannot be applied to {operation.label}: {reason}")
