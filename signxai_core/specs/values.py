"""Values that a spec may hold besides plain floats: arrays, and parameters yet to be given."""

from __future__ import annotations

import enum
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt


class Missing(enum.Enum):
    """The one value ``MISSING``: a parameter that the caller still has to give."""

    MISSING = "to be given as a parameter"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


def _frozen_float64(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.array(value, dtype=np.float64)
    array.flags.writeable = False
    return array


@attrs.frozen(eq=False, repr=False)
class ArrayValue:
    """A read-only float64 array that compares and hashes by its content.

    Parameters
    ----------
    array
        Anything NumPy turns into a float array; it is copied.
    """

    array: npt.NDArray[np.float64] = attrs.field(converter=_frozen_float64)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArrayValue):
            return NotImplemented
        return self.array.shape == other.array.shape and self.array.tobytes() == other.array.tobytes()

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        if self.array.size <= 4:
            return f"ArrayValue({self.array.tolist()})"
        return f"ArrayValue(shape={self.array.shape}, min={self.array.min():g}, max={self.array.max():g})"


Value = float | ArrayValue


def to_value(value: Any) -> Value | Missing:
    """Turn a number or an array into a :data:`Value`; ``MISSING`` stays as it is."""
    if isinstance(value, (ArrayValue, Missing)):
        return value
    if isinstance(value, bool):
        raise TypeError(f"expected a number or an array of numbers, got {value!r}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("expected numbers without a mask, got a masked array; fill it first: array.filled(0)")
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"expected a number or an array of numbers, got {value!r}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers, got {value!r}")
    return float(array) if array.ndim == 0 else ArrayValue(array)


def to_optional_value(value: Any) -> Value | Missing | None:
    """:func:`to_value`, with ``None`` kept."""
    return None if value is None else to_value(value)
