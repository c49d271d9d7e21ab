"""Pictures of relevance: diverging colours centred at 0, each map scaled by its own largest |R|."""

from __future__ import annotations

import io
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

COLOURS = "RdBu_r"
#: More channels than this and a series is drawn as a heat map without its lines.
_LINES = 12


@attrs.frozen(eq=False)
class Tile:
    """A small picture.

    Parameters
    ----------
    pixels
        Height × width × red, green, blue.
    lines
        Channels × time in [0, 1]: a series, drawn over the pixels, which are stretched to fit.
    """

    pixels: Pixels
    lines: Array | None = None


def heat(relevance: Array) -> Pixels:
    """Colour a plane of relevance: white at 0, red above, blue below.

    An all-zero plane is white.
    """
    plane = np.asarray(relevance, dtype=np.float64)
    largest = float(np.abs(plane).max(initial=0.0))
    scaled = plane / largest if largest > 0 else plane
    return _rgb(colormaps[COLOURS]((scaled + 1) / 2))


def _rgb(rgba: Array) -> Pixels:
    pixels: Pixels = np.rint(np.asarray(rgba)[..., :3] * 255).astype(np.uint8)
    return pixels


def _unit(values: Array) -> Array:
    """Shift and scale to [0, 1]; what is constant becomes 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def drawable(shape: tuple[int, ...]) -> bool:
    """Return whether samples of a batch of this shape can be drawn: vectors, series and images."""
    return 2 <= len(shape) <= 4


def _channels_first(sample: Array, *, channels_last: bool) -> Array:
    return np.moveaxis(sample, -1, 0) if channels_last and sample.ndim > 1 else sample


def map_tile(relevance: Array, x: Array, *, channels_last: bool) -> Tile:
    """Draw one sample's relevance: summed over the channels of an image, per channel of a series."""
    planes = np.asarray(_channels_first(relevance, channels_last=channels_last), dtype=np.float64)
    if planes.ndim == 3:
        return Tile(heat(planes.sum(axis=0)))
    return Tile(heat(np.atleast_2d(planes)), _lines(x, channels_last=channels_last))


def input_tile(x: Array, *, channels_last: bool) -> Tile:
    """Draw one sample, scaled to its own range."""
    planes = np.asarray(_channels_first(x, channels_last=channels_last), dtype=np.float64)
    if planes.ndim < 3:
        rows, columns = np.atleast_2d(planes).shape
        return Tile(np.full((rows, columns, 3), 255, dtype=np.uint8), _lines(x, channels_last=channels_last))
    grey = planes.mean(axis=0)
    colour = np.moveaxis(planes, 0, -1) if len(planes) == 3 else np.repeat(grey[..., None], 3, axis=-1)
    return Tile(_rgb(_unit(colour)))


def _lines(x: Array, *, channels_last: bool) -> Array:
    """Return the channels of a series, each in its own band of [0, 1], the first on top."""
    series = np.atleast_2d(np.asarray(_channels_first(x, channels_last=channels_last), dtype=np.float64))
    if len(series) > _LINES:
        return np.empty((0, series.shape[1]))
    bands = np.stack([_unit(channel) for channel in series])
    return (bands * 0.8 + 0.1 + np.arange(len(series))[::-1, None]) / len(series)


def png(pixels: Pixels, *, at_least: int = 1) -> bytes:
    """Encode pixels; enlarged by a whole factor until the longer side has ``at_least`` pixels."""
    factor = max(1, -(-at_least // max(pixels.shape[:2])))
    buffer = io.BytesIO()
    Image.fromarray(np.kron(pixels, np.ones((factor, factor, 1), dtype=np.uint8))).save(buffer, format="PNG")
    return buffer.getvalue()


def figure_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Encode a figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def extent(tile: Tile, side: float) -> tuple[float, float]:
    """Return width and height of a tile whose longer side is ``side``; series are square."""
    height, width = tile.pixels.shape[:2]
    if tile.lines is not None:
        return side, side
    return side * width / max(height, width), side * height / max(height, width)


def place(axes: Axes, tile: Tile, *, left: float, top: float, side: float) -> None:
    """Draw a tile below ``top`` and in the middle of ``side``; the y axis of the axes points down."""
    wide, tall = extent(tile, side)
    x0, y0 = left + (side - wide) / 2, top
    axes.imshow(tile.pixels, extent=(x0, x0 + wide, y0 + tall, y0), aspect="auto", interpolation="auto")
    axes.plot([x0, x0 + wide, x0 + wide, x0, x0], [y0, y0, y0 + tall, y0 + tall, y0], color="0.75", lw=0.4)
    for line in tile.lines if tile.lines is not None else ():
        steps = x0 + (np.arange(len(line)) + 0.5) * wide / len(line)
        axes.plot(steps, y0 + tall * (1 - line), color="black", lw=0.6)
