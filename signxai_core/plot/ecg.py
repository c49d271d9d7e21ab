"""Electrocardiograms as people read them, with relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap

from signxai_core.errors import InputError, InputShapeError, ParameterError
from signxai_core.leads import STANDARD_LEADS
from signxai_core.plot import paper as papers
from signxai_core.plot import samples, strips
from signxai_core.plot.canvas import Drawn, ticks
from signxai_core.plot.colours import DEFAULT, colormap, finite, limit_of, norm, robust_limit
from signxai_core.plot.intervals import intervals
from signxai_core.plot.paper import Paper
from signxai_core.plot.samples import Array, Channels
from signxai_core.plot.strips import Look, Style

STYLES = ("trace", "band", "intervals", "bubbles")
#: No heart gives more; signals beyond are in another unit.
LARGEST_MILLIVOLTS = 30.0
_WORDS = {
    "trace": "colour along the trace",
    "band": "colour behind the trace",
    "intervals": "shaded: intervals of strongest relevance",
    "bubbles": "bubbles: area is a lead's share of all |R|, colour its sum",
}


def ecg(  # noqa: PLR0913 - what a figure may ask for, by name
    signal: Any,
    relevance: Any = None,
    *,
    sampling_rate: float,
    leads: Sequence[str] | None = None,
    layout: str = "3x4",
    style: Style = "trace",
    window: tuple[float, float] | None = None,
    rhythm: str | None = "II",
    speed: float = 25.0,
    gain: float = 10.0,
    mark: Any = None,
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Drawn:
    """Draw an ECG on millimetre paper, with its relevance.

    A figure of its own has the paper's size: printed at 100 %, a small square is one millimetre.

    Parameters
    ----------
    signal
        One recording in millivolts: leads and samples.
    relevance
        Of the same shape; without it the ECG alone is drawn.
    sampling_rate
        In hertz.
    leads
        Their names, in the order of the array; by default the twelve standard leads.
    layout
        ``"3x4"``: three rows of four leads, a quarter of the time each, and a rhythm strip; ``"12x1"``:
        one row per lead.
    style
        ``"trace"``: colour along the trace; ``"band"``: behind it; ``"intervals"``: where relevance is
        strongest (see :func:`~signxai_core.plot.intervals`); ``"bubbles"``: one per lead.
    window
        From and to, in seconds: zoom in. With 3x4 every lead shows the whole window then.
    rhythm
        Lead of the rhythm strip below 3x4; ``None`` leaves it out.
    speed, gain
        In mm/s and mm/mV.
    mark
        True where an interval is known to matter (leads and samples, or samples): a bar is drawn below
        the trace.
    channels
        ``"first"`` or ``"last"``: the axis of the leads, where the shape does not tell.
    cmap, title
        As for :func:`~signxai_core.plot.image`.
    limit
        Value at which the colours end, for all leads; by default what 99.5 % of all |R| stay below: the
        colour bar has points where some are beyond.
    ax
        Axes to draw in; their data coordinates become millimetres.

    Returns
    -------
    Drawn
        Figure and axes.
    """
    values = np.asarray(samples.channels_first(signal, channels, spatial=1, what="signal"), dtype=np.float64)
    names = _leads(leads, values)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST_MILLIVOLTS:
        raise InputError(
            f"an ECG is drawn in millivolts, and this one reaches {largest:g}: divide microvolts by 1000, or draw "
            "what is no voltage with series()"
        )
    look = None if relevance is None else _look(relevance, values, channels, style, cmap, limit, sampling_rate)
    first, count = _window(window, sampling_rate, values.shape[1])
    step = speed / sampling_rate
    together = window is not None
    placed = papers.strips(names, layout, first=first, count=count, rhythm=rhythm, step=step, together=together)
    sheet = papers.sheet(
        placed,
        values,
        names,
        layout,
        speed=speed,
        gain=gain,
        rate=sampling_rate,
        room=papers.BUBBLE if style == "bubbles" else 0.0,
    )
    if ax is None:
        figure = plt.figure(figsize=(sheet.width / papers.INCH, sheet.height / papers.INCH), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
    else:
        figure, axes = ax.figure, ax  # type: ignore[assignment]
    papers.prepare(axes, sheet)
    papers.draw_grid(axes, sheet)
    marks = (
        None if mark is None else np.broadcast_to(np.asarray(_marks(mark, values, channels), dtype=bool), values.shape)
    )
    for strip in placed:
        strips.draw(axes, sheet, strip, values, names, sampling_rate, look, marks)
    _words(axes, sheet, look, title, (first / sampling_rate, (first + count) / sampling_rate), sampling_rate)
    return Drawn(figure, axes)


def beat(  # noqa: PLR0913 - as ecg
    signal: Any,
    relevance: Any = None,
    *,
    sampling_rate: float,
    peak: int,
    before: float = 0.3,
    after: float = 0.5,
    leads: Sequence[str] | None = None,
    layout: str = "3x4",
    style: Style = "trace",
    mark: Any = None,
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    title: str = "",
) -> Drawn:
    """Zoom in on one beat, in all leads: 75 mm/s and 15 mm/mV.

    Parameters
    ----------
    peak
        Sample of its R peak, as :func:`signxai_core.ecg.r_peaks` finds it.
    before, after
        Seconds to show around it.
    signal, relevance, sampling_rate, leads, layout, style, mark, channels, cmap, limit, title
        As for :func:`ecg`.
    """
    centre = peak / sampling_rate
    return ecg(
        signal,
        relevance,
        sampling_rate=sampling_rate,
        leads=leads,
        layout=layout,
        style=style,
        window=(centre - before, centre + after),
        speed=75.0,
        gain=15.0,
        mark=mark,
        channels=channels,
        cmap=cmap,
        limit=limit,
        title=title,
    )


def _leads(leads: Sequence[str] | None, values: Array) -> list[str]:
    if leads is None:
        if len(values) != len(STANDARD_LEADS):
            raise InputError(f"the signal has {len(values)} leads, not twelve; give their names: leads=[...]")
        return list(STANDARD_LEADS)
    if len(leads) != len(values):
        raise InputShapeError(f"{len(leads)} names of leads for {len(values)} leads")
    return list(leads)


def _look(
    relevance: Any,
    values: Array,
    channels: Channels | None,
    style: Style,
    cmap: str | Colormap,
    limit: float | None,
    rate: float,
) -> Look:
    rows = finite(samples.channels_first(relevance, channels, spatial=1, what="relevance"))
    if rows.shape != values.shape:
        raise InputShapeError(f"the relevance has shape {rows.shape}, the signal {values.shape} (leads first)")
    if style not in STYLES:
        raise ParameterError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
    shaded = tuple(intervals(rows, sampling_rate=rate)) if style == "intervals" else ()
    end = limit_of(rows.sum(axis=1), given=limit) if style == "bubbles" else robust_limit(rows, limit)
    return Look(relevance=rows, limit=end, cmap=cmap, style=style, shaded=shaded)


def _window(window: tuple[float, float] | None, rate: float, length: int) -> tuple[int, int]:
    if window is None:
        return 0, length
    first, stop = max(0, round(window[0] * rate)), min(length, round(window[1] * rate))
    if stop - first < 2:
        raise ParameterError(f"the window {window} in seconds holds no signal, which lasts {length / rate:g} s")
    return first, stop - first


def _marks(mark: Any, values: Array, channels: Channels | None) -> Array:
    array = np.asarray(mark)
    if array.ndim == 2:
        array = samples.channels_first(array, channels, spatial=1, what="mark")
    if array.shape[-1] != values.shape[1] or (array.ndim == 2 and len(array) != len(values)):
        raise InputShapeError(f"mark has shape {np.shape(mark)}, the signal {values.shape} (leads first)")
    return array


def _words(axes: Axes, sheet: Paper, look: Look | None, title: str, seconds: tuple[float, float], rate: float) -> None:
    axes.text(papers.LEFT - 10, sheet.height - 4, title, fontsize=10, va="top", ha="left")
    parts = [
        f"{sheet.speed:g} mm/s",
        f"{sheet.gain:g} mm/mV",
        f"{rate:g} Hz",
        f"{seconds[0]:.3g} to {seconds[1]:.3g} s",
    ]
    if look is not None:
        parts.append(_WORDS[look.style])
    axes.text(papers.LEFT - 10, 5.0, "   ".join(parts), fontsize=7.5, va="center", color="0.2")
    if look is None or look.style == "intervals":
        return
    wide = min(40.0, sheet.width / 5)
    inset = axes.inset_axes((sheet.width - wide - 10, 6.5, wide, 2.2), transform=axes.transData)
    beyond = "both" if look.style != "bubbles" and np.abs(look.relevance).max() > look.limit else "neither"
    drawn = axes.figure.colorbar(
        ScalarMappable(norm(look.limit), colormap(look.cmap)), cax=inset, orientation="horizontal", extend=beyond
    )
    drawn.set_ticks([-look.limit, 0, look.limit], labels=ticks(look.limit))
    drawn.ax.tick_params(labelsize=6.5, length=2, pad=1)
    axes.text(sheet.width - wide - 12, 7.6, "relevance", fontsize=7.5, va="center", ha="right", color="0.2")
