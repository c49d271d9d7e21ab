"""Where relevance is strongest, as intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from signxai_core.errors import ParameterError
from signxai_core.plot.colours import finite
from signxai_core.plot.samples import Array


def intervals(
    relevance: Any, *, sampling_rate: float, quantile: float = 0.9, width: float = 0.04
) -> list[tuple[int, int, int, int]]:
    """Return the intervals of strongest relevance.

    |R| is averaged over ``width`` seconds; an interval is where the average is above its ``quantile``
    over all leads and samples, for at least ``width`` seconds.

    Parameters
    ----------
    relevance
        Leads × samples.
    sampling_rate
        In hertz.
    quantile
        Between 0 and 1; 0.9 shades a tenth of the samples at most.
    width
        In seconds.

    Returns
    -------
    list
        Lead, first sample, sample after the last, and the sign of the interval's sum.

    Examples
    --------
    >>> import numpy as np
    >>> relevance = np.zeros((1, 100))
    >>> relevance[0, 40:50] = -1
    >>> intervals(relevance, sampling_rate=100)
    [(0, 40, 50, -1)]
    """
    rows = finite(relevance)
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile must lie between 0 and 1, got {quantile}")
    count = max(1, round(width * sampling_rate))
    kernel = np.full(count, 1 / count)
    smooth = np.stack([np.convolve(np.abs(row), kernel, mode="same") for row in rows])
    strong = smooth > max(float(np.quantile(smooth, quantile)), float(smooth.max()) * 1e-9)
    found = []
    for lead, flags in enumerate(strong):
        found += [
            (lead, int(a), int(b), _sign(rows[lead, a:b]))
            for a, b in runs(flags)
            if b - a >= count and smooth[lead].any()
        ]
    return found


def runs(flags: Array) -> Array:
    """Return first and one-after-last places of the runs of True, shape ``(runs, 2)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return edges.reshape(-1, 2)


def _sign(values: Array) -> int:
    return -1 if values.sum() < 0 else 1
