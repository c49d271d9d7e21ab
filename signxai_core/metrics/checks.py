"""Checks of arrays that metrics take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, InputTypeError, InputValueError, ParameterError

FloatArray = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def batch(array: Any, name: str) -> FloatArray:
    """Return an array with a batch axis and at least one sample, of finite numbers."""
    found = np.asarray(array)
    if found.dtype.kind not in "fiub":
        raise InputTypeError(f"{name} must be an array of real numbers, got the type {found.dtype}")
    if found.ndim < 2 or found.size == 0:
        raise InputShapeError(
            f"{name} has the shape {found.shape}; expected (samples, ...) with at least one number per sample: "
            "x[None] adds the batch axis"
        )
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise InputValueError(f"{name} holds {bad} numbers that are NaN or infinite; metrics need finite numbers")
    return found


def same_shape(relevance: Any, x: Any, name: str = "x") -> tuple[FloatArray, FloatArray]:
    """Return two batches of one shape."""
    one, two = batch(relevance, "relevance"), batch(x, name)
    if one.shape != two.shape:
        raise InputShapeError(f"relevance has the shape {one.shape}, {name} {two.shape}; expected the same shape")
    return one, two


def channels(axis: int | None, rank: int) -> int | None:
    """Return the axis of the channels, counted from the front, the batch axis included."""
    if axis is None:
        return None
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise ParameterError(f"channel_axis must be a whole number or None, got {axis!r}")
    place = int(axis) + rank if axis < 0 else int(axis)
    if not 1 <= place < rank:
        last = rank - 1
        raise ParameterError(
            f"channel_axis = {axis} is not an axis of a sample; with {rank} axes, the batch axis included, "
            f"expected 1 to {last}, −1 to −{last}, or None where there are no channels"
        )
    return place


def positive(name: str, value: Any) -> int:
    """Return a positive whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ParameterError(f"{name} must be a positive whole number, got {value!r}")
    return int(value)


def one_per_sample(target: Any, samples: int) -> npt.NDArray[np.int64] | None:
    """Return one class per sample, or ``None``."""
    if target is None:
        return None
    found = np.asarray(target)
    if found.dtype.kind not in "iu" or found.ndim > 1 or (found.ndim == 1 and len(found) != samples):
        expected = f"None, a class, or one class for each of {samples} samples"
        raise ParameterError(f"target must be {expected}, got {target!r}")
    return np.broadcast_to(found, (samples,)).astype(np.int64)
