"""Whether a truth is true for a network, and which methods find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.data.truth import Truth
from signxai_core.metrics import mass_accuracy, rank_accuracy

#: From samples, channels first, to the class of each.
Classify = Callable[[npt.NDArray[Any]], npt.NDArray[np.int64]]


@attrs.frozen(kw_only=True)
class Check:
    """How far a network's decisions rest on the marked parts.

    Parameters
    ----------
    accuracy
        Share of the samples that the network gets right.
    changed
        Of the samples with a mask that it gets right: share whose class changes when the marked part is
        replaced by a normal one.
    changed_elsewhere
        The same, with an equal part replaced elsewhere.
    coverage
        Largest share of a sample that its mask covers.
    """

    accuracy: float
    changed: float
    changed_elsewhere: float
    coverage: float

    @property
    def holds(self) -> bool:
        """Whether maps can be judged by this truth and this network."""
        return self.accuracy >= 0.95 and self.changed >= 0.9 and self.changed_elsewhere <= 0.1 and self.coverage <= 0.25


def check(classify: Classify, truth: Truth) -> Check:
    """Try whether the marked parts make the classes, for this network.

    Parameters
    ----------
    classify
        From samples, channels first, to the class of each.
    truth
        Samples that the network was not trained on.
    """
    right = right_ones(classify, truth)
    kept = truth[right]
    return Check(
        accuracy=float(np.mean(classify(truth.x) == truth.labels)),
        changed=float(np.mean(classify(kept.without()) != kept.labels)),
        changed_elsewhere=float(np.mean(classify(kept.control()) != kept.labels)),
        coverage=float(truth.coverage.max()),
    )


def right_ones(classify: Classify, truth: Truth) -> npt.NDArray[np.int64]:
    """Return the places of samples with a mask that the network gets right."""
    marked = truth.marked
    return np.asarray(marked[classify(truth.x[marked]) == truth.labels[marked]])


def found(relevance: Any, truth: Truth) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return relevance mass and rank accuracy in the marked part, per sample.

    Parameters
    ----------
    relevance
        N × channels × places. In images, the channels of a pixel are summed; in an ECG, each lead counts
        by itself.
    truth
        The samples, all with a mask.
    """
    axis = 1 if np.ndim(relevance) == 4 else None
    mask = truth.mask[:, 0] if axis == 1 else truth.mask
    return mass_accuracy(relevance, mask, channel_axis=axis), rank_accuracy(relevance, mask, channel_axis=axis)
