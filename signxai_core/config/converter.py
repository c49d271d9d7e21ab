"""Specs to plain TOML values and back.

Cells are written as in the table of :data:`WORDS`, or as small tables: ``{positive = 1.25, negative
= 1}``, ``{constant = 2}``, ``{bound = "low", value = -1}``, ``{mu = 0.5}``. A parameter that is still
to be given is written ``"parameter"``; arrays are nested lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from signxai_core.specs import (
    KEEP,
    KINDS,
    MISSING,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    AnyRule,
    ArrayValue,
    Bound,
    Cam,
    Cell,
    Composite,
    Constant,
    Control,
    Entry,
    Exact,
    Integrate,
    Kind,
    MethodSpec,
    Missing,
    Mix,
    NormalisationRule,
    Pass,
    Phrase,
    Preset,
    Rule,
    Sampling,
    Share,
    Sign,
    Smooth,
    Square,
    Stabiliser,
    Term,
    Where,
)

WORDS: Mapping[str, Cell] = MappingProxyType(
    {
        "keep": KEEP,
        "positive": POSITIVE,
        "negative": NEGATIVE,
        "square": SQUARE,
        "ones": ONES,
        "zero": ZERO,
        "sign": Sign(),
    }
)
_WORD_OF = {cell: word for word, cell in WORDS.items()}
#: Table form of a cell, by one key that only it has.
_TABLES: Mapping[str, type] = MappingProxyType({"positive": Mix, "constant": Constant, "bound": Bound, "mu": Sign})
_UNSAID = "parameter"
#: Rules and samplings are told apart by their ``type``.
RULE_TYPES: Mapping[str, type] = MappingProxyType(
    {"rule": Rule, "pass": Pass, "exact": Exact, "normalisation": NormalisationRule}
)
SAMPLING_TYPES: Mapping[str, type] = MappingProxyType({"smooth": Smooth, "integrate": Integrate, "control": Control})
#: What a name stands for: called with the kind of value and what the file says.
Named = Callable[[str, Any], Any]
_CELLS = (Mix, Square, Constant, Bound, Sign)


def _value_out(value: Any) -> Any:
    if isinstance(value, Missing):
        return _UNSAID
    return value.array.tolist() if isinstance(value, ArrayValue) else value


def _value_in(value: Any) -> Any:
    if value == _UNSAID:
        return MISSING
    if isinstance(value, str):
        raise ValueError(f"expected a number, an array of numbers or {_UNSAID!r}, got {value!r}")  # noqa: TRY004
    return value


def _cell_out(cell: Cell) -> Any:
    if cell in _WORD_OF:
        return _WORD_OF[cell]
    if isinstance(cell, Mix):
        return {"positive": cell.positive, "negative": cell.negative}
    if isinstance(cell, Bound):
        return {"bound": cell.side, "value": _value_out(cell.value)}
    if isinstance(cell, Sign):
        return {"mu": _value_out(cell.mu)}
    assert isinstance(cell, Constant), "every other cell has a word"
    return {"constant": cell.value}


def _cell_in(given: Any, _: Any = None) -> Any:
    if isinstance(given, str):
        if given not in WORDS:
            raise ValueError(f"unknown cell {given!r}; accepted: {', '.join(WORDS)}, or a table")
        return WORDS[given]
    if isinstance(given, Mapping):
        kind = next((kind for key, kind in _TABLES.items() if key in given), None)
        allowed = {Mix: {"positive", "negative"}, Constant: {"constant"}, Bound: {"bound", "value"}, Sign: {"mu"}}
        if kind is not None and set(given) <= allowed[kind]:
            return _cell_from_table(kind, given)
    raise ValueError(
        f"expected a cell: one of {', '.join(WORDS)}, {{positive, negative}}, {{constant}}, {{bound, value}} or "
        f"{{mu}}; got {given!r}"
    )


def _cell_from_table(kind: type, given: Mapping[str, Any]) -> Any:
    if kind is Mix:
        if set(given) != {"positive", "negative"}:
            raise ValueError(f"a mixed cell needs 'positive' and 'negative', got {dict(given)!r}")
        return Mix(_number(given["positive"]), _number(given["negative"]))
    if kind is Constant:
        return Constant(_number(given["constant"]))
    if kind is Bound:
        return Bound(given["bound"], _value_in(given.get("value", _UNSAID)))
    return Sign(_value_in(given["mu"]))


def _number(value: Any, _: Any = None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")  # noqa: TRY004 - one kind of error per file
    return float(value)


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
    return lambda value: {"type": names[type(value)], **converter.unstructure(value, type(value))}


def _refuse_names(what: str, given: Any) -> Any:
    raise ValueError(f"expected a table for the {what}, got {given!r}")


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
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(_is_literal, _literal)
    for cell in _CELLS:
        converter.register_unstructure_hook(cell, _cell_out)
        converter.register_structure_hook(cell, _cell_in)
    converter.register_structure_hook_func(_is_cell_union, _cell_in)
    converter.register_unstructure_hook_func(_is_cell_union, _cell_out)
    converter.register_structure_hook_func(_is_value, lambda value, _: _value_in(value))
    converter.register_unstructure_hook_func(_is_value, _value_out)
    converter.register_structure_hook_func(_is_names, _names_in)
    converter.register_unstructure_hook_func(_is_names, lambda names: None if names is None else sorted(names))
    for cls in (Term, Share, Stabiliser, Pass, Exact, NormalisationRule, Smooth, Integrate, Control):
        _register(converter, cls)
    _register(converter, Rule, "rule", named)
    for union, types, what in ((AnyRule, RULE_TYPES, "rule"), (Sampling, SAMPLING_TYPES, "sampling")):
        _register_union(converter, union, types, what, named)
    _register(converter, Where)
    _register(converter, Entry)
    _register(converter, Composite, "composite", named)
    _register(converter, Cam)
    _register(converter, Preset)
    _register(converter, Phrase)
    _register(converter, MethodSpec)
    return converter


def _is_names(kind: Any) -> bool:
    return any(get_origin(member) is frozenset for member in (kind, *_members(kind)))


def _names_in(given: Any, kind: Any) -> Any:
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ValueError(f"expected a list of texts, got {given!r}")
    of_kinds = any(get_args(member) == (Kind,) for member in (kind, *_members(kind)))
    if of_kinds and (unknown := [item for item in given if item not in KINDS]):
        raise ValueError(f"unknown operation kind {unknown[0]!r}; accepted: {', '.join(KINDS)}")
    return frozenset(given)


def _members(kind: Any) -> frozenset[Any]:
    return frozenset(get_args(kind)) - {type(None)}


def _is_cell_union(kind: Any) -> bool:
    members = _members(kind)
    return bool(members) and members <= {*_CELLS} and len(members) > 1


def _is_value(kind: Any) -> bool:
    members = _members(kind)
    return ArrayValue in members


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
    members = _members(union)
    converter.register_structure_hook_func(lambda t: _members(t) == members, _tagged_in(converter, types, what, named))
    converter.register_unstructure_hook_func(lambda t: _members(t) == members, _tagged_out(converter, types))


__all__ = ["RULE_TYPES", "SAMPLING_TYPES", "WORDS", "make_converter"]
