"""Handwritten digits in the six scalings of the published comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
SIDE = 28
RANGES = {"0_to_1": (0.0, 1.0), "-1_to_0": (-1.0, 0.0), "-1_to_1": (-1.0, 1.0)}
#: Held out of scikit-learn's digits, for every seed of the training alike.
_HELD_OUT = 360
#: Diagonal shifts by one pixel; with the image itself, five of each.
_SHIFTS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
#: Chance of a pixel to become the image's smallest number, then its largest.
_NOISE = 0.1


@attrs.frozen(eq=False)
class Digits:
    """Images in [0, 1], shape ``(N, 28, 28)``, and their classes."""

    source: str
    train: Images
    train_labels: Labels
    test: Images
    test_labels: Labels


def load(source: str) -> Digits:
    """Return the data set.

    Parameters
    ----------
    source
        ``"digits"``: scikit-learn's 1797 digits of 8×8 pixels, enlarged; needs no network access.
        ``"mnist"``: MNIST, downloaded by Keras. Else a file of MNIST: ``mnist.npz`` with ``x_train``,
        ``y_train``, ``x_test``, ``y_test``.
    """
    if source == "digits":
        return _sklearn()
    if source == "mnist":
        from keras.datasets import mnist  # noqa: PLC0415 - only where MNIST is downloaded

        (train, train_labels), (test, test_labels) = mnist.load_data()
        return _mnist("MNIST", train, train_labels, test, test_labels)
    path = Path(source)
    if not path.is_file():
        raise SystemExit(f"there is no data set {source!r}: give digits, mnist, or a file mnist.npz")
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(arrays.files)
        if missing:
            raise SystemExit(f"{path} holds no {', '.join(sorted(missing))}; expected the arrays of Keras' mnist.npz")
        found = [arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    return _mnist(f"MNIST ({path.name})", *found)


def _mnist(source: str, train: Any, train_labels: Any, test: Any, test_labels: Any) -> Digits:
    scaled = [(np.asarray(x) / 255).astype(np.float32) for x in (train, test)]
    if any(x.shape[1:] != (SIDE, SIDE) for x in scaled):
        raise SystemExit(f"MNIST has images of 28×28 pixels, got {scaled[0].shape} and {scaled[1].shape}")
    labels = [np.asarray(y).astype(np.int64) for y in (train_labels, test_labels)]
    return Digits(source, scaled[0], labels[0], scaled[1], labels[1])


def _sklearn() -> Digits:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra that only this data set needs

    found = load_digits()
    pixels = enlarge((found.images / 16).astype(np.float32), SIDE)
    order = np.random.default_rng(0).permutation(len(pixels))
    test, train = order[:_HELD_OUT], order[_HELD_OUT:]
    labels = found.target.astype(np.int64)
    return Digits(
        "scikit-learn's digits, 8×8 enlarged to 28×28", pixels[train], labels[train], pixels[test], labels[test]
    )


def enlarge(images: Images, side: int) -> Images:
    """Return square images enlarged bilinearly, pixel centres apart alike, as image programs do."""
    places = np.clip((np.arange(side) + 0.5) * images.shape[1] / side - 0.5, 0, images.shape[1] - 1)
    low = np.minimum(places.astype(int), images.shape[1] - 2)
    part = (places - low).astype(np.float32)
    rows = images[:, low] * (1 - part)[:, None] + images[:, low + 1] * part[:, None]
    return rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part


def scale(images: Images, range_: str, *, inverted: bool) -> Images:
    """Return images in a range, as ``(N, 1, 28, 28)``; inverted means 1 − x, −(1 + x), −x by range.

    Examples
    --------
    >>> x = np.array([[[0.0, 1.0]]], dtype=np.float32)
    >>> [scale(x, name, inverted=True).ravel().tolist() for name in RANGES]
    [[1.0, 0.0], [0.0, -1.0], [1.0, -1.0]]
    """
    low, high = RANGES[range_]
    scaled = low + (high - low) * images
    if inverted:
        scaled = (low + high) - scaled
    return scaled[:, None].astype(np.float32)


def enlarged(images: Images, labels: Labels) -> tuple[Images, Labels]:
    """Return five of every image: itself and four diagonal shifts by one pixel, filled with 0."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, 1 + dy : 1 + dy + images.shape[1], 1 + dx : 1 + dx + images.shape[2]] for dy, dx in _SHIFTS]
    return np.concatenate([images, *shifted]), np.tile(labels, 1 + len(_SHIFTS))


def noisy(x: Images, random: np.random.Generator) -> Images:
    """Return images some pixels of which are their image's smallest number, and some its largest."""
    axes = tuple(range(1, x.ndim))
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    darkened = np.where(random.random(x.shape) < _NOISE, low, x)
    return np.where(random.random(x.shape) < _NOISE, high, darkened).astype(np.float32)
