"""Whether a map adds up to what it explains."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from signxai_core.errors import InputShapeError
from signxai_core.metrics.checks import Float64, batch


@attrs.frozen(eq=False)
class Completeness:
    """Sum of every sample's relevance against what it should be.

    Parameters
    ----------
    total, expected
        Shape ``(N,)``, float64.
    """

    total: Float64
    expected: Float64

    @property
    def gap(self) -> Float64:
        """``total − expected``."""
        return self.total - self.expected

    @property
    def relative(self) -> Float64:
        """The gap as a share of ``|expected|``; NaN where that is 0."""
        size = np.abs(self.expected)
        found: Float64 = np.divide(np.abs(self.gap), size, out=np.full(len(size), np.nan), where=size > 0)
        return found


def completeness(relevance: Any, output: Any, baseline: Any = 0.0) -> Completeness:
    """Return whether relevance sums to ``f(x) − f(baseline)`` (Sundararajan et al. 2017).

    Parameters
    ----------
    relevance
        Maps, shape ``(N, ...)``.
    output
        ``f(x)`` of every sample: the explained logit.
    baseline
        ``f`` at the point of no relevance; 0 for LRP.

    Examples
    --------
    >>> found = completeness([[1.0, 2.0]], [2.0])
    >>> found.gap.tolist(), found.relative.tolist()
    ([1.0], [0.5])
    """
    maps = batch(relevance, "relevance")
    total: Float64 = maps.reshape(len(maps), -1).sum(axis=1, dtype=np.float64)
    expected = np.asarray(output, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if expected.shape != total.shape:
        raise InputShapeError(
            f"output − baseline has the shape {expected.shape}, expected one number per sample, ({len(maps)},)"
        )
    return Completeness(total, expected)
