"""Methods as TOML text."""

from __future__ import annotations

import tomlkit

from signxai_core.config.converter import make_converter
from signxai_core.errors import ConfigError, PlanError
from signxai_core.registry import Registry
from signxai_core.specs import FunctionRule, MethodSpec
from signxai_core.specs.texts import NAME_RULE, is_name


def dump(spec: MethodSpec, name: str, registry: Registry) -> str:
    """Return a method as TOML that :func:`signxai_core.config.read` turns into an equal method.

    Parameters
    ----------
    spec
        Any method.
    name
        Under which the file declares it.
    registry
        Where rules that are Python functions have their names.

    Raises
    ------
    PlanError
        A rule is a Python function that is not registered under its name.
    ConfigError
        The name is none that a file can declare.
    """
    if not is_name(name):
        raise ConfigError("methods", [f"{name!r} is no name: expected {NAME_RULE}"])
    for rule in (spec.input_layer, *(entry.rule for entry in spec.composite.entries)):
        if isinstance(rule, FunctionRule) and not _is_registered(rule, registry):
            raise PlanError(
                f"the rule {rule.name!r} is the function {rule.path!r}, which a file cannot hold: no plugin "
                f"registers a rule {rule.name!r} whose factory takes {dict(rule.parameters)} and returns it"
            )
    return tomlkit.dumps({"methods": {name: make_converter().unstructure(spec, MethodSpec)}})


def _is_registered(rule: FunctionRule, registry: Registry) -> bool:
    if rule.name not in registry.rules:
        return False
    try:
        return bool(registry.rules[rule.name].make(**dict(rule.parameters)) == rule)
    except TypeError:
        return False
