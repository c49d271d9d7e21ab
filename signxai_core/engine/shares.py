"""Shares: how much of the relevance each operand of a product gets."""

from __future__ import annotations

import attrs

from signxai_core.engine.backend import Operation
from signxai_core.engine.facts import Facts, Role, is_index
from signxai_core.specs.nonlinear import Shared
from signxai_core.specs.operations import function


@attrs.frozen(eq=False)
class Factor:
    """A factor of a product of products: what its occurrences have in common.

    Parameters
    ----------
    role
        ``signal`` if any occurrence is one.
    activated
        Whether it is the output of an activation function.
    """

    role: Role
    activated: bool


def shares(facts: Facts, operation: Operation, rule: Shared) -> tuple[float, ...]:
    """Return the share of each operand; a frozen one has none.

    Parameters
    ----------
    facts
        Of the recording.
    operation
        A product or quotient.
    rule
        Says which roles are constants, and may say what the operands are.

    Notes
    -----
    A product of products is one product of its distinct factors, and an operand's share is the number
    of its live factors over the number of all: it does not matter how the product is grouped.
    """
    if rule.roles is not None:
        live = [role not in {*rule.frozen, "denominator", "frozen"} for role in rule.roles]
        live = live if any(live) else [role not in ("denominator", "frozen") for role in rule.roles]
        return tuple(one / max(sum(live), 1) for one in live)
    if operation.kind == "quotient":
        return (1.0, 0.0)
    if len(operation.inputs) == 1:
        return _beside_constant(rule)
    constants = _frozen_factors(facts, _whole(facts, operation), rule.frozen)
    if operation.kind == "matrix_product":
        return _by_uses(facts, operation, constants)
    found = [_factors(facts, tensor, operation.kind) for tensor in operation.inputs]
    factors = [{root for root in one if root not in constants} for one in found]
    if not any(factors):
        factors = [set(one) for one in found]  # the whole product hands nothing to this part of it
    counted: set[int] = set()
    counts = [0] * len(factors)
    # A factor that several operands have counts for the one with the most factors.
    for place in sorted(range(len(factors)), key=lambda place: (-len(factors[place]), place)):
        counts[place] = len(factors[place] - counted)
        counted |= factors[place]
    return tuple(count / len(counted) for count in counts)


def _beside_constant(rule: Shared) -> tuple[float, ...]:
    """Return the share of a gate whose signal is a constant."""
    return (0.0 if "gate" in rule.frozen else 0.5,)


def _by_uses(facts: Facts, operation: Operation, constants: set[int]) -> tuple[float, ...]:
    """Return the shares in a matrix product, where a factor counts as often as it is used."""
    uses = [_uses(facts, tensor, operation.kind) for tensor in operation.inputs]
    live = [sum(root not in constants for root in one) for one in uses]
    counts = live if any(live) else [len(one) for one in uses]
    return tuple(count / sum(counts) for count in counts)


def _uses(facts: Facts, tensor: int, family: str) -> list[int]:
    """Return the factors that a tensor is a product of, as often as they are used."""
    origin = facts.through(tensor, _keeps_factor)
    operation = facts.producer.get(origin)
    if operation is None or operation.kind != family or operation.index in facts.views:
        return [facts.lineage(tensor)[-1]]
    return [root for operand in operation.inputs for root in _uses(facts, operand, family)]


def _whole(facts: Facts, operation: Operation) -> Operation:
    """Return the largest product that a product is a factor of, and of nothing else."""
    whole = operation
    tensor = operation.outputs[0]
    while len(facts.consumers.get(tensor, ())) == 1:
        (following,) = facts.consumers[tensor]
        if following.kind == operation.kind and following.index not in facts.views:
            whole = following
        elif len(following.inputs) != 1 or not _keeps_factor(following):
            break
        tensor = following.outputs[0]
    return whole


def _frozen_factors(facts: Facts, whole: Operation, frozen: frozenset[str]) -> set[int]:
    """Return the factors of a whole product that are constants; one at least is none."""
    factors: dict[int, Factor] = {}
    for place, tensor in enumerate(whole.inputs):
        for root, factor in _factors(facts, tensor, whole.kind, facts.operands[whole.index][place].role).items():
            factors[root] = _merged(factors.get(root), factor)
    constants = {root for root, factor in factors.items() if factor.role in frozen}
    if len(constants) == len(factors):
        return set()
    live = factors.keys() - constants
    without_gate = all(factor.role != "gate" for factor in factors.values())
    if "activated" in frozen and whole.kind == "product" and without_gate and len(live) > 1:
        activated = [root for root in live if factors[root].activated]
        if len(activated) == 1:
            constants.add(activated[0])
    return constants


def _merged(known: Factor | None, factor: Factor) -> Factor:
    """Return what two occurrences of a factor are together: functions of one tensor make an activation."""
    if known is None:
        return factor
    roles = {known.role, factor.role}
    return Factor("signal" if "signal" in roles else factor.role, activated=True)


def _keeps_factor(operation: Operation) -> bool:
    """Return whether a factor of a product stays one: shape operations, dropout, constant factors."""
    return is_index(operation) or (operation.kind == "scaling" and function(operation.function).scales)


def _factors(facts: Facts, tensor: int, family: str, role: Role = "signal") -> dict[int, Factor]:
    """Return the factors that a tensor is a product of; all functions of one tensor are one factor."""
    origin = facts.through(tensor, _keeps_factor)
    operation = facts.producer.get(origin)
    if operation is None or operation.kind != family or operation.index in facts.views:
        return {facts.lineage(tensor)[-1]: Factor(role, origin in facts.activated)}
    found: dict[int, Factor] = {}
    for place, operand in enumerate(operation.inputs):
        for root, factor in _factors(facts, operand, family, facts.operands[operation.index][place].role).items():
            found[root] = _merged(found.get(root), factor)
    return found
