"""Methods as plain values and back: what JSON and TOML can hold."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import cattrs

from signxai_core.config.converter import make_converter
from signxai_core.config.load import converted
from signxai_core.errors import PlanError
from signxai_core.registry import Registry
from signxai_core.specs import FunctionRule, MethodSpec


def to_plain(spec: MethodSpec, registry: Registry) -> dict[str, Any]:
    """Return a method as tables, lists, texts and numbers.

    Raises
    ------
    PlanError
        A rule is a Python function that is not registered under its name.
    """
    for rule in (spec.input_layer, *(entry.rule for entry in spec.composite.entries)):
        if isinstance(rule, FunctionRule) and not _is_registered(rule, registry):
            raise PlanError(
                f"the rule {rule.name!r} is the function {rule.path!r}, which a file cannot hold: no plugin "
                f"registers a rule {rule.name!r} whose factory takes {dict(rule.parameters)} and returns it"
            )
    # Through JSON, because tuples become lists there.
    plain: dict[str, Any] = json.loads(json.dumps(_converter().unstructure(spec, MethodSpec)))
    return plain


def from_plain(methods: Mapping[str, Any], path: str, registry: Registry) -> dict[str, MethodSpec]:
    """Return the methods that :func:`to_plain` wrote, by name.

    Parameters
    ----------
    methods
        Plain values by name.
    path
        The file that holds them, for errors.
    registry
        Where rules that are Python functions are found.

    Raises
    ------
    ConfigError
        With every mistake.
    """
    return converted(path, methods, registry)


@functools.cache
def _converter() -> cattrs.Converter:
    return make_converter()


def _is_registered(rule: FunctionRule, registry: Registry) -> bool:
    if rule.name not in registry.rules:
        return False
    try:
        return bool(registry.rules[rule.name].make(**dict(rule.parameters)) == rule)
    except TypeError:
        return False
