"""Configuration files: TOML that declares rules, composites, presets, words and methods.

    [rules.soft]                       # a rule in full (see converter), or by a registered factory:
    use = "gamma"
    gamma = 0.1

    [composites.mine]
    entries = [
        { where = { kinds = ["dense"] }, rule = { use = "epsilon", epsilon = 0.1 } },
        { where = { kinds = ["convolution"] }, rule = "soft" },
    ]
    extends = "epsilon_plus"           # its entries follow

    [presets.Mine]
    low = -1
    high = 1

    [words.lrpsoft]                    # a prefix: the rule of the input layer
    rule = "soft"

    [words.mine]                       # a chain
    composite = "mine"

    [methods.ours]                     # a name with parameters, or a specification in full
    name = "lrpsoft_mine"
    parameters = { mu = 0.5 }

    [experiments.main]                 # what 'signxai run FILE' computes; loading does nothing with it
    model = "package.module:callable"
    inputs = ["x.npy"]
    methods = ["ours", "lrp_*"]
    output = "explained"

Nothing in a file is executed: factories are those that plugins registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
import tomlkit
from tomlkit.exceptions import TOMLKitError

from signxai_core import grammar
from signxai_core.config.converter import make_converter
from signxai_core.config.experiments import Experiment
from signxai_core.errors import ConfigError, FileError, NameSyntaxError, SignxaiError
from signxai_core.registry import CompositeEntry, Declared, Owned, Registry, RuleEntry, Word, extend
from signxai_core.specs import CONVENTIONS, TEXTBOOK, AnyRule, Composite, MethodSpec, Preset
from signxai_core.specs.texts import NAME_RULE, is_name, shown, unprintable

_TABLES = ("rules", "composites", "presets", "words", "methods", "experiments")
_NO_FACTORY = "signxai_core.config:declared"


def read(path: str | Path, registry: Registry) -> Declared:
    """Return what a file declares, without registering it.

    Parameters
    ----------
    path
        The file.
    registry
        What is known without the file: see :func:`signxai_core.registry.registry_without`.

    Raises
    ------
    FileError
        When the file cannot be read.
    ConfigError
        With every mistake of the file and its path.
    """
    return _reader(path, registry).read()


def experiments(path: str | Path, registry: Registry) -> dict[str, Experiment]:
    """Return the experiments of a file; the errors are those of :func:`read`."""
    reader = _reader(path, registry)
    reader.read()
    return reader.experiments


def converted(path: str, methods: Mapping[str, Any], registry: Registry) -> dict[str, MethodSpec]:
    """Return the methods that a file holds in full, by name; the error is that of :func:`read`."""
    reader = _Reader(path, {}, registry)
    found: dict[str, MethodSpec] = {}
    for name, given in methods.items():
        reader.take("methods", name, given, lambda key, v: found.update({key: reader.convert(v, MethodSpec)}))
    if reader.problems:
        raise ConfigError(path, reader.problems)
    return found


def _reader(path: str | Path, registry: Registry) -> _Reader:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read the configuration file {str(path)!r}: {error}") from error
    try:
        document = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from error
    return _Reader(str(path), document, registry)


@attrs.define(eq=False)
class _Reader:
    """Reads one document table by table, gathering mistakes."""

    path: str
    document: dict[str, Any]
    registry: Registry
    problems: list[str] = attrs.field(factory=list)
    rules: dict[str, Owned] = attrs.field(factory=dict)
    composites: dict[str, Owned] = attrs.field(factory=dict)
    presets: dict[str, Owned] = attrs.field(factory=dict)
    words: dict[str, Owned] = attrs.field(factory=dict)
    experiments: dict[str, Experiment] = attrs.field(factory=dict)
    failed: set[tuple[str, str]] = attrs.field(factory=set)
    converter: cattrs.Converter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.converter = make_converter(self._named)

    def read(self) -> Declared:
        for key, entries in self.document.items():  # the names of entries are checked below
            for name, given in entries.items() if isinstance(entries, dict) else ():
                self.problems += unprintable(given, f"{key}.{shown(name)}")
        for key in self.document:
            if key not in _TABLES:
                self.problems.append(f"{shown(key)}: unknown table; accepted: {', '.join(_TABLES)}")
        self._table("rules", self._rule)
        self._table("composites", self._composite)
        self._table("presets", self._preset)
        self._table("words", self._word)
        declared = Declared(self.rules, self.composites, self.words, self.presets, {})
        known = extend(self.registry, {self.path: declared})
        methods: dict[str, MethodSpec] = {}
        self._table("methods", lambda name, given: methods.update({name: self._method(name, given, known)}))
        self.problems += [
            f"words: with them the grammar knows {name!r}, a method that another file declares; rename one"
            for name in self.registry.declared
            if grammar.reads(name, known)
        ]
        self._table("experiments", self._experiment)
        if self.problems:
            raise ConfigError(self.path, self.problems)
        return attrs.evolve(declared, methods=methods)

    def _table(self, table: str, take: Callable[[str, Any], None]) -> None:
        entries = self.document.get(table, {})
        if not isinstance(entries, dict):
            self.problems.append(f"{table}: expected a table of tables, got {entries!r}")
            self.failed.add((table, ""))
            return
        for name, given in entries.items():
            if not is_name(name) and not (table == "words" and "{" in name):
                self._fail(table, name, [f"{table}: {name!r} is no name: expected {NAME_RULE}"])
                continue
            self.take(table, name, given, take)

    def take(self, table: str, name: str, given: Any, take: Callable[[str, Any], None]) -> None:
        """Call ``take(name, given)`` and note what is wrong."""
        place = f"{table}.{name}"
        try:
            take(name, given)
        except cattrs.BaseValidationError as error:
            texts = [text.rpartition(" @ ") for text in cattrs.transform_error(error, place, _message)]
            self._fail(table, name, [f"{where}: {message}" for message, _, where in texts if message])
        except (SignxaiError, TypeError, ValueError) as error:
            follows = isinstance(error, _FollowsError) or self._is_misnamed(given, error)
            self._fail(table, name, [] if follows else [f"{place}: {error}"])

    def _fail(self, table: str, name: str, problems: list[str]) -> None:
        self.problems += problems
        self.failed.add((table, name))

    def _has_failed(self, table: str, name: str) -> bool:
        """Return whether a name is missing only because of a mistake that is reported already."""
        return not self.failed.isdisjoint({(table, name), (table, "")})

    def _is_misnamed(self, given: Any, error: Exception) -> bool:
        """Return whether a method's name is unknown because of a word or preset that has a mistake."""
        if not isinstance(error, NameSyntaxError) or not isinstance(given, Mapping):
            return False
        words = [name for table, name in self.failed if table in ("words", "presets")]
        return any(not word or f"_{word}_" in f"_{given.get('name')}_" for word in words)

    def convert(self, given: Any, kind: Any) -> Any:
        """Return plain values as a spec."""
        return self.converter.structure(given, kind)

    def _named(self, what: str, given: Any) -> Any:
        """Return the rule or composite that a name, or a table with ``use``, stands for."""
        name, arguments = (given, {}) if isinstance(given, str) else (given["use"], {**given})
        arguments.pop("use", None)
        own, registered = (
            (self.rules, self.registry.rules) if what == "rule" else (self.composites, self.registry.composites)
        )
        if what != "sampling" and name not in own and self._has_failed(f"{what}s", name):
            raise _FollowsError(f"{what} {name!r} has a mistake of its own")
        if what == "sampling" or (name not in own and name not in registered):
            known = ", ".join([*own, *registered])
            raise ValueError(f"unknown {what} {name!r}; accepted: {known}")
        if name in own:
            if arguments:
                raise ValueError(f"{what} {name!r} of this file takes no parameters, got {arguments!r}")
            return own[name].value
        if what == "composite":
            arguments.setdefault("convention", TEXTBOOK)
        try:
            return registered[name].make(**arguments)
        except TypeError as error:
            raise ValueError(f"{what} {name!r} cannot take {arguments!r}: {error}") from error

    def _rule(self, name: str, given: Any) -> None:
        rule = self.convert(given, AnyRule)
        entry = RuleEntry(name=name, factory=_NO_FACTORY, reference=self.path)
        self.rules[name] = Owned(entry, self.path, rule)

    def _composite(self, name: str, given: Any) -> None:
        given = dict(given) if isinstance(given, Mapping) else given
        base: Any = given.pop("extends", None) if isinstance(given, dict) else None
        composite: Composite = self.convert(given, Composite)
        if base is not None:
            follows: Composite = self._named("composite", base)
            composite = attrs.evolve(composite, entries=(*composite.entries, *follows.entries))
        entry = CompositeEntry(name=name, factory=_NO_FACTORY, reference=self.path)
        self.composites[name] = Owned(entry, self.path, composite)

    def _preset(self, name: str, given: Any) -> None:
        preset = self.convert({**given, "name": name} if isinstance(given, Mapping) else given, Preset)
        self.presets[name] = Owned(preset, self.path)

    def _word(self, name: str, given: Any) -> None:
        if "{" in name:
            slots = name[name.index("{") : name.rindex("}") + 1] if "}" in name else name
            raise ValueError(
                "a word of a file takes no number: its composite or rule is the same whatever a name says. Leave "
                f"{slots} out and declare a word for each value, or register the word in a plug-in, whose factory "
                "gets the number"
            )
        if not isinstance(given, Mapping) or set(given) not in ({"rule"}, {"composite"}):
            raise ValueError(f"a word has either 'rule' (a prefix) or 'composite' (a chain), got {given!r}")
        ((what, value),) = given.items()
        if what == "composite" and name not in self.registry.words:
            self._refuse_read_chain(name)
        part = self.convert(value, AnyRule if what == "rule" else Composite)
        entry = Word(text=name, role="prefix" if what == "rule" else "chain", factory=_NO_FACTORY)
        self.words[name] = Owned(entry, self.path, part)

    def _refuse_read_chain(self, name: str) -> None:
        """Refuse a chain that would never be read, because the grammar reads its letters as something else."""
        prefixes = (word for word, owned in self.registry.words.items() if owned.entry.role == "prefix")
        taken = next((text for text in (f"{prefix}_{name}" for prefix in prefixes) if self._reads(text)), None)
        if taken is not None:
            raise ValueError(f"the grammar reads {taken!r} already, without this word; choose another name")

    def _reads(self, text: str) -> bool:
        return grammar.reads(text, self.registry)

    def _experiment(self, name: str, given: Any) -> None:
        self.experiments[name] = self.convert(given, Experiment)

    def _method(self, name: str, given: Any, known: Registry) -> MethodSpec:
        if grammar.reads(name, known):
            raise ValueError(f"the grammar knows the name {name!r} already; choose another")
        if isinstance(given, Mapping) and "name" in given:
            extra = set(given) - {"name", "parameters", "convention"}
            if extra:
                raise ValueError(f"unknown key {min(extra)!r}; accepted: name, parameters, convention")
            convention = given.get("convention", TEXTBOOK.name)
            if convention not in CONVENTIONS:
                raise ValueError(f"unknown convention {convention!r}; accepted: {', '.join(CONVENTIONS)}")
            spec = grammar.parse(given["name"], known, CONVENTIONS[convention])
            return grammar.configure(spec, given.get("parameters", {}), known, given["name"])
        converted: MethodSpec = self.convert(given, MethodSpec)
        return converted


class _FollowsError(ValueError):
    """What a name stands for is missing because of a mistake that is reported where it was made."""


def _message(error: BaseException, _: Any = None) -> str:
    """Return the text of one mistake, none for one that only follows from another."""
    if isinstance(error, _FollowsError):
        return ""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        fields = ", ".join(field.name for field in attrs.fields(error.cl)) if attrs.has(error.cl) else ""
        return f"unknown key {', '.join(sorted(error.extra_fields))}; accepted: {fields}"
    if isinstance(error, KeyError):
        return f"the key {error.args[0]!r} is missing"
    return str(error)
