"""Specs to plain TOML values and back; :mod:`signxai_core.config.cells` has the smallest ones.

A rule that is a Python function is written by the name it is registered under, never by its import
path: no file can name code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from signxai_core.config.cells import (
    CELLS,
    WORDS,
    cell_in,
    cell_out,
    is_cell_union,
    is_value,
    members,
    number,
    value_in,
    value_out,
)
from signxai_core.config.experiments import Experiment
from signxai_core.registry import registry
from signxai_core.registry.entries import load
from signxai_core.specs import (
    KINDS,
    AnyRule,
    Cam,
    Composite,
    Control,
    Entry,
    Exact,
    FunctionRule,
    Integrate,
    Kind,
    LinearRule,
    MethodSpec,
    NormalisationRule,
    Pass,
    Phrase,
    Preset,
    Rule,
    Sampling,
    Share,
    Shared,
    Smooth,
    SoftmaxRule,
    Stabiliser,
    Stop,
    Term,
    Where,
)

#: Rules and samplings are told apart by their ``type``.
RULE_TYPES: Mapping[str, type] = MappingProxyType(
    {
        "rule": Rule,
        "pass": Pass,
        "exact": Exact,
        "normalisation": NormalisationRule,
        "shared": Shared,
        "softmax": SoftmaxRule,
        "stop": Stop,
    }
)
SAMPLING_TYPES: Mapping[str, type] = MappingProxyType({"smooth": Smooth, "integrate": Integrate, "control": Control})
#: What a name stands for: called with the kind of value and what the file says.
Named = Callable[[str, Any], Any]


def _strict(kind: type) -> Callable[[Any, Any], Any]:
    """Return a hook that takes values of exactly one type: no silent conversion."""

    def hook(value: Any, _: Any = None) -> Any:
        if type(value) is not kind:
            raise ValueError(f"expected {_KIND_NAMES[kind]}, got {value!r}")
        return value

    return hook


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _literal(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ValueError(f"expected one of {', '.join(map(str, get_args(kind)))}; got {value!r}")
    return value


def _is_collection(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list, dict)


def _collection_in(converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Return a hook that takes TOML's lists and tables for what they are: the letters of a text are no list."""

    def hook(given: Any, kind: Any) -> Any:
        if get_origin(kind) is dict:
            if not isinstance(given, Mapping):
                raise ValueError(f"expected a table, got {given!r}")
            return _structured(converter, given.items(), kind)
        if not isinstance(given, list):
            raise ValueError(f"expected a list, got {given!r}")  # noqa: TRY004
        return tuple(_structured(converter, enumerate(given), kind).values())

    return hook


def _structured(converter: cattrs.Converter, items: Iterable[tuple[Any, Any]], kind: Any) -> dict[Any, Any]:
    """Convert the values of a list or table; the errors say at which index or key."""
    of_values = get_args(kind)[1 if get_origin(kind) is dict else 0]
    found: dict[Any, Any] = {}
    errors: list[Exception] = []
    for key, value in items:
        try:
            found[key] = converter.structure(value, of_values)
        except Exception as error:  # noqa: BLE001, PERF203 - all of them are reported together
            note = cattrs.IterableValidationNote(f"at {key!r}", key, of_values)
            vars(error)["__notes__"] = [*getattr(error, "__notes__", ()), note]  # as cattrs does; add_note is 3.11's
            errors.append(error)
    if errors:
        raise cattrs.IterableValidationError(f"while structuring {kind}", errors, kind)
    return found


_KIND_NAMES = {bool: "true or false", int: "a whole number", str: "a text"}


def _tagged_in(
    converter: cattrs.Converter, types: Mapping[str, type], what: str, named: Named
) -> Callable[[Any, Any], Any]:
    def hook(given: Any, _: Any = None) -> Any:
        if isinstance(given, str) or (isinstance(given, Mapping) and "use" in given):
            return named(what, given)
        if not isinstance(given, Mapping) or given.get("type") not in types:
            shown = given.get("type") if isinstance(given, Mapping) else given
            raise ValueError(f"a {what} is a table with type = one of {', '.join(types)}; got {shown!r}")
        fields = {key: value for key, value in given.items() if key != "type"}
        return converter.structure(fields, types[given["type"]])

    return hook


def _tagged_out(converter: cattrs.Converter, types: Mapping[str, type]) -> Callable[[Any], Any]:
    names = {kind: name for name, kind in types.items()}

    def hook(value: Any) -> Any:
        if isinstance(value, FunctionRule):
            return converter.unstructure(value, FunctionRule)
        return {"type": names[type(value)], **converter.unstructure(value, type(value))}

    return hook


