"""A JSON Schema of configuration files, for editors: made from the specs and the registry."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from signxai_core.config.cells import WORDS, is_cell_union, is_value, members
from signxai_core.config.converter import SAMPLING_TYPES, rule_types
from signxai_core.config.experiments import Experiment
from signxai_core.registry import Registry
from signxai_core.specs import (
    CONVENTIONS,
    KINDS,
    AnyRule,
    Composite,
    Kind,
    LinearRule,
    MethodSpec,
    Preset,
    Rule,
    Sampling,
)

Schema = dict[str, Any]
_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    Any: {},
    Kind: {"$ref": "#/$defs/kind"},
}
_UNIONS: Mapping[frozenset[Any], str] = {
    members(LinearRule): "linear_rule",
    members(Sampling): "sampling",
}

_NAMED: Mapping[Any, str] = {Composite: "composite", AnyRule: "rule"}


def schema(registry: Registry) -> Schema:
    """Return the schema of a file, with the rules and composites that are registered now."""
    tables = {
        "rules": _ref("rule"),
        "composites": _ref("composite"),
        "presets": _without(_object(Preset), "name"),
        "words": {"anyOf": [_closed({"rule": _ref("rule")}), _closed({"composite": _ref("composite")})]},
        "methods": {"anyOf": [_ref("named_method"), _object(MethodSpec)]},
        "experiments": _object(Experiment),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration file of signxai-core",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"type": "object", "additionalProperties": entry} for name, entry in tables.items()},
        "$defs": _definitions(registry),
    }


def _definitions(registry: Registry) -> Schema:
    named = {"convention": {"enum": list(CONVENTIONS)}, "parameters": {"type": "object"}, "name": _PLAIN[str]}
    composite = _object(Composite)
    composite["properties"]["extends"] = {"anyOf": [_PLAIN[str], _use(list(registry.composites))]}
    composite.pop("required", None)  # a file may extend another composite and add nothing
    value = {"anyOf": [_PLAIN[float], {"type": "array"}, {"const": "parameter"}]}
    cells = [
        {"enum": list(WORDS)},
        _closed({"positive": _PLAIN[float], "negative": _PLAIN[float]}),
        _closed({"constant": _PLAIN[float]}),
        {**_closed({"bound": {"enum": ["low", "high"]}, "value": value}), "required": ["bound"]},
        _closed({"mu": value}),
    ]
    by_name = [{"type": "string"}, _use(list(registry.rules))]
    return {
        "value": value,
        "kind": {"enum": list(KINDS)},
        "cell": {"anyOf": cells},
        "rule": {"anyOf": [*by_name, *_tagged(rule_types())]},
        "linear_rule": {"anyOf": [*by_name, *_tagged({"rule": Rule}, needed=False)]},
        "sampling": {"anyOf": _tagged(SAMPLING_TYPES)},
        "composite": {"anyOf": [{"type": "string"}, _use(list(registry.composites)), composite]},
        "named_method": {**_closed(named), "required": ["name"]},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _use(names: list[str]) -> Schema:
    """A table with ``use``: a registered factory, whose parameters only it knows, or a name of the file."""
    known = {"anyOf": [{"enum": names}, {"type": "string"}]}
    return {"type": "object", "properties": {"use": known}, "required": ["use"]}


def _tagged(kinds: Mapping[str, type], *, needed: bool = True) -> list[Schema]:
    found = []
    for tag, cls in kinds.items():
        entry = _object(cls)
        entry["properties"]["type"] = {"const": tag}
        entry["required"] = [*(["type"] if needed else []), *entry.get("required", [])]
        found.append(entry)
    return found


def _without(entry: Schema, key: str) -> Schema:
    entry["properties"].pop(key)
    entry["required"] = [name for name in entry.get("required", []) if name != key]
    return entry


def _object(cls: Any) -> Schema:
    """Return the schema of an attrs class: its fields, closed."""
    hints = get_type_hints(cls, include_extras=True)
    fields = attrs.fields(cls)
    return {
        "type": "object",
        "properties": {field.name: _type(hints[field.name]) for field in fields},
        "required": [field.name for field in fields if field.default is attrs.NOTHING],
        "additionalProperties": False,
    }


def _type(kind: Any) -> Schema:
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (frozenset, tuple, list):
        return {"type": "array", "items": _type(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    if origin in (Union, types.UnionType):
        return _union(kind, arguments)
    return _ref(_NAMED[kind]) if kind in _NAMED else _object(kind)


def _union(kind: Any, arguments: tuple[Any, ...]) -> Schema:
    null = [dict(_PLAIN[type(None)])] if type(None) in arguments else []
    if members(kind) in _UNIONS:
        return {"anyOf": [_ref(_UNIONS[members(kind)]), *null]}
    if is_value(kind):
        return {"anyOf": [_ref("value"), *null]}
    if is_cell_union(kind):
        return {"anyOf": [_ref("cell"), *null]}
    return {"anyOf": [_type(argument) for argument in arguments]}
