"""Samples whose classes were made by a known part of each sample."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@attrs.frozen(eq=False, kw_only=True)
class Truth:
    """Samples, their classes, and the part of each sample that makes its class.

    Parameters
    ----------
    x
        N × channels × places, channels first.
    labels
        Class of every sample.
    mask
        Of the shape of ``x``: True where a sample differs from what it would be in class 0. All False
        for samples of class 0.
    normal
        The same samples in class 0: what stands in the place of the mask there.
    elsewhere
        As many places as the mask has, or nearly, but outside of it.
    other
        What is put ``elsewhere`` as a control: the same kind of change, at a place that does not matter.
    classes
        Names; the first is the class without a mask.
    """

    x: Floats
    labels: npt.NDArray[np.int64]
    mask: Flags
    normal: Floats
    elsewhere: Flags
    other: Floats
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.x)

    def __getitem__(self, places: Any) -> Truth:
        """Return some of the samples: a slice, indices or flags."""
        names = ("x", "labels", "mask", "normal", "elsewhere", "other")
        return attrs.evolve(self, **{name: getattr(self, name)[places] for name in names})

    @property
    def marked(self) -> npt.NDArray[np.int64]:
        """Places of the samples that have a mask."""
        return np.flatnonzero(self.labels != 0)

    @property
    def coverage(self) -> npt.NDArray[np.float64]:
        """Share of each sample that its mask covers."""
        share: npt.NDArray[np.float64] = self.mask.reshape(len(self), -1).mean(axis=1)
        return share

    def without(self) -> Floats:
        """Return the samples with the marked part replaced by a normal one: their class is gone."""
        return np.where(self.mask, self.normal, self.x)

    def control(self) -> Floats:
        """Return the samples with an equal part replaced elsewhere: their class stays."""
        return np.where(self.elsewhere, self.other, self.x)


def channels_last(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples with channels last, as Keras has them; works on masks and maps, too."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def channels_first(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples with channels first again."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def centre_map(shape: tuple[int, ...]) -> Floats:
    """Return maps that know nothing but that things are in the middle: a bell over all spatial axes.

    A method that finds a truth less well than this one finds nothing. Use it beside ``random_uniform``.

    Parameters
    ----------
    shape
        N × channels × places.
    """
    bell = np.ones(shape[2:])
    for axis, length in enumerate(shape[2:]):
        steps = (np.arange(length) - (length - 1) / 2) / (length / 4)
        bell = bell * np.exp(-0.5 * steps**2).reshape([-1 if a == axis else 1 for a in range(len(shape) - 2)])
    return np.broadcast_to(bell, shape).astype(np.float32)
