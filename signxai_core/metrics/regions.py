"""Insertion and deletion of whole regions (after Petsiuk et al. 2018, with regions instead of pixels)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.metrics.checks import FloatArray, channels, one_per_sample, positive, same_shape
from signxai_core.metrics.flipping import Curve
from signxai_core.metrics.predict import BATCH_SIZE, Predict, in_batches, rows
from signxai_core.metrics.ranking import pooled

Labels = npt.NDArray[np.int64]


def grid_regions(shape: Sequence[int], size: int | Sequence[int]) -> Labels:
    """Return regions in a regular grid: an array of region numbers.

    Parameters
    ----------
    shape
        Of the positions of a sample: height and width of an image, length of a series.
    size
        Of a region along every axis, or one number for all of them.

    Examples
    --------
    >>> grid_regions((2, 4), 2).tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    sizes = [size] * len(shape) if isinstance(size, (int, np.integer)) else list(size)
    if len(sizes) != len(shape):
        raise ParameterError(f"size has {len(sizes)} numbers, but shape {tuple(shape)} has {len(shape)} axes")
    numbers = np.zeros(tuple(shape), dtype=np.int64)
    for axis, (length, step) in enumerate(zip(shape, sizes, strict=True)):
        part = np.arange(length) // positive("size", step)
        numbers = numbers * int(part[-1] + 1) + part.reshape(-1, *[1] * (len(shape) - axis - 1))
    return numbers


def deletion(
    predict: Predict,
    x: Any,
    relevance: Any,
    regions: Any,
    *,
    channel_axis: int | None,
    target: Any = None,
    baseline: Any = 0.0,
    batch_size: int = BATCH_SIZE,
) -> Curve:
    """Return the curves of the output while regions are replaced, the most relevant first.

    A small area under the curve (:func:`~signxai_core.metrics.area`) is good.

    Parameters
    ----------
    predict, x, relevance, channel_axis, target, batch_size
        As for :func:`~signxai_core.metrics.morf`.
    regions
        Number of the region of every position: one array for all samples, or one per sample. Regions go
        by their mean relevance; of equal ones the highest number goes first.
    baseline
        What regions are replaced by; broadcastable to ``x``.
    """
    maps, inputs = same_shape(relevance, x)
    blank = _baseline(baseline, inputs)
    return _curves(predict, inputs, blank, (maps, regions), channel_axis, target, batch_size)


def insertion(
    predict: Predict,
    x: Any,
    relevance: Any,
    regions: Any,
    *,
    channel_axis: int | None,
    target: Any = None,
    baseline: Any = 0.0,
    batch_size: int = BATCH_SIZE,
) -> Curve:
    """Return the curves of the output while regions are put into the baseline, the most relevant first.

    A large area under the curve is good. ``removed`` then counts the positions put in. Parameters are
    those of :func:`deletion`; the class is by default that of the whole sample.
    """
    maps, inputs = same_shape(relevance, x)
    blank = _baseline(baseline, inputs)
    if target is None:
        target = in_batches(predict, inputs, batch_size).argmax(axis=1)
    return _curves(predict, blank, inputs, (maps, regions), channel_axis, target, batch_size)


def _baseline(baseline: Any, x: FloatArray) -> FloatArray:
    try:
        return np.broadcast_to(np.asarray(baseline), x.shape).astype(x.dtype)
    except ValueError as error:
        raise InputShapeError(
            f"the baseline has the shape {np.shape(baseline)}, expected one that broadcasts to that of x, {x.shape}"
        ) from error


def _curves(
    predict: Predict,
    start: FloatArray,
    end: FloatArray,
    ranked: tuple[FloatArray, Any],
    channel_axis: int | None,
    target: Any,
    batch_size: int,
) -> Curve:
    """Return the curves from ``start`` to ``end``, region by region; ``ranked`` holds maps and regions."""
    axis = channels(channel_axis, start.ndim)
    positions = pooled(ranked[0], channel_axis=axis)
    numbers = _numbers(ranked[1], positions.shape)
    wanted = one_per_sample(target, len(start))
    curves, targets, counts = [], [], []
    for index in range(len(start)):
        ranks, sizes = _ranks(positions[index], numbers[index])
        place = ranks if axis is None else np.expand_dims(ranks, axis - 1)
        outputs = rows(predict, _points(start[index], end[index], place, len(sizes), batch_size))
        targets.append(int(outputs[0].argmax()) if wanted is None else int(wanted[index]))
        curves.append(outputs[:, targets[-1]].astype(np.float64))
        counts.append(np.concatenate([[0], np.cumsum(sizes)]))
    return _as_curve(curves, counts, targets, positions[0].size)


def _as_curve(curves: list[Any], counts: list[Any], targets: list[int], positions: int) -> Curve:
    if any(not np.array_equal(count, counts[0]) for count in counts):
        # Regions of different sizes come in another order in every sample: one axis is common to all of them.
        points = max(len(count) for count in counts)
        common = np.unique(np.linspace(0, positions, points).round().astype(np.int64))
        curves = [np.interp(common, count, curve) for count, curve in zip(counts, curves, strict=True)]
        counts = [common]
    target = np.array(targets, dtype=np.int64)
    return Curve(values=np.stack(curves), removed=counts[0], positions=positions, target=target)


def _ranks(positions: FloatArray, numbers: Labels) -> tuple[Labels, Labels]:
    """Return the rank of every position's region, and the sizes of the regions in the order of their ranks."""
    _, inverse, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    means = np.bincount(inverse.ravel(), weights=positions.ravel()) / sizes
    order = np.argsort(means, kind="stable")[::-1]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse].reshape(numbers.shape), sizes[order]


def _points(start: FloatArray, end: FloatArray, rank: Labels, count: int, batch_size: int) -> Iterator[FloatArray]:
    size = positive("batch_size", batch_size)
    for first in range(0, count + 1, size):
        done = np.arange(first, min(first + size, count + 1)).reshape(-1, *[1] * start.ndim)
        yield np.where(rank < done, end, start)


def _numbers(regions: Any, shape: tuple[int, ...]) -> Labels:
    found = np.asarray(regions)
    if found.dtype.kind not in "iu" or found.shape not in (shape, shape[1:]):
        raise InputShapeError(
            f"regions must hold whole numbers in the shape {shape[1:]} or {shape}, got {found.dtype} {found.shape}"
        )
    return np.broadcast_to(found, shape).astype(np.int64)
