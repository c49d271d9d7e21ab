"""Paths of the propagators of plugins' own classes of rules, filled when the registry is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from signxai_core.errors import PluginError
from signxai_core.registry.entries import load

#: By path of the class: path of the propagator, and the plugin.
PATHS: dict[str, tuple[str, str]] = {}


def propagator_of(cls: type) -> tuple[Callable[..., Any], str]:
    """Return the propagator of a class of rules, and the plugin that registered it.

    Raises
    ------
    PluginError
        If none is registered, or it cannot be imported.
    """
    known = next((path for path, (_, owner) in PATHS.items() if load(path, owner) is cls), None)
    if known is None:
        raise PluginError(
            f"rules of the class {cls.__qualname__} have no propagator: register it with the hook signxai_rule_classes"
        )
    path, owner = PATHS[known]
    function: Callable[..., Any] = load(path, owner)
    return function, owner
