"""Models of half types are recorded and walked in float32, with the weights that they have.

Sixteen bits are enough for a forward pass, and too few for relevance, which spans many orders of magnitude. So the
types that a graph names are read as float32, and what comes in is cast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from signxai_tf import private

HALF = frozenset({tf.float16, tf.bfloat16})
#: The same as numbers of TensorFlow's protocol.
_NUMBERS = frozenset(dtype.as_datatype_enum for dtype in HALF)


def wide(tensor: Any) -> Any:
    """Return a tensor of a half type as float32, any other as it is."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in HALF else tensor


def is_narrow(definition: Any) -> bool:
    """Return whether an operation of a graph computes in a half type."""
    return any(value.type in _NUMBERS for value in definition.attr.values())


def widened(op: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation's attributes with float32 for half types.

    Variables are read in their own type, and what is read is cast; bits are another thing than numbers.
    """
    if op == "Bitcast" or private.takes_resource(op):
        return dict(attributes)
    return {name: _wide_type(value) for name, value in attributes.items()}


def _wide_type(value: Any) -> Any:
    if isinstance(value, list):
        return [_wide_type(item) for item in value]
    return tf.float32 if isinstance(value, tf.dtypes.DType) and value in HALF else value
