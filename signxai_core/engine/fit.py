"""Whether a rule can be applied to an operation at all."""

from __future__ import annotations

from signxai_core.engine.backend import Operation, Recording
from signxai_core.errors import PlanError
from signxai_core.specs import operations
from signxai_core.specs.rules import AnyRule, Exact, FunctionRule, NormalisationRule, Pass, Rule


def check_fit(rule: AnyRule, operation: Operation, recording: Recording, why: str) -> None:
    """Refuse a rule that makes no sense at an operation.

    Raises
    ------
    PlanError
        Naming rule, where it came from, operation, and what would fit.
    """
    reason = _misfit(rule, operation, recording)
    if reason:
        raise PlanError(f"the rule {rule.name!r} (from: {why}) cannot be applied to {operation.label}: {reason}")


def _misfit(rule: AnyRule, operation: Operation, recording: Recording) -> str:
    """Return why a rule does not fit, or nothing."""
    if isinstance(rule, (Rule, FunctionRule)):
        if not operations.kind(operation.kind).linear:
            return f"it is for linear operations, and this one is of kind {operation.kind!r}; give it Pass or Exact"
        if isinstance(rule, Rule) and rule.stabiliser.scale == "std" and len(operation.inputs) > 1:
            return (
                f"there is no one input to take the deviation of, but {len(operation.inputs)}; use another stabiliser"
            )
    elif isinstance(rule, NormalisationRule):
        if operation.kind != "normalisation":
            return f"it needs mean and beta of a batch-normalisation, and this one is of kind {operation.kind!r}"
    elif isinstance(rule, Pass) or (isinstance(rule, Exact) and not rule.mask):
        tensors = (*operation.inputs, *operation.outputs)
        shapes = [recording.shape(tensor) for tensor in tensors]
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            given, made = shapes[: len(operation.inputs)], shapes[len(operation.inputs) :]
            return (
                "relevance can stay as it is only where one input and one output have the same shape, and here "
                f"{given} becomes {made}; give it Exact or a rule for linear operations"
            )
    return ""
