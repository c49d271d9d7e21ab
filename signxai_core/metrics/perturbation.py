"""A sample while its positions are removed: how many at which point, and what takes their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from signxai_core.metrics.checks import FloatArray, positive

Indices = npt.NDArray[np.int64]
#: Stops of the published curves, the start not counted.
STOPS = 250
#: Seed of the published replacements, the same for every image.
SEED = 1


def points_of_removal(positions: int, count: int = STOPS) -> Indices:
    """Return how many positions are removed at every point of a curve.

    The start, then the ranks ``linspace(0, positions − 1, count)``, rounded down, each with all ranks
    before it; ranks that come out twice are one point.

    Examples
    --------
    >>> points_of_removal(5, 250).tolist()
    [0, 1, 2, 3, 4, 5]
    >>> published = points_of_removal(28 * 28)
    >>> len(published), published[:3].tolist(), int(published[-1])
    (251, [0, 1, 4], 784)
    """
    ranks = np.unique(np.linspace(0, positions - 1, positive("stops", count)).astype(np.int64))
    return np.concatenate([[0], ranks + 1])


def replacements(x: FloatArray, channel_axis: int | None, seed: int = SEED) -> FloatArray:
    """Return the numbers that removed positions of one sample get, in the order of removal.

    Uniform between the smallest and the largest number of the channel in this sample, one draw of as
    many numbers as there are positions per channel, channel after channel, from ``RandomState(seed)``.

    Parameters
    ----------
    x
        One sample, without a batch axis.
    channel_axis
        Of the sample.

    Returns
    -------
    Shape ``(channels, positions)``; one channel where there is no axis of channels.
    """
    parts = by_channel(x, channel_axis)
    # The legacy generator, because the published replacements came from it.
    random = np.random.RandomState(seed)
    return np.stack([random.uniform(part.min(), part.max(), part.size) for part in parts]).astype(x.dtype)


def flip(
    x: FloatArray, order: npt.NDArray[np.intp], values: FloatArray, removed: Sequence[int] | Indices, axis: int | None
) -> FloatArray:
    """Return one sample at several points of a curve, shape ``(points, ...)``.

    Parameters
    ----------
    x
        One sample, without a batch axis.
    order
        Flat indices of its positions, in the order of removal.
    values
        What they get, in that order, shape ``(channels, positions)``.
    removed
        Number of positions removed at every point.
    axis
        Axis of the channels of the sample; ``None`` without channels.
    """
    first = x[None] if axis is None else np.moveaxis(x, axis, 0)
    flat = by_channel(x, axis)
    replaced = np.empty_like(flat)
    replaced[:, order] = values
    rank = np.empty(flat.shape[1], dtype=np.int64)
    rank[order] = np.arange(flat.shape[1])
    gone = rank < np.asarray(removed)[:, None, None]
    points = np.where(gone, replaced, flat).reshape(-1, *first.shape)
    return points[:, 0] if axis is None else np.moveaxis(points, 1, axis + 1)


def by_channel(sample: FloatArray, axis: int | None) -> FloatArray:
    """Return a sample as one row per channel."""
    first = sample[None] if axis is None else np.moveaxis(sample, axis, 0)
    return first.reshape(len(first), -1)