def _linear_in(converter: cattrs.Converter, named: Named) -> Callable[[Any, Any], Any]:
    def hook(given: Any, _: Any = None) -> Any:
        if given is None:
            return None
        if isinstance(given, Mapping):
            given = {key: value for key, value in given.items() if (key, value) != ("type", "rule")}
        return converter.structure(given, Rule)

    return hook


def _function_out(rule: FunctionRule) -> Any:
    return {"use": rule.name, **dict(rule.parameters)}


def _refuse_names(what: str, given: Any) -> Any:
    raise ValueError(f"expected a table for the {what}, got {given!r}")


def rule_types() -> dict[str, type]:
    """Return the classes of rules by their ``type`` in files: ours, and those of plugins."""
    own = {name: load(owned.entry.rule, owned.owner) for name, owned in registry().rule_classes.items()}
    return {**RULE_TYPES, **own}


def make_converter(named: Named = _refuse_names) -> cattrs.Converter:
    """Return a converter for every spec; unknown keys are refused.

    Parameters
    ----------
    named
        Called with ``"rule"``, ``"sampling"`` or ``"composite"`` and a text or a table with ``use``
        where a name stands for a value.
    """
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (bool, int, str):
        converter.register_structure_hook(kind, _strict(kind))
    converter.register_structure_hook(float, number)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(_is_collection, _collection_in(converter))
    for cell in CELLS:
        converter.register_unstructure_hook(cell, cell_out)
        converter.register_structure_hook(cell, cell_in)
    converter.register_structure_hook_func(is_cell_union, cell_in)
    converter.register_unstructure_hook_func(is_cell_union, cell_out)
    converter.register_structure_hook_func(is_value, lambda value, _: value_in(value))
    converter.register_unstructure_hook_func(is_value, value_out)
    converter.register_structure_hook_func(_is_names, _names_in)
    converter.register_unstructure_hook_func(_is_names, lambda names: None if names is None else sorted(names))
    types_of_rules = rule_types()
    tagged = {**types_of_rules, **SAMPLING_TYPES}.values()
    for cls in (Term, Share, Stabiliser, *(one for one in tagged if one is not Rule)):
        _register(converter, cls)
    _register(converter, Rule, "rule", named)
    for union, types, what in ((AnyRule, types_of_rules, "rule"), (Sampling, SAMPLING_TYPES, "sampling")):
        _register_union(converter, union, types, what, named)
    converter.register_unstructure_hook(FunctionRule, _function_out)
    linear = members(LinearRule)
    converter.register_structure_hook_func(lambda t: members(t) == linear, _linear_in(converter, named))
    converter.register_unstructure_hook_func(
        lambda t: members(t) == linear, lambda v: None if v is None else converter.unstructure(v, type(v))
    )
    _register(converter, Where)
    _register(converter, Entry)
    _register(converter, Composite, "composite", named)
    _register(converter, Cam)
    _register(converter, Preset)
    _register(converter, Phrase)
    _register(converter, MethodSpec)
    _register(converter, Experiment)
    return converter


def _is_names(kind: Any) -> bool:
    return any(get_origin(member) is frozenset for member in (kind, *members(kind)))


def _names_in(given: Any, kind: Any) -> Any:
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValueError(f"expected a list of texts, got {given!r}")
    of_kinds = any(get_args(member) == (Kind,) for member in (kind, *members(kind)))
    if of_kinds and (unknown := [item for item in given if item not in KINDS]):
        raise ValueError(f"unknown operation kind {unknown[0]!r}; accepted: {', '.join(KINDS)}")
    return frozenset(given)


def _register(converter: cattrs.Converter, cls: Any, what: str = "", named: Named = _refuse_names) -> None:
    plain = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

    def hook(given: Any, kind: Any) -> Any:
        if what and (isinstance(given, str) or (isinstance(given, Mapping) and "use" in given)):
            return named(what, given)
        if not isinstance(given, Mapping):
            raise ValueError(f"expected a table with keys among {_fields(cls)}, got {given!r}")  # noqa: TRY004
        return plain(given, kind)

    converter.register_structure_hook(cls, hook)
    converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True))


def _fields(cls: Any) -> str:
    return ", ".join(field.name for field in attrs.fields(cls))


def _register_union(
    converter: cattrs.Converter, union: Any, types: Mapping[str, type], what: str, named: Named
) -> None:
    wanted = members(union)

    def is_wanted(kind: Any) -> bool:
        return kind is union or (bool(wanted) and members(kind) == wanted)

    converter.register_structure_hook_func(is_wanted, _tagged_in(converter, types, what, named))
    converter.register_unstructure_hook_func(is_wanted, _tagged_out(converter, types))


__all__ = ["RULE_TYPES", "SAMPLING_TYPES", "WORDS", "make_converter"]
