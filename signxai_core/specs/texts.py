"""Texts and lists in specs: which texts are names, and that a text is no list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

#: What a name that a file declares looks like: it becomes a part of method names and of file names.
NAME_RULE: Final = "a letter, then letters, digits and '_', at most 100"
WORD_RULE: Final = "words and {slots} joined by '_'"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*(_([A-Za-z0-9]+|\{[a-z]\w*\}))*")


def is_name(text: object) -> bool:
    """Return whether a text can be declared as a name: ASCII letters, digits and ``_``."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def matches(pattern: re.Pattern[str], what: str) -> Any:
    """Return an attrs validator for texts that match a pattern as a whole."""

    def check(_: object, attribute: attrs.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise ValueError(f"{attribute.name} must be {what}, got {value!r}")

    return check


name = matches(_NAME, NAME_RULE)
word = matches(_WORD, WORD_RULE)


def listed(field: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return a tuple; refuse a text or a mapping, whose letters or keys it would hold.

    Parameters
    ----------
    field
        Name of the field, for the error.
    values
        What was given for it.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{field} must be a list or another collection, got {values!r}")
    return tuple(values)


def shown(text: str) -> str:
    """Return a text as it is, or quoted with escapes where it could not be shown."""
    return text if text.isprintable() else repr(text)


def unprintable(value: Any, place: str) -> Iterator[str]:
    """Yield a message for every text in nested lists and tables that would steer a terminal."""
    if isinstance(value, str) and not all(c.isprintable() or c in "\n\t" for c in value):
        yield f"{place}: a text with characters that cannot be printed: {value!r}"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from unprintable(key, place)
            yield from unprintable(item, f"{place}.{shown(key)}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unprintable(item, f"{place}[{index}]")
