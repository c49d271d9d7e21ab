"""Plugins: hook specifications, entries, and the registry built from entry points."""

from signxai_core.registry.entries import BackendEntry, CompositeEntry, Grid, RuleEntry, Word
from signxai_core.registry.hookspecs import hookimpl
from signxai_core.registry.manager import Owned, PluginInfo, Problem, Registry, build, discover, registry

__all__ = [
    "BackendEntry",
    "CompositeEntry",
    "Grid",
    "Owned",
    "PluginInfo",
    "Problem",
    "Registry",
    "RuleEntry",
    "Word",
    "build",
    "discover",
    "hookimpl",
    "registry",
]
