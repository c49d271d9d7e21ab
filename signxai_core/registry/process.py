"""The process's registry: what plugins registered, and what loaded files declare."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from signxai_core.errors import PluginError, SignxaiWarning
from signxai_core.registry import propagators
from signxai_core.registry.entries import RuleClass
from signxai_core.registry.manager import Owned, Problem, Registry, discover
from signxai_core.specs import operations
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.operations import Reading


@attrs.frozen
class Declared:
    """What a configuration file adds to the registry, by name."""

    rules: Mapping[str, Owned]
    composites: Mapping[str, Owned]
    words: Mapping[str, Owned]
    presets: Mapping[str, Owned]
    methods: Mapping[str, MethodSpec]


_FILES: dict[str, Declared] = {}


@functools.cache
def registry() -> Registry:
    """Return the process's registry, made when it is first needed."""
    return extend(_discovered(), _FILES)


@functools.cache
def _discovered() -> Registry:
    """Build the registry from entry points; problems are warned about once."""
    found = discover()
    found = attrs.evolve(found, problems=(*found.problems, *_install(found)))
    for problem in found.problems:
        warnings.warn(str(problem), SignxaiWarning, stacklevel=3)
    if not found.rules:
        raise PluginError(
            "no plugin registers any rule: the entry points of group 'signxai' were not found. "
            "Install the distribution (pip install signxai-core) instead of putting its folder on the path."
        )
    return found


def _install(found: Registry) -> list[Problem]:
    """Fill the tables of operations, readings and propagators; return what contradicts what is there."""
    problems = []
    for owned in (*found.operations.values(), *found.readings.values(), *found.rule_classes.values()):
        entry = owned.entry
        try:
            if isinstance(entry, Reading):
                operations.add_readings([entry])
            elif isinstance(entry, RuleClass):
                propagators.PATHS[entry.rule] = (entry.propagator, owned.owner)
            else:
                is_kind = isinstance(entry, operations.KindRow)
                operations.add_rows([entry] if is_kind else (), () if is_kind else [entry])
        except ValueError as error:
            problems.append(Problem(owned.owner, "table of operations", str(error)))
    return problems


def extend(base: Registry, files: Mapping[str, Declared]) -> Registry:
    """Return a registry with what files declare."""
    rules, composites, words, presets = dict(base.rules), dict(base.composites), dict(base.words), dict(base.presets)
    methods = dict(base.declared)
    for file in files.values():
        rules.update(file.rules)
        composites.update(file.composites)
        words.update(file.words)
        presets.update(file.presets)
        methods.update(file.methods)
    return attrs.evolve(
        base,
        base=base if base.base is None else base.base,
        rules=MappingProxyType(rules),
        composites=MappingProxyType(composites),
        words=MappingProxyType(words),
        presets=MappingProxyType(presets),
        declared=MappingProxyType(methods),
    )


def registry_without(path: str | Path) -> Registry:
    """Return the process's registry as it was, had the file at ``path`` never been loaded."""
    owner = _owner(path)
    return extend(_discovered(), {key: file for key, file in _FILES.items() if key != owner})


def _owner(path: str | Path) -> str:
    """Return one name for a file, however its path is spelt."""
    return str(Path(path).resolve())


def declare(path: str | Path, declared: Declared) -> None:
    """Add what a file declares to the process's registry; a file that was loaded before is replaced.

    Raises
    ------
    PluginError
        When a name is taken by a plugin, by another file, or by the published table.
    """
    others = registry_without(path)
    taken = [
        f"{what} {name!r} is taken by {known[name].owner!r}"
        for what, known, own in (
            ("rule", others.rules, declared.rules),
            ("composite", others.composites, declared.composites),
            ("word", others.words, declared.words),
            ("preset", others.presets, declared.presets),
        )
        for name in own
        if name in known
    ]
    listed = {*others.methods, *others.declared}
    taken += [f"method {name!r} is taken" for name in declared.methods if name in listed]
    if taken:
        raise PluginError(f"{path}: {'; '.join(taken)}. Rename it in the file")
    _FILES[_owner(path)] = declared
    registry.cache_clear()
