"""Relevance of series of any kind, of vectors, and averages over channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.plot import samples
from signxai_core.plot.canvas import Drawn, axes_for, bar, relevance_label
from signxai_core.plot.colours import DEFAULT, colormap, finite, limit_of, norm, rgba
from signxai_core.plot.samples import Array, Channels

Style = Literal["band", "trace"]
#: Steps of colour along a trace; equal neighbours are one line.
_LEVELS = 41


def series(
    relevance: Any,
    x: Any,
    *,
    sampling_rate: float | None = None,
    names: Sequence[str] | None = None,
    style: Style = "band",
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    title: str = "",
) -> Drawn:
    """Draw a series with its relevance: one row per channel, one scale for all.

    Parameters
    ----------
    relevance, x
        One sample: channels and steps, or steps alone.
    sampling_rate
        In hertz; the axis is in seconds then, else in steps.
    names
        Of the channels.
    style
        ``"band"``: colour behind the line; ``"trace"``: along it.
    channels
        ``"first"`` or ``"last"``, where the shape does not tell.
    cmap, limit, title
        As for :func:`~signxai_core.plot.image`.

    Returns
    -------
    Drawn
        Figure and axes, shape ``(channels,)``.
    """
    rows = finite(samples.channels_first(relevance, channels, spatial=1, what="relevance"))
    values = np.asarray(samples.channels_first(x, channels, spatial=1, what="x"), dtype=np.float64)
    if rows.shape != values.shape:
        raise InputShapeError(f"the relevance has shape {rows.shape}, the series {values.shape} (channels first)")
    labels = _names(names, len(rows))
    end = limit_of(rows, given=limit)
    step = 1.0 if sampling_rate is None else 1.0 / sampling_rate
    times = np.arange(rows.shape[1]) * step
    height = min(1.1, max(0.45, 9.0 / len(rows)))
    figure, axes = plt.subplots(
        len(rows), 1, sharex=True, squeeze=False, figsize=(8, 0.9 + height * len(rows)), layout="constrained"
    )
    places = axes[:, 0]
    for place, line, part, label in zip(places, values, rows, labels, strict=True):
        _row(place, times, line, part, step, end, cmap, style)
        place.set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
    places[0].set_title(title, fontsize=10)
    places[-1].set_xlabel("step" if sampling_rate is None else "time in s", fontsize=8)
    bar(figure, list(places), limit=end, cmap=cmap, label=relevance_label(), shrink=min(1.0, 3.0 / len(rows) + 0.3))
    return Drawn(figure, places)


def _row(
    axes: Axes, times: Array, line: Array, part: Array, step: float, end: float, cmap: str | Colormap, style: Style
) -> None:
    low, high = float(line.min()), float(line.max())
    margin = 0.12 * (high - low) or 1.0
    left, right = times[0] - step / 2, times[-1] + step / 2
    if style == "band":
        colours = rgba(part, end, cmap, opacity=0.95)[None]
        extent = (left, right, low - margin, high + margin)
        axes.imshow(colours, extent=extent, aspect="auto", interpolation="nearest")
    elif style == "trace":
        axes.add_collection(coloured_line(times, line, part, limit=end, cmap=cmap, width=4.0))
    else:
        raise ParameterError(f"unknown style {style!r}; known: band, trace")
    axes.plot(times, line, color="black", lw=0.7)
    axes.set_xlim(left, right)
    axes.set_ylim(low - margin, high + margin)
    axes.tick_params(labelsize=7)


def coloured_line(
    across: Array, up: Array, relevance: Array, *, limit: float, cmap: str | Colormap, width: float
) -> LineCollection:
    """Return a line whose colour follows relevance; where that is near 0, the line is transparent.

    Neighbours of one colour are one line, so that vector files stay small.
    """
    levels = np.rint((np.clip(relevance / limit, -1, 1) + 1) / 2 * (_LEVELS - 1)).astype(int)
    starts = np.flatnonzero(np.diff(levels, prepend=levels[0] - 1))
    ends = np.append(starts[1:], len(levels) - 1)
    points = np.column_stack([across, up])
    shown = [(a, b) for a, b in zip(starts, ends, strict=True) if levels[a] != _LEVELS // 2]
    centred = np.array([levels[a] / (_LEVELS - 1) * 2 - 1 for a, _ in shown])
    return LineCollection(
        [points[a : b + 1] for a, b in shown],
        colors=rgba(centred, 1.0, cmap, opacity=0.95, power=0.4) if shown else None,
        linewidths=width,
        capstyle="butt",
        zorder=1.5,
    )


def bars(
    relevance: Any,
    *,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    title: str = "",
    label: str = "relevance",
) -> Drawn:
    """Draw one number per feature as bars: relevance of a vector, or of channels.

    Parameters
    ----------
    relevance
        One sample, shape ``(features,)``.
    names
        Of the features.
    ax, cmap, limit, title
        As for :func:`~signxai_core.plot.image`.
    label
        Of the axis.
    """
    values = finite(relevance)
    if values.ndim != 1:
        raise InputShapeError(f"relevance has shape {values.shape}; bars take one number per feature")
    labels = _names(names, len(values))
    end = limit_of(values, given=limit)
    figure, axes = axes_for(ax, (5, 0.8 + 0.24 * len(values)))
    places = np.arange(len(values))
    axes.barh(places, values, color=colormap(cmap)(norm(end)(values)), edgecolor="0.3", linewidth=0.4)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", lw=0.6)
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return Drawn(figure, axes)


def _names(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [str(index) for index in range(count)] if count > 1 else [""]
    if len(names) != count:
        raise ParameterError(f"{len(names)} names for {count} channels")
    return list(names)
