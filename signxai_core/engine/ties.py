"""Where relevance is known to be 0 because the tensor is.

Most rules hand on a multiple of their input: relevance is 0 where that is. Through a ReLU, whose
output y = max(z, 0) is 0 where z is not positive, it follows that z counts only where it is y. That
saves comparisons, and the memory of z.
"""

from __future__ import annotations

from signxai_core.engine.backend import Operation
from signxai_core.engine.plan import Assignment, Step, receivers
from signxai_core.engine.structure import Structure
from signxai_core.specs.cells import Mix, Square
from signxai_core.specs.nonlinear import AnyRule, Exact, Pass
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import Rule


def untied(structure: Structure, assignment: Assignment) -> set[int]:
    """Return the ids of tensors where relevance may be other than 0 although they are 0."""
    found = {structure.recording.output}
    for group, step in zip(reversed(structure.groups), reversed(assignment.steps), strict=True):
        end = len(group.operations)
        for part in reversed(step):
            start = end - part.count
            if part.count > 1:
                made, given = group.operations[end - 1].outputs, group.operations[start].inputs
            else:
                made = group.operations[start].outputs
                given = receivers(structure, group.operations[start], part.rule)
            tied = found.isdisjoint(made)
            if not (_multiplies(part.rule) or (tied and _keeps_ties(part.rule, group.operations[start]))):
                found.update(given)
            end = start
    return found


def _multiplies(rule: AnyRule) -> bool:
    """Return whether a rule multiplies what it hands on with cells that are 0 where its input is."""
    if not isinstance(rule, Rule):
        return False
    factors = [rule.times] if rule.times is not None else [term.x for share in rule.shares for term in share.terms]
    return all(isinstance(factor, (Mix, Square)) for factor in factors)


def _keeps_ties(rule: AnyRule, operation: Operation) -> bool:
    """Return whether an input that is 0 goes only where the output is 0, and relevance comes from there."""
    if isinstance(rule, Exact):
        return kind(operation.kind).routes
    return isinstance(rule, Pass) and operation.function == "relu" and len(operation.inputs) == 1


def reads_rectified(step: Step) -> bool:
    """Return whether a step through a group asks for max(z, 0) instead of z where it can."""
    rule = step[-1].rule if step else None
    whole = isinstance(rule, Rule) and (len(step) == 1 or step[-1].count > 1)
    return not step or (whole and isinstance(rule, Rule) and rule.stabiliser.scale != "relative")
