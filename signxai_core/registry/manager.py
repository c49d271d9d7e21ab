"""The registry: what all plugins registered, checked once.

A plugin that raises, hands over the wrong type or claims a name that is taken is reported as a
:class:`Problem` and left out; the others go on.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import pluggy

from signxai_core.errors import PluginError, SignxaiError, UnknownNameError
from signxai_core.registry import entries, hookspecs
from signxai_core.specs.methods import MethodSpec, Preset
from signxai_core.specs.operations import FunctionRow, KindRow, Reading

GROUP = "signxai"
DISABLE = "SIGNXAI_DISABLE_PLUGINS"


@attrs.frozen
class Owned:
    """A registered entry and the plugin that it came from."""

    entry: Any
    owner: str
    value: Any = None

    def make(self, **arguments: Any) -> Any:
        """Import the entry's factory and call it; a value that a file declared is returned as it is."""
        if self.value is not None:
            return self.value
        factory = entries.load(self.entry.factory, self.owner)
        try:
            return factory(**arguments)
        except SignxaiError:
            raise
        except ValueError as error:
            if arguments.keys() - {"convention"}:
                raise  # about the numbers that were given
            place = f"plugin {self.owner!r}, {self.entry.factory}"
            raise PluginError(f"{place}: {type(error).__name__}: {error}") from error


@attrs.frozen
class Problem:
    """Something wrong with a plugin."""

    plugin: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r}, {self.place}: {self.text}"


@attrs.frozen
class PluginInfo:
    """A plugin found through the entry-point group."""

    name: str
    value: str
    distribution: str
    status: str


@attrs.frozen
class _Hook:
    """How one hook's entries are checked and filed."""

    entry_type: type | tuple[type, ...]
    key: Callable[[Any], Iterable[str]]

    @property
    def wanted(self) -> str:
        """The types in words."""
        types = self.entry_type if isinstance(self.entry_type, tuple) else (self.entry_type,)
        return " or ".join(one.__name__ for one in types)


_HOOKS: Mapping[str, _Hook] = MappingProxyType(
    {
        "signxai_rules": _Hook(entries.RuleEntry, lambda e: (e.name,)),
        "signxai_composites": _Hook(entries.CompositeEntry, lambda e: (e.name,)),
        "signxai_words": _Hook(entries.Word, lambda e: (e.text,)),
        "signxai_presets": _Hook(Preset, lambda e: (e.name,)),
        "signxai_methods": _Hook(entries.Grid, lambda e: (*e, *e.aliases)),
        "signxai_backends": _Hook(entries.BackendEntry, lambda e: (e.name,)),
        "signxai_conversions": _Hook(entries.Conversion, lambda e: (e.name,)),
        "signxai_operations": _Hook((KindRow, FunctionRow), lambda e: (f"{type(e).__name__}:{e.name}",)),
        "signxai_readings": _Hook(Reading, lambda e: (f"{e.backend}:{e.function}",)),
        "signxai_rule_classes": _Hook(entries.RuleClass, lambda e: (e.name,)),
        "signxai_probes": _Hook(entries.ProbeEntry, lambda e: (e.name,)),
    }
)


@attrs.frozen(eq=False)
class Registry:
    """Everything that plugins registered. Mappings are by name, in order of registration.

    ``declared`` are methods of configuration files; ``base`` is the registry without any file.
    """

    rules: Mapping[str, Owned]
    composites: Mapping[str, Owned]
    words: Mapping[str, Owned]
    presets: Mapping[str, Owned]
    methods: Mapping[str, Owned]
    backends: Mapping[str, Owned]
    conversions: Mapping[str, Owned]
    operations: Mapping[str, Owned]
    readings: Mapping[str, Owned]
    rule_classes: Mapping[str, Owned]
    probes: Mapping[str, Owned]
    plugins: tuple[PluginInfo, ...]
    problems: tuple[Problem, ...]
    declared: Mapping[str, MethodSpec] = MappingProxyType({})
    base: Registry | None = None

    def listed(self, *, beyond: bool = False) -> tuple[str, ...]:
        """Return the names that the grids list, in order; ``beyond``: those beyond the published table, too."""
        entries_ = (owned.entry for owned in self.methods.values())
        grids = dict.fromkeys(id(entry) for entry in entries_ if beyond or not entry.beyond)
        by_id = {id(owned.entry): owned.entry for owned in self.methods.values()}
        return tuple(name for grid in grids for name in by_id[grid])

    def aliases(self) -> dict[str, str]:
        """Return accepted spellings and the names of the grammar that they stand for."""
        found: dict[str, str] = {}
        for name, owned in self.methods.items():
            target = owned.entry.aliases.get(name, owned.entry.canonical)
            if target is not None:
                found[name] = target
        return found

    def backend(self, name: str) -> Owned:
        """Return the backend of that name; raises UnknownNameError."""
        if not isinstance(name, str) or name not in self.backends:
            raise UnknownNameError("backend", str(name), self.backends)
        return self.backends[name]


