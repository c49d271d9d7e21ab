"""Rules for single layers: a method with entries of its own in front."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import attrs

from signxai_core import grammar
from signxai_core.errors import ParameterError, UnknownNameError
from signxai_core.registry import Owned, registry
from signxai_core.registry.entries import load
from signxai_core.specs import (
    CONVENTIONS,
    TEXTBOOK,
    WEIGHTED,
    AnyRule,
    Entry,
    FunctionRule,
    MethodSpec,
    Rule,
    Where,
)

LayerRules = (
    Mapping[str, AnyRule | str]
    | Mapping[str, str]
    | Mapping[Where, AnyRule | str]
    | Mapping[str | Where, AnyRule | str]
)


def with_rules(method: str | MethodSpec, rules: LayerRules, *, convention: str = TEXTBOOK.name) -> MethodSpec:
    """Return a method with rules of its own for some layers.

    They come before everything else the method says, in their order: before its composite, and
    before the rule of the input layer that a prefix names.

    Parameters
    ----------
    method
        Name or specification.
    rules
        By glob on the layer's path (``"features.*"``) or by :class:`~signxai_core.specs.Where`.
        A glob means operations with weights where the rule is for linear operations, and all
        operations otherwise. A path at which a model has none of them is an error. A rule is a value,
        or the name of a registered one with its parameters: ``"gamma:0.25"``,
        ``"z_box:low=-1,high=1"``, ``"flat"``.
    convention
        For a method given by name.

    Raises
    ------
    UnknownNameError, ParameterError
        For the text of a rule.

    Examples
    --------
    >>> import signxai_core as sx
    >>> spec = sx.with_rules("lrpsign_epsilon_0_1", {"features.*": "gamma:0.25"})
    >>> [f"{entry.where}: {entry.rule.name}" for entry in spec.composite.entries[:2]]
    ['convolution|dense|normalisation|scaling path features.*: gamma 0.25', 'first: SIGN']
    """
    if convention not in CONVENTIONS:
        raise UnknownNameError("convention", str(convention), CONVENTIONS)
    spec = method if isinstance(method, MethodSpec) else grammar.parse(method, registry(), CONVENTIONS[convention])
    own = [_entry(where, rule_from_text(rule) if isinstance(rule, str) else rule) for where, rule in rules.items()]
    if not own:
        return spec
    # The input layer's rule is asked for before any entry, so it becomes an entry behind these.
    first = [] if spec.input_layer is None else [Entry(Where(position="first"), spec.input_layer)]
    entries = (*own, *first, *spec.composite.entries)
    composite = attrs.evolve(spec.composite, entries=entries)
    return attrs.evolve(spec, composite=composite, input_layer=None)


def _entry(where: str | Where, rule: AnyRule) -> Entry:
    if isinstance(where, Where):
        return Entry(where, rule, required=where.path is not None)
    kinds = WEIGHTED if isinstance(rule, (Rule, FunctionRule)) else None
    return Entry(Where(kinds=kinds, path=where), rule, required=True)


def rule_from_text(text: str) -> AnyRule:
    """Return the rule that ``"name"``, ``"name:number,..."`` or ``"name:key=number,..."`` stands for."""
    name, _, rest = text.partition(":")
    known = registry().rules
    if name not in known:
        raise UnknownNameError("rule", name, known)
    given = [part.strip() for part in rest.split(",") if part.strip()]
    try:
        rule: AnyRule = known[name].make(**_arguments(known[name], given))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"cannot make the rule {text!r}: {error}") from error
    return rule


def _arguments(owned: Owned, given: list[str]) -> dict[str, Any]:
    """Return numbers by parameter; those without a name fill the factory's parameters in order."""
    if owned.value is not None:
        if given:
            raise ValueError("it comes from a file and takes no parameters")
        return {}
    names = iter(inspect.signature(load(owned.entry.factory, owned.owner)).parameters)
    found: dict[str, Any] = {}
    for part in given:
        key, equals, number = part.rpartition("=")
        name = key.strip() if equals else next(names, None)
        if name is None:
            raise ValueError(f"{len(given)} numbers are more than it has parameters")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = float(number)
    return found
