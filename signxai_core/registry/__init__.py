"""Plugins: hook specifications, entries, and the registry built from entry points."""

from signxai_core.registry.check import check
from signxai_core.registry.entries import (
    BackendEntry,
    CompositeEntry,
    Conversion,
    Grid,
    ProbeEntry,
    RuleClass,
    RuleEntry,
    Word,
)
from signxai_core.registry.hookspecs import hookimpl
from signxai_core.registry.manager import Owned, PluginInfo, Problem, Registry, build, discover
from signxai_core.registry.process import Declared, declare, extend, registry, registry_without

__all__ = [
    "BackendEntry",
    "CompositeEntry",
    "Conversion",
    "Declared",
    "Grid",
    "Owned",
    "PluginInfo",
    "ProbeEntry",
    "Problem",
    "Registry",
    "RuleClass",
    "RuleEntry",
    "Word",
    "build",
    "check",
    "declare",
    "discover",
    "extend",
    "hookimpl",
    "registry",
    "registry_without",
]