def build(
    plugins: Mapping[str, object], infos: Iterable[PluginInfo] = (), problems: Iterable[Problem] = ()
) -> Registry:
    """Collect what ``plugins`` (name -> module or object) register.

    Parameters
    ----------
    plugins
        In order; where two claim a name, the first keeps it and both are reported.
    infos, problems
        What is already known about them.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    found = list(problems)
    tables: dict[str, dict[str, Owned]] = {hook: {} for hook in _HOOKS}
    for name, plugin in plugins.items():
        problem = _registered(manager, name, plugin)
        if problem is not None:
            found.append(problem)
            continue
        for hook, how in _HOOKS.items():
            found += _collect(manager, plugin, name, hook, how, tables[hook])
    filed = {hook: MappingProxyType(table) for hook, table in tables.items()}
    return Registry(
        rules=filed["signxai_rules"],
        composites=filed["signxai_composites"],
        words=filed["signxai_words"],
        presets=filed["signxai_presets"],
        methods=filed["signxai_methods"],
        backends=filed["signxai_backends"],
        conversions=filed["signxai_conversions"],
        operations=filed["signxai_operations"],
        readings=filed["signxai_readings"],
        rule_classes=filed["signxai_rule_classes"],
        probes=filed["signxai_probes"],
        plugins=tuple(_with_status(info, found) for info in infos),
        problems=tuple(found),
    )


def _registered(manager: pluggy.PluginManager, name: str, plugin: object) -> Problem | None:
    """Register a plugin with pluggy, or return what is wrong with it."""
    try:
        wanted = int(getattr(plugin, "SIGNXAI_HOOKS", hookspecs.VERSION))
        if wanted > hookspecs.VERSION:
            text = (
                f"it was written for version {wanted} of the hooks, and this signxai-core has version "
                f"{hookspecs.VERSION}; update signxai-core"
            )
            return Problem(name, "registration", text)
        manager.register(plugin, name=name)
        manager.check_pending()
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it is reported
        manager.unregister(name=name) if manager.has_plugin(name) else None
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, pluggy.PluginValidationError):
            text = f"{text}; the hooks of this version are {', '.join(_HOOKS)}"
        return Problem(name, "registration", text)
    return None


def _with_status(info: PluginInfo, problems: Iterable[Problem]) -> PluginInfo:
    places = [problem.place for problem in problems if problem.plugin == info.name]
    if info.status != "active" or not places:
        return info
    return attrs.evolve(info, status="left out" if "registration" in places else "active, with problems")


def _collect(
    manager: pluggy.PluginManager, plugin: object, name: str, hook: str, how: _Hook, table: dict[str, Owned]
) -> list[Problem]:
    """File one plugin's entries of one hook; return what is wrong with them."""
    handed_over: list[Any] = []
    try:
        for impl in getattr(manager.hook, hook).get_hookimpls():
            if impl.plugin is plugin:
                handed_over += impl.function()
    except Exception as error:  # noqa: BLE001 - as above
        text = f"{type(error).__name__}: {error}; expected an iterable of {how.wanted}"
        return [Problem(name, f"hook {hook}", text)]
    problems = []
    for entry in handed_over:
        if not isinstance(entry, how.entry_type):
            text = f"handed over {entry!r} of type {type(entry).__name__}, expected {how.wanted}"
            problems.append(Problem(name, f"hook {hook}", text))
            continue
        for key in how.key(entry):
            if key in table:
                text = (
                    f"{key!r} is taken: plugin {table[key].owner!r} registered it first; rename one or disable a plugin"
                )
                problems.append(Problem(name, f"hook {hook}", text))
            else:
                table[key] = Owned(entry, name)
    return problems


def discover() -> Registry:
    """Build the registry from the entry points of group ``signxai``.

    The environment variable ``SIGNXAI_DISABLE_PLUGINS`` holds names, separated by commas, of
    plugins to leave out.
    """
    disabled = {part.strip() for part in os.environ.get(DISABLE, "").split(",") if part.strip()}
    plugins: dict[str, object] = {}
    infos: list[PluginInfo] = []
    problems: list[Problem] = []
    points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)
    for point in dict.fromkeys(points):
        distribution = point.dist.name if point.dist is not None else ""
        status = "active"
        if point.name in disabled:
            status = f"disabled by {DISABLE}"
        elif point.name in plugins:
            status = "left out: another plugin has the same name"
            problems.append(
                Problem(point.name, "entry point", f"two plugins have this name; {point.value} is left out")
            )
        else:
            try:
                plugins[point.name] = point.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way; it is reported
                status = "broken"
                problems.append(Problem(point.name, f"import of {point.value}", f"{type(error).__name__}: {error}"))
        infos.append(PluginInfo(point.name, point.value, distribution, status))
    return build(plugins, infos, problems)
