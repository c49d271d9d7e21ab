"""One sample's arrays in the form in which they are drawn: planes, photographs, rows of channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, ParameterError

Array = npt.NDArray[Any]
Channels = Literal["first", "last"]

#: An axis of an image that is at most this long is taken for its channels, one of a series up to the second.
_COLOURS = 4
_LEADS = 64


def _strongest(a: Array) -> Array:
    place = np.abs(a).argmax(axis=0)[None]
    return np.asarray(np.take_along_axis(a, place, axis=0)[0])


#: Name -> what becomes of the channels, and how a colour bar says so.
REDUCTIONS: Mapping[str, tuple[Callable[[Array], Array], str]] = MappingProxyType(
    {
        "sum": (lambda a: a.sum(axis=0), "sum over channels"),
        "mean": (lambda a: a.mean(axis=0), "mean over channels"),
        "strongest": (_strongest, "channel with largest |R|"),
        "norm": (lambda a: np.sqrt((a * a).sum(axis=0)), "Euclidean norm over channels"),
    }
)


def channels_first(sample: Any, channels: Channels | None, *, spatial: int, what: str) -> Array:
    """Return one sample with its channels first.

    Parameters
    ----------
    sample
        With ``spatial`` axes, or one more for channels.
    channels
        Where they are; ``None`` reads it off the shape where only one axis can be meant.
    spatial
        2 for images, 1 for series.
    what
        Name of the array in errors.

    Raises
    ------
    InputShapeError
        When the array is not one sample, or its shape does not tell where the channels are.
    """
    array = np.asarray(sample)
    if array.ndim == spatial:
        return array[None]
    if array.ndim != spatial + 1:
        hint = f"; one sample is drawn at a time: {what}[0]" if array.ndim == spatial + 2 else ""
        raise InputShapeError(
            f"{what} has shape {array.shape}; expected {spatial} axes, or {spatial + 1} with channels{hint}"
        )
    if channels is None:
        channels = _place(array.shape, spatial, what)
    if channels not in ("first", "last"):
        raise ParameterError(f"channels must be 'first' or 'last', got {channels!r}")
    return array if channels == "first" else np.moveaxis(array, -1, 0)


def _place(shape: tuple[int, ...], spatial: int, what: str) -> Channels:
    most = _COLOURS if spatial == 2 else _LEADS
    first, last = shape[0] <= most, shape[-1] <= most
    if spatial == 1 and first and last:
        first, last = shape[0] < shape[-1], shape[-1] < shape[0]
    if first == last:
        raise InputShapeError(
            f"the shape {shape} of {what} does not tell where its channels are; say channels='first' or 'last'"
        )
    return "first" if first else "last"


def plane(relevance: Array, reduce: str) -> tuple[Array, str]:
    """Reduce channels (first axis) to one plane; return it and the words for it, empty for one channel."""
    if reduce not in REDUCTIONS:
        raise ParameterError(f"unknown reduction {reduce!r}; known: {', '.join(REDUCTIONS)}")
    function, words = REDUCTIONS[reduce]
    return function(relevance), words if len(relevance) > 1 else ""


def photo(x: Array) -> Array:
    """Return an image (channels first) for drawing, scaled to [0, 1]: three channels as colours, others grey."""
    planes = np.asarray(x, dtype=np.float64)
    planes = planes if len(planes) == 3 else planes.mean(axis=0, keepdims=True)
    low, high = float(planes.min()), float(planes.max())
    planes = (planes - low) / (high - low) if high > low else np.zeros_like(planes)
    return np.moveaxis(np.broadcast_to(planes, (3, *planes.shape[1:])), 0, -1)


def grey(x: Array) -> Array:
    """Return an image (channels first) as light grey, as a ground for colours."""
    luminance = photo(x) @ np.array([0.299, 0.587, 0.114])
    return np.asarray(0.35 + 0.65 * luminance)


def same_shape(relevance: Array, x: Array) -> None:
    """Raise unless input and relevance have the same extent; they may differ in channels."""
    if relevance.shape[1:] != x.shape[1:]:
        raise InputShapeError(
            f"the relevance covers {relevance.shape[1:]}, the input {x.shape[1:]} (without channels); "
            "they must be of the same sample"
        )
