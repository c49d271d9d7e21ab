"""How much of a map lies where the truth is known to lie (Arras et al. 2022)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, InputTypeError
from signxai_core.metrics.checks import Float64, channels
from signxai_core.metrics.ranking import Reduction, pooled

Mask = npt.NDArray[np.bool_]


def mass_accuracy(relevance: Any, mask: Any, *, channel_axis: int | None, reduction: Reduction = "sum") -> Float64:
    """Return the share of the positive relevance that lies inside the mask, per sample.

    The channels are pooled first; what is negative then counts as 0. NaN where nothing is positive.

    Parameters
    ----------
    relevance
        Maps, shape ``(N, ...)``.
    mask
        ``True`` (or 1) at the positions that matter: the shape of ``relevance`` without its axis of
        channels, or with it where all channels have the same mask.
    channel_axis, reduction
        As for :func:`~signxai_core.metrics.pooled`.

    Examples
    --------
    >>> mass_accuracy(np.array([[3.0, 1.0, -9.0]]), np.array([[1, 0, 1]]), channel_axis=None).tolist()
    [0.75]
    """
    positions, inside = _positions(relevance, mask, channel_axis, reduction)
    mass = np.maximum(positions, 0)
    total = mass.sum(axis=1)
    found: Float64 = np.divide((mass * inside).sum(axis=1), total, out=np.full(len(mass), np.nan), where=total > 0)
    return found


def rank_accuracy(relevance: Any, mask: Any, *, channel_axis: int | None, reduction: Reduction = "sum") -> Float64:
    """Return the share of the ``K`` most relevant positions that lie inside a mask of ``K`` positions.

    Positions of equal relevance at the border of the ``K`` count by the share of them that fits.
    Parameters are those of :func:`mass_accuracy`.

    Examples
    --------
    >>> rank_accuracy(np.array([[3.0, 1.0, 2.0]]), np.array([[1, 1, 0]]), channel_axis=None).tolist()
    [0.5]
    """
    positions, inside = _positions(relevance, mask, channel_axis, reduction)
    return np.array([_ranked(row, place) for row, place in zip(positions, inside, strict=True)])


def _ranked(row: Float64, inside: Mask) -> float:
    size = int(inside.sum())
    border = np.sort(row)[-size]
    above, tied = row > border, row == border
    fits = (size - int(above.sum())) / int(tied.sum())
    return float(((above & inside).sum() + fits * (tied & inside).sum()) / size)


def _positions(relevance: Any, mask: Any, axis: int | None, reduction: Reduction) -> tuple[Float64, Mask]:
    positions = pooled(relevance, channel_axis=axis, reduction=reduction)
    inside = _mask(mask, np.shape(relevance), channels(axis, np.ndim(relevance)))
    if inside.shape != positions.shape:
        raise InputShapeError(f"the mask has the shape {np.shape(mask)}, expected {positions.shape}")
    flat = inside.reshape(len(inside), -1)
    empty = np.flatnonzero(~flat.any(axis=1))
    if len(empty):
        raise InputShapeError(f"the mask of sample {empty[0]} is empty; leave out samples without a mask")
    return positions.reshape(len(positions), -1), flat


def _mask(mask: Any, shape: tuple[int, ...], axis: int | None) -> Mask:
    found = np.asarray(mask)
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise InputTypeError("the mask must hold True and False, or 1 and 0, and nothing else")
    found = found.astype(bool)
    if axis is None or found.ndim != len(shape):
        return found
    if found.shape[axis] not in (1, shape[axis]) or (found != found.take([0], axis)).any():
        raise InputShapeError("the mask differs between channels; give one without the axis of the channels")
    first: Mask = found.take(0, axis)
    return first
