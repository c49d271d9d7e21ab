"""Where relevance is known to be 0 because the tensor is.

Most rules hand on a multiple of their input: relevance is 0 where that is. Through a ReLU, whose
output y = max(z, 0) is 0 where z is not positive, it follows that z counts only where it is y. That
saves comparisons, and the memory of z.
"""

from __future__ import annotations

from signxai_core.engine.backend import Operation
from signxai_core.engine.plan import Assignment, StepRule
from signxai_core.engine.structure import Structure
from signxai_core.specs.cells import Mix, Square
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import Exact, FunctionRule, Pass, Rule


def untied(structure: Structure, assignment: Assignment) -> set[int]:
    """Return the ids of tensors where relevance may be other than 0 although they are 0."""
    found = {structure.recording.output}
    for group, rules in zip(reversed(structure.groups), reversed(assignment.steps), strict=True):
        if len(rules) == 1 and isinstance(rules[0], (Rule, FunctionRule)):
            if not _multiplies(rules[0]):
                found.update(group.inputs)
            continue
        for operation, rule in zip(reversed(group.operations), reversed(rules), strict=True):
            tied = found.isdisjoint(operation.outputs)
            if not (_multiplies(rule) or (tied and _keeps_ties(rule, operation))):
                found.update(operation.inputs)
    return found


def _multiplies(rule: StepRule) -> bool:
    """Return whether a rule multiplies what it hands on with cells that are 0 where its input is."""
    if not isinstance(rule, Rule):
        return False
    factors = [rule.times] if rule.times is not None else [term.x for share in rule.shares for term in share.terms]
    return all(isinstance(factor, (Mix, Square)) for factor in factors)


def _keeps_ties(rule: StepRule, operation: Operation) -> bool:
    """Return whether an input that is 0 goes only where the output is 0, and relevance comes from there."""
    if isinstance(rule, Exact):
        return kind(operation.kind).routes
    return isinstance(rule, Pass) and operation.function == "relu"


def reads_rectified(step: tuple[StepRule, ...]) -> bool:
    """Return whether a step through a group asks for max(z, 0) instead of z where it can."""
    return len(step) == 1 and isinstance(step[0], Rule) and step[0].stabiliser.scale != "relative"
