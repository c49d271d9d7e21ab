"""Fill numbers into specs: thresholds and bounds that a name, a preset or a caller gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from signxai_core.specs.cells import Bound, Cell, Sign
from signxai_core.specs.composites import Composite
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.nonlinear import AnyRule
from signxai_core.specs.rules import FunctionRule, Rule, Share, Term
from signxai_core.specs.values import ArrayValue, Missing, Value


def cells(rule: AnyRule | None) -> Iterator[Cell]:
    """Yield every cell of a rule."""
    if isinstance(rule, Rule):
        if rule.times is not None:
            yield rule.times
        for share in rule.shares:
            for term in share.terms:
                yield from (term.x, term.weight, term.bias)


def spec_cells(spec: MethodSpec) -> Iterator[Cell]:
    """Yield every cell of a method."""
    yield from cells(spec.input_layer)
    for entry in spec.composite.entries:
        yield from cells(entry.rule)
    if spec.modifier is not None:
        yield spec.modifier


def thresholds(spec: MethodSpec) -> tuple[Value | Missing | None, ...]:
    """Return the threshold of every sign in a method."""
    return tuple(cell.mu for cell in spec_cells(spec) if isinstance(cell, Sign))


def bounds(spec: MethodSpec, side: str) -> tuple[Value | Missing, ...]:
    """Return the value of every ``low`` or ``high`` bound in a method."""
    return tuple(cell.value for cell in spec_cells(spec) if isinstance(cell, Bound) and cell.side == side)


def sliced(value: Any, rows: slice, shape: tuple[int, ...]) -> Any:
    """Return a spec with only the rows of those arrays that have a number for every sample.

    Parameters
    ----------
    value
        A spec, or any part of one.
    rows
        Samples to keep.
    shape
        Shape of the whole input, ``(N, ...)``.
    """
    if isinstance(value, ArrayValue):
        per_sample = value.array.ndim == len(shape) and value.array.shape[0] == shape[0] > 1
        return ArrayValue(value.array[rows]) if per_sample else value
    if isinstance(value, tuple):
        return tuple(sliced(item, rows, shape) for item in value)
    if attrs.has(type(value)):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value)) if field.init}
        changed = {name: sliced(item, rows, shape) for name, item in fields.items()}
        changed = {name: item for name, item in changed.items() if item is not fields[name] and item != fields[name]}
        return attrs.evolve(value, **changed) if changed else value
    return value


def with_mu(spec: MethodSpec, mu: Value) -> MethodSpec:
    """Return the method with every sign at the threshold ``mu``."""

    def rule_with_mu(rule: AnyRule) -> AnyRule:
        if isinstance(rule, Rule) and isinstance(rule.times, Sign):
            return attrs.evolve(rule, times=Sign(mu))
        return rule

    modifier = Sign(mu) if isinstance(spec.modifier, Sign) else spec.modifier
    return attrs.evolve(_map_rules(spec, rule_with_mu), modifier=modifier)


def with_bound(spec: MethodSpec, side: str, value: Value) -> MethodSpec:
    """Return the method with every ``low`` or ``high`` bound at ``value``."""

    def term_with_bound(term: Term) -> Term:
        if isinstance(term.x, Bound) and term.x.side == side:
            return attrs.evolve(term, x=attrs.evolve(term.x, value=value))
        return term

    def rule_with_bound(rule: AnyRule) -> AnyRule:
        if not isinstance(rule, Rule):
            return rule
        shares = tuple(
            Share(tuple(term_with_bound(term) for term in share.terms), share.weight, share.gate)
            for share in rule.shares
        )
        return attrs.evolve(rule, shares=shares)

    return _map_rules(spec, rule_with_bound)


def _map_rules(spec: MethodSpec, change: Callable[[AnyRule], AnyRule]) -> MethodSpec:
    composite = Composite(
        tuple(attrs.evolve(entry, rule=change(entry.rule)) for entry in spec.composite.entries),
        spec.composite.fold_normalisation,
    )
    input_layer = None if spec.input_layer is None else change(spec.input_layer)
    assert input_layer is None or isinstance(input_layer, (Rule, FunctionRule)), "a changed rule is still a rule"
    return attrs.evolve(spec, composite=composite, input_layer=input_layer)
