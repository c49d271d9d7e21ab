"""Cells and values as plain TOML values, and back.

Cells are written as in the table of :data:`WORDS`, or as small tables: ``{positive = 1.25, negative
= 1}``, ``{constant = 2}``, ``{bound = "low", value = -1}``, ``{mu = 0.5}``. A parameter that is still
to be given is written ``"parameter"``; arrays are nested lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from signxai_core.specs import (
    KEEP,
    MISSING,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    ArrayValue,
    Bound,
    Cell,
    Constant,
    Missing,
    Mix,
    Sign,
    Square,
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
CELLS = (Mix, Square, Constant, Bound, Sign)


def value_out(value: Any) -> Any:
    """Write a value: a number, nested lists, or ``"parameter"``."""
    if isinstance(value, Missing):
        return _UNSAID
    return value.array.tolist() if isinstance(value, ArrayValue) else value


def value_in(value: Any) -> Any:
    """Read a value."""
    if value == _UNSAID:
        return MISSING
    if isinstance(value, str):
        raise ValueError(f"expected a number, an array of numbers or {_UNSAID!r}, got {value!r}")  # noqa: TRY004
    return value


def cell_out(cell: Cell) -> Any:
    """Write a cell: its word, or a table."""
    if cell in _WORD_OF:
        return _WORD_OF[cell]
    if isinstance(cell, Mix):
        return {"positive": cell.positive, "negative": cell.negative}
    if isinstance(cell, Bound):
        return {"bound": cell.side, "value": value_out(cell.value)}
    if isinstance(cell, Sign):
        return {"mu": value_out(cell.mu)}
    assert isinstance(cell, Constant), "every other cell has a word"
    return {"constant": cell.value}


def cell_in(given: Any, _: Any = None) -> Any:
    """Read a cell."""
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
        return Mix(number(given["positive"]), number(given["negative"]))
    if kind is Constant:
        return Constant(number(given["constant"]))
    if kind is Bound:
        return Bound(given["bound"], value_in(given.get("value", _UNSAID)))
    return Sign(value_in(given["mu"]))


def number(value: Any, _: Any = None) -> float:
    """Read a number, and nothing that is only like one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")  # noqa: TRY004 - one kind of error per file
    return float(value)


def members(kind: Any) -> frozenset[Any]:
    """Return the members of a union, without ``None``."""
    return frozenset(get_args(kind)) - {type(None)}


def is_cell_union(kind: Any) -> bool:
    """Return whether a type is a choice of cells."""
    found = members(kind)
    return bool(found) and found <= {*CELLS} and len(found) > 1


def is_value(kind: Any) -> bool:
    """Return whether a type is that of a value."""
    return ArrayValue in members(kind)
