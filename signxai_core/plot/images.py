"""Relevance of images and spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.plot import samples
from signxai_core.plot.canvas import Drawn, axes_for, bar, frame, relevance_label
from signxai_core.plot.colours import DEFAULT, colormap, finite, limit_of, norm, rgba
from signxai_core.plot.samples import Array, Channels

#: Longest side of an image in inches.
_SIDE = 3.4


def image(
    relevance: Any,
    x: Any = None,
    *,
    ax: Axes | None = None,
    channels: Channels | None = None,
    reduce: str = "sum",
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    title: str = "",
    colorbar: bool = True,
) -> Drawn:
    """Draw one image's relevance, over the image in grey where it is given.

    Parameters
    ----------
    relevance
        One sample: height × width, with or without channels.
    x
        The image that was explained, in any range; it is drawn in grey, and relevance near 0 lets it
        show through.
    ax
        Axes to draw in; by default those of a new figure.
    channels
        ``"first"`` or ``"last"``, where the shape does not tell.
    reduce
        What becomes of channels: ``"sum"``, ``"mean"``, ``"strongest"``, ``"norm"``. The colour bar
        says which.
    cmap
        Colour map; ``"vik"`` is safe for colour-blind readers, ``"seismic"`` is customary.
    limit
        Value at which the colours end, on both sides of 0; by default the largest |R|.
    title, colorbar
        Above and beside the image.

    Returns
    -------
    Drawn
        Figure and axes.

    Examples
    --------
    >>> import numpy as np
    >>> from signxai_core import plot
    >>> figure, axes = plot.image(np.eye(8) - 0.5, title="identity")
    >>> axes.get_title()
    'identity'
    """
    flat, words = samples.plane(
        finite(samples.channels_first(relevance, channels, spatial=2, what="relevance")), reduce
    )
    end = limit_of(flat, given=limit)
    height, width = flat.shape
    longest = max(height, width)
    size = (_SIDE * width / longest + (0.9 if colorbar else 0.1), _SIDE * height / longest + (0.35 if title else 0.1))
    figure, axes = axes_for(ax, size)
    ground = None if x is None else samples.channels_first(x, channels, spatial=2, what="x")
    paint(axes, flat, ground, limit=end, cmap=cmap)
    axes.set_title(title, fontsize=10)
    if colorbar:
        bar(figure, axes, limit=end, cmap=cmap, label=relevance_label(words))
    return Drawn(figure, axes)


def paint(axes: Axes, flat: Array, ground: Array | None, *, limit: float, cmap: str | Colormap) -> None:
    """Draw a plane of relevance, over a picture (channels first) where there is one."""
    if ground is None:
        axes.imshow(flat, cmap=colormap(cmap), norm=norm(limit), interpolation="nearest")
    else:
        samples.same_shape(flat[None], ground)
        axes.imshow(samples.grey(ground), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.imshow(rgba(flat, limit, cmap, opacity=0.95), interpolation="nearest")
    frame(axes)


def picture(axes: Axes, x: Any, channels: Channels | None) -> None:
    """Draw an image as it is, scaled to its own range."""
    axes.imshow(samples.photo(samples.channels_first(x, channels, spatial=2, what="x")), interpolation="nearest")
    frame(axes)


def spectrogram(
    relevance: Any,
    x: Any = None,
    *,
    times: Any = None,
    frequencies: Any = None,
    ax: Axes | None = None,
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    title: str = "",
) -> Drawn:
    """Draw a spectrogram's relevance: time to the right, frequency upwards; contours show the power.

    Parameters
    ----------
    relevance
        One sample: frequencies × times, lowest frequency first, with or without channels (summed).
    x
        The spectrogram that was explained; three lines of equal power are drawn.
    times, frequencies
        Of columns and rows, evenly spaced, in seconds and hertz; their indices by default.
    ax, channels, cmap, limit, title
        As for :func:`image`.
    """
    flat, words = samples.plane(finite(samples.channels_first(relevance, channels, spatial=2, what="relevance")), "sum")
    end = limit_of(flat, given=limit)
    along, across = _steps(times, flat.shape[1], "times"), _steps(frequencies, flat.shape[0], "frequencies")
    half = (along[1] - along[0]) / 2, (across[1] - across[0]) / 2
    extent = (along[0] - half[0], along[-1] + half[0], across[0] - half[1], across[-1] + half[1])
    figure, axes = axes_for(ax, (6.4, 3.2))
    axes.imshow(
        flat, cmap=colormap(cmap), norm=norm(end), extent=extent, origin="lower", aspect="auto", interpolation="nearest"
    )
    if x is not None:
        power, _ = samples.plane(
            np.asarray(samples.channels_first(x, channels, spatial=2, what="x"), dtype=np.float64), "mean"
        )
        samples.same_shape(flat[None], power[None])
        levels = np.unique(np.quantile(power, (0.8, 0.9, 0.97)))
        axes.contour(along, across, power, levels=levels, colors="black", linewidths=0.5, linestyles="solid")
    axes.set_xlabel("time in s" if times is not None else "step", fontsize=8)
    axes.set_ylabel("frequency in Hz" if frequencies is not None else "bin", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=10)
    bar(figure, axes, limit=end, cmap=cmap, label=relevance_label(words))
    return Drawn(figure, axes)


def _steps(given: Any, count: int, name: str) -> Array:
    if given is None:
        return np.arange(max(count, 2), dtype=np.float64)
    places = np.asarray(given, dtype=np.float64)
    if places.shape != (count,):
        raise InputShapeError(f"{name} has shape {places.shape}; the spectrogram has {count} of them")
    gaps = np.diff(places)
    if count < 2 or gaps.min() <= 0 or not np.allclose(gaps, gaps[0]):
        raise ParameterError(f"{name} must rise in even steps; interpolate the spectrogram to a linear axis first")
    return places
