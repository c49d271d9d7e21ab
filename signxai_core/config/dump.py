"""Methods as TOML text."""

from __future__ import annotations

import tomlkit

from signxai_core.config.plain import to_plain
from signxai_core.errors import ConfigError
from signxai_core.registry import Registry
from signxai_core.specs import MethodSpec
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
    return tomlkit.dumps({"methods": {name: to_plain(spec, registry)}})
