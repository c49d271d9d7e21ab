"""What plugins register: light values with import paths."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from signxai_core.errors import PluginError
from signxai_core.specs import texts

Role = Literal["prefix", "chain", "base", "cam"]
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SLOT = re.compile(r"\{(\w+)\}")


_path = texts.matches(_PATH, "an import path 'package.module:attribute'")
_name = texts.matches(re.compile(r"[A-Za-z][\w.-]*"), "a name")


def _read_only(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))


def _choices(mapping: Mapping[str, Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({key: texts.listed("choices", values) for key, values in mapping.items()})


def _packages(names: Iterable[str]) -> tuple[str, ...]:
    return texts.listed("packages", names)


@attrs.frozen(kw_only=True)
class RuleEntry:
    """A rule: ``factory(**numbers)`` returns a :data:`~signxai_core.specs.rules.AnyRule`.

    ``example`` gives arguments with which the conformance suite tests the rule.
    """

    name: str = attrs.field(validator=_name)
    factory: str = attrs.field(validator=_path)
    reference: str
    example: Mapping[str, Any] = attrs.field(factory=dict, converter=_read_only, hash=False)


@attrs.frozen(kw_only=True)
class RuleClass:
    """A class of rules of its own: frozen, hashable values with a propagator.

    Parameters
    ----------
    name
        Its ``type`` in configuration files.
    rule
        Path of the class; see :class:`~signxai_core.specs.nonlinear.AnyRule`.
    propagator
        Path of ``function(place, rule)``, which returns one array per input of the operation; see
        :class:`~signxai_core.engine.local.Place`.
    """

    name: str = attrs.field(validator=_name)
    rule: str = attrs.field(validator=_path)
    propagator: str = attrs.field(validator=_path)


@attrs.frozen(kw_only=True)
class ProbeEntry:
    """A network with an operation of a plugin's own, for the conformance suite.

    Parameters
    ----------
    name
        As everywhere.
    build
        Path of ``function(backend)``: the name of a backend to ``(model, x, method)``, with ``x`` a NumPy
        array and ``method`` a name or specification; ``None`` for a backend that it has no model for.
    oracle
        Path of ``function(x, target)``: what the relevance has to be, computed without this library.
    tolerance
        Largest difference, relative to the largest relevance.
    """

    name: str = attrs.field(validator=_name)
    build: str = attrs.field(validator=_path)
    oracle: str = attrs.field(validator=_path)
    tolerance: float = 1e-9


@attrs.frozen(kw_only=True)
class CompositeEntry:
    """A composite: ``factory(**numbers, convention=...)`` returns a composite."""

    name: str = attrs.field(validator=_name)
    factory: str = attrs.field(validator=_path)
    reference: str


@attrs.frozen(kw_only=True)
class Word:
    """A word of method names.

    Parameters
    ----------
    text
        The word; ``{slot}`` takes a number: ``"epsilon_{epsilon}_std_x"``.
    role
        ``prefix``: ``factory(convention)`` returns the rule of the input layer, or ``None``.
        ``chain``: ``factory(convention, **slots)`` returns a composite.
        ``base`` and ``cam``: ``factory(convention)`` returns a method.
    reference
        The paper.
    """

    text: str = attrs.field(validator=texts.word)
    role: Role = attrs.field(validator=attrs.validators.in_(("prefix", "chain", "base", "cam")))
    factory: str = attrs.field(validator=_path)
    reference: str = ""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the numbers that the word takes, in order."""
        return tuple(_SLOT.findall(self.text))


@attrs.frozen(kw_only=True)
class Grid:
    """Names to list: the product of alternatives for every slot of a template.

    ``Grid(template="{p}_epsilon_{e}", choices={"p": ("lrp", "lrpz"), "e": ("0_1", "1")})`` lists
    four names.

    Parameters
    ----------
    template, choices
        ``{slot}`` in the template takes every one of its choices.
    canonical
        Name in the grammar, where the grid lists one other name for it.
    aliases
        Misprints that stay accepted but are not listed, and the names they stand for.
    beyond
        Listed only where names beyond the published table are asked for.
    """

    template: str
    choices: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=_choices, hash=False)
    canonical: str | None = None
    aliases: Mapping[str, str] = attrs.field(factory=dict, converter=_read_only, hash=False)
    beyond: bool = False

    def __iter__(self) -> Iterator[str]:
        keys = _SLOT.findall(self.template)
        for values in itertools.product(*(self.choices[key] for key in keys)):
            yield self.template.format(**dict(zip(keys, values, strict=True)))


@attrs.frozen(kw_only=True)
class BackendEntry:
    """A backend: ``factory()`` returns a :class:`~signxai_core.engine.backend.Backend`.

    Parameters
    ----------
    name, factory
        As everywhere.
    packages
        Packages whose classes mark a model as the backend's own.
    builder
        Path of a function that makes a model of the backend's framework from a
        :class:`~signxai_core.testing.network.Network`, for the conformance suite.
    executor
        ``factory()`` returns an :class:`~signxai_core.engine.executor.Executor` instead: another
        engine, which carries out whole methods with rules of its own. The conformance suite leaves
        it out.
    """

    name: str = attrs.field(validator=_name)
    factory: str = attrs.field(validator=_path)
    builder: str | None = attrs.field(default=None, validator=attrs.validators.optional(_path))
    packages: tuple[str, ...] = attrs.field(converter=_packages)
    executor: bool = False

    def claims(self, model: object) -> bool:
        """Return whether a class of the model's comes from one of the packages."""
        return _is_from(model, self.packages)


@attrs.frozen(kw_only=True)
class Conversion:
    """Objects of another library that can be given as a method: ``factory(given=object)`` returns a method.

    Parameters
    ----------
    name, factory
        As everywhere.
    packages
        Packages whose classes mark an object as one to convert.
    """

    name: str = attrs.field(validator=_name)
    factory: str = attrs.field(validator=_path)
    packages: tuple[str, ...] = attrs.field(converter=_packages)

    def claims(self, given: object) -> bool:
        """Return whether a class of the object's comes from one of the packages."""
        return _is_from(given, self.packages)


def _is_from(given: object, packages: Iterable[str]) -> bool:
    return any(cls.__module__.partition(".")[0] in packages for cls in type(given).__mro__)


def load(path: str, owner: str) -> Any:
    """Import what ``"package.module:attribute"`` names.

    Raises
    ------
    PluginError
        Naming the owner, when the module or the attribute is missing.
    """
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"plugin {owner!r} names {path!r}, which cannot be imported: {error}") from error
