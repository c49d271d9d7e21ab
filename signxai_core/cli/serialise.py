"""Specs as JSON: what was computed, written beside the maps."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np


def to_json(value: Any) -> Any:
    """Turn a spec, or any part of one, into what :mod:`json` writes.

    Every attrs value becomes an object with its class under ``type``.

    Examples
    --------
    >>> from signxai_core.specs import Mix
    >>> to_json(Mix(1, 0))
    {'type': 'Mix', 'positive': 1.0, 'negative': 0.0}
    """
    if isinstance(value, enum.Enum):
        return {"type": value.name}
    if attrs.has(type(value)):
        fields = {field.name: to_json(getattr(value, field.name)) for field in attrs.fields(type(value))}
        return {"type": type(value).__name__, **fields}
    for kinds, convert in _CONVERTERS:
        if isinstance(value, kinds):
            return convert(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON: {value!r}")


_CONVERTERS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((bool, int, float, str, type(None)), lambda value: value),
    (np.ndarray, lambda a: {"dtype": str(a.dtype), "shape": list(a.shape), "values": a.ravel().tolist()}),
    (np.generic, lambda value: value.item()),
    (Mapping, lambda value: {str(key): to_json(item) for key, item in value.items()}),
    ((set, frozenset), lambda value: sorted(to_json(item) for item in value)),
    ((list, tuple), lambda value: [to_json(item) for item in value]),
)
