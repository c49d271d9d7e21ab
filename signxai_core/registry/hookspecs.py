"""All hooks of the library, in one place.

A plugin is a module (or object) with any of the functions below, each marked with
:data:`hookimpl`, and an entry point of group ``signxai`` that names it. Hooks hand over light
values and import paths (``"package.module:attribute"``); what a path names is imported when it is
first used, so that registering a plugin imports no framework.

A plugin may say which version of these hooks it was written for, ``SIGNXAI_HOOKS = 1``; one that
asks for a newer version than :data:`VERSION` is left out, and said to be so.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

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
from signxai_core.specs.methods import Preset
from signxai_core.specs.operations import FunctionRow, KindRow, Reading

PROJECT = "signxai"
#: Goes up whenever a hook, or a field of what a hook hands over, is added.
VERSION = 2

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def signxai_rules() -> Iterable[RuleEntry]:  # type: ignore[empty-body]
    """Rules: a name, the path of a factory that returns a rule, the formula's reference."""


@hookspec
def signxai_composites() -> Iterable[CompositeEntry]:  # type: ignore[empty-body]
    """Composites: a name and the path of a factory that returns a composite."""


@hookspec
def signxai_words() -> Iterable[Word]:  # type: ignore[empty-body]
    """Words of method names; a slot ``{name}`` in a word takes a number."""


@hookspec
def signxai_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """Facts about published models, nameable at the end of a method's name."""


@hookspec
def signxai_methods() -> Iterable[Grid]:  # type: ignore[empty-body]
    """Grids of names that :func:`signxai_core.methods` lists, and misprints that stay accepted."""


@hookspec
def signxai_backends() -> Iterable[BackendEntry]:  # type: ignore[empty-body]
    """Backends: a name, the path of a factory, and the packages whose models it takes."""


@hookspec
def signxai_conversions() -> Iterable[Conversion]:  # type: ignore[empty-body]
    """Objects of other libraries that :func:`signxai_core.explain` takes as methods."""


@hookspec
def signxai_operations() -> Iterable[KindRow | FunctionRow]:  # type: ignore[empty-body]
    """Kinds and functions of operations: rows of the table in :mod:`signxai_core.specs.operations`."""


@hookspec
def signxai_readings() -> Iterable[Reading]:  # type: ignore[empty-body]
    """How a backend reads functions of its framework that it does not know."""


@hookspec
def signxai_rule_classes() -> Iterable[RuleClass]:  # type: ignore[empty-body]
    """Classes of rules, each with the function that propagates them."""


@hookspec
def signxai_probes() -> Iterable[ProbeEntry]:  # type: ignore[empty-body]
    """Networks with a plugin's own operations, and what their relevance has to be."""
