"""Handwritten digits, as images and as time series."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

CLASSES = 10
#: Classes whose first held-out digit is explained.
SHOWN = (3, 5, 8)
_HELD_OUT = 360
#: Of the split; the same for every seed of the training, so that accuracies can be compared.
_SPLIT = 0


@attrs.frozen(eq=False)
class Split:
    """Samples to train on, and others to test on."""

    train: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    test: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]

    def shown(self) -> npt.NDArray[np.int64]:
        """Return the places of the digits to explain: the first held-out one of every class in SHOWN."""
        return np.array([int(np.argmax(self.test_labels == label)) for label in SHOWN])


def images(channel_axis: int) -> Split:
    """Return the 1797 digits of 8×8 pixels, scaled to [0, 1], as images of one channel."""
    return _split(np.expand_dims(_pixels(), channel_axis % 4))


def series(channel_axis: int) -> Split:
    """Return the same digits, read row by row: 8 time steps (rows) of 8 channels (columns)."""
    return _split(np.moveaxis(_pixels(), 2, channel_axis % 3))


def _pixels() -> npt.NDArray[Any]:
    pixels: npt.NDArray[Any] = load_digits().images
    return (pixels / 16).astype(np.float32)


def _split(x: npt.NDArray[np.float32]) -> Split:
    labels = np.asarray(load_digits().target, dtype=np.int64)
    order = np.random.default_rng(_SPLIT).permutation(len(x))
    test, train = order[:_HELD_OUT], order[_HELD_OUT:]
    return Split(np.ascontiguousarray(x[train]), labels[train], np.ascontiguousarray(x[test]), labels[test])
