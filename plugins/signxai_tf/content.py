"""Objects that matter by what they contain, and objects whose content cannot be read."""

from __future__ import annotations

import array
import hashlib
import io
import random
import types
from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any, cast

import numpy as np

SEQUENCES = (list, tuple, set, frozenset, deque)
_BUFFERS = (bytearray, array.array, memoryview)
#: What computes something else each time, without a state that can be read.
_OPAQUE = (
    io.IOBase,
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    np.random.BitGenerator,
)
#: Longer containers, and larger arrays in bytes, are not read: the model is run again in every call instead.
MOST_ITEMS, MOST_BYTES = 2**16, 2**26


def by_content(value: Any) -> bool:
    """Return whether another object with the same content is as good."""
    return isinstance(value, (*SEQUENCES, dict, types.MethodType, *_BUFFERS)) or type(value) is np.ndarray


def is_opaque(value: Any) -> bool:
    """Return whether an object may do something else each time, or is too large to be read."""
    if isinstance(value, _OPAQUE):
        return True
    if isinstance(value, Iterator):
        return not hasattr(value, "__dict__")
    if isinstance(value, types.BuiltinFunctionType):
        return value.__module__ == "time"
    if isinstance(value, np.ndarray):
        return value.nbytes > MOST_BYTES or (value.dtype.hasobject and value.dtype.kind != "O")
    return isinstance(value, (*SEQUENCES, dict)) and len(value) > MOST_ITEMS


def digest(value: Any) -> Hashable:
    """Return what tells the numbers of an array from others; ``None`` for what is no array."""
    if isinstance(value, np.ndarray):
        form = value.shape, value.dtype.str
        if value.dtype.hasobject:
            return form
        numbers = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return *form, hashlib.blake2b(cast("Any", numbers), digest_size=16).digest()
    if isinstance(value, _BUFFERS):
        view = memoryview(value)
        return view.shape, view.format, hashlib.blake2b(view.tobytes(), digest_size=16).digest()
    return None
