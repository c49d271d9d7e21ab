"""One number per position of a sample, and the order in which positions are removed."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from signxai_core.errors import ParameterError
from signxai_core.metrics.checks import Float64, FloatArray, batch, channels

Reduction = Literal["sum", "sum_abs", "max_abs", "l2"]
_REDUCTIONS = {
    "sum": lambda r, axis: r.sum(axis=axis),
    "sum_abs": lambda r, axis: np.abs(r).sum(axis=axis),
    "max_abs": lambda r, axis: np.abs(r).max(axis=axis),
    "l2": lambda r, axis: np.sqrt(np.square(r).sum(axis=axis)),
}


def pooled(relevance: Any, *, channel_axis: int | None, reduction: Reduction = "sum") -> Float64:
    """Return the relevance of every position: pixel of an image, step of a series.

    Parameters
    ----------
    relevance
        Map of every sample, shape ``(N, ...)``.
    channel_axis
        Axis of the channels, the batch axis included; ``None`` where every number is a position.
    reduction
        Over the channels: ``"sum"`` (keeps the sign), ``"sum_abs"``, ``"max_abs"`` or ``"l2"``.

    Examples
    --------
    >>> pooled(np.array([[[1.0, -2.0], [3.0, 0.5]]]), channel_axis=1).tolist()
    [[4.0, -1.5]]
    """
    if reduction not in _REDUCTIONS:
        raise ParameterError(f"reduction must be one of {', '.join(map(repr, _REDUCTIONS))}, got {reduction!r}")
    found: FloatArray = batch(relevance, "relevance").astype(np.float64)
    axis = channels(channel_axis, found.ndim)
    if axis is None:
        if reduction != "sum":
            raise ParameterError(f"reduction = {reduction!r} is over the channels, and channel_axis is None")
        return found
    result: Float64 = np.asarray(_REDUCTIONS[reduction](found, axis))
    return result


def removal_order(positions: FloatArray) -> npt.NDArray[np.intp]:
    """Return flat indices of the positions of one sample, the most relevant first.

    Positions are ordered by (value, row, column), descending, after division by the largest absolute
    value (a map of zeros stays 0): of equal values, the last position goes first.

    Examples
    --------
    >>> removal_order(np.array([[1.0, 3.0], [3.0, 2.0]])).tolist()
    [2, 1, 3, 0]
    """
    flat = positions.astype(np.float64).ravel()
    largest = np.abs(flat).max(initial=0.0)
    flat = flat / largest if largest > 0 else np.zeros_like(flat)
    return np.argsort(flat, kind="stable")[::-1]


def count_positions(shape: tuple[int, ...], axis: int | None) -> int:
    """Return the number of positions of a sample of a batch of that shape."""
    return math.prod(size for place, size in enumerate(shape) if place not in (0, axis))
