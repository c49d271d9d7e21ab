"""Means with confidence intervals, by the bootstrap."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.metrics.checks import Float64, positive

_RESAMPLES = 10_000
#: Resamples drawn at a time, so that many values need little memory.
_AT_A_TIME = 500


@attrs.frozen
class Interval:
    """A mean and its confidence interval.

    Parameters
    ----------
    mean, low, high
        The interval holds the true mean with the level's probability.
    deviation
        Standard deviation of the values (divisor N).
    count
        Number of independent values.
    """

    mean: float
    low: float
    high: float
    deviation: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(
    values: Any, *, level: float = 0.95, groups: Any = None, resamples: int = _RESAMPLES, random_state: int = 0
) -> Interval:
    """Return the mean of values and its percentile-bootstrap interval; NaN are left out.

    For a difference between two methods give the differences on the same samples.

    Parameters
    ----------
    values
        One number per sample, shape ``(N,)``.
    level
        Of confidence.
    groups
        One label per value where some belong together (the same image under several models): groups are
        resampled, not values.
    resamples, random_state
        Of the bootstrap.

    Examples
    --------
    >>> print(mean_interval([1.0, 1.0, 1.0]))
    1.000 [1.000, 1.000]
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise InputShapeError(f"values must be one number per sample, got the shape {numbers.shape}")
    if not (isinstance(level, (int, float)) and 0 < level < 1):
        raise ParameterError(f"level must lie between 0 and 1, got {level!r}")
    kept = np.isfinite(numbers)
    if not kept.any():
        return Interval(np.nan, np.nan, np.nan, np.nan, 0)
    sums, sizes = _grouped(numbers, kept, groups)
    random = np.random.default_rng(random_state)
    means: list[Float64] = []
    for start in range(0, positive("resamples", resamples), _AT_A_TIME):
        drawn = random.integers(0, len(sums), (min(_AT_A_TIME, resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    used = numbers[kept]
    return Interval(float(used.mean()), float(low), float(high), float(used.std()), len(sums))


def _grouped(numbers: Float64, kept: Any, groups: Any) -> tuple[Float64, Float64]:
    """Return sum and number of the values of every group."""
    if groups is None:
        return numbers[kept], np.ones(int(kept.sum()))
    labels = np.asarray(groups)
    if labels.shape != numbers.shape:
        raise InputShapeError(f"groups has the shape {labels.shape}, expected that of values, {numbers.shape}")
    _, inverse = np.unique(labels[kept], return_inverse=True)
    member = inverse[None] == np.arange(inverse.max() + 1)[:, None]
    return (member * numbers[kept]).sum(axis=1), member.sum(axis=1, dtype=np.float64)
