"""Averages of an ECG's relevance: per lead, and per beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from signxai_core.errors import InputError, InputShapeError, ParameterError
from signxai_core.leads import STANDARD_LEADS
from signxai_core.plot import samples
from signxai_core.plot.canvas import Drawn, axes_for, bar
from signxai_core.plot.colours import DEFAULT, finite, limit_of, rgba
from signxai_core.plot.samples import Array, Channels
from signxai_core.plot.series import bars


def lead_averages(
    relevance: Any,
    *,
    leads: Sequence[str] | None = None,
    absolute: bool = False,
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    ax: Axes | None = None,
    title: str = "",
) -> Drawn:
    """Draw the average relevance of every lead as bars.

    Parameters
    ----------
    relevance
        One sample: leads and samples.
    leads
        Their names; by default the twelve standard leads.
    absolute
        Average |R| instead, so that positive and negative relevance do not cancel.
    channels
        ``"first"`` or ``"last"``, where the shape does not tell.
    cmap, ax, title
        As for :func:`~signxai_core.plot.image`.
    """
    rows = finite(samples.channels_first(relevance, channels, spatial=1, what="relevance"))
    means = np.abs(rows).mean(axis=1) if absolute else rows.mean(axis=1)
    label = "mean |relevance|" if absolute else "mean relevance"
    return bars(means, names=_leads(leads, len(rows)), ax=ax, cmap=cmap, title=title, label=label)


def beat_average(  # noqa: PLR0913 - what a figure may ask for, by name
    signal: Any,
    relevance: Any,
    *,
    sampling_rate: float,
    peaks: Sequence[int],
    before: float = 0.3,
    after: float = 0.5,
    leads: Sequence[str] | None = None,
    channels: Channels | None = None,
    cmap: str | Colormap = DEFAULT,
    limit: float | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Drawn:
    """Draw relevance averaged over beats: one row per lead, the average beat over it.

    Parameters
    ----------
    signal, relevance
        One recording: leads and samples.
    sampling_rate
        In hertz.
    peaks
        Samples of the R peaks, as :func:`signxai_core.ecg.r_peaks` finds them; beats that the
        recording cuts off are left out.
    before, after
        Seconds around the peaks.
    leads, channels, cmap, limit, ax, title
        As for :func:`~signxai_core.plot.ecg`.
    """
    values = np.asarray(samples.channels_first(signal, channels, spatial=1, what="signal"), dtype=np.float64)
    rows = finite(samples.channels_first(relevance, channels, spatial=1, what="relevance"))
    if rows.shape != values.shape:
        raise InputShapeError(f"the relevance has shape {rows.shape}, the signal {values.shape} (leads first)")
    names = _leads(leads, len(rows))
    left, right = round(before * sampling_rate), round(after * sampling_rate)
    whole = [int(peak) for peak in peaks if peak >= left and peak + right <= values.shape[1]]
    if not whole:
        raise InputError(f"none of the {len(peaks)} beats lies whole in the recording of {values.shape[1]} samples")
    mean_beat = np.mean([values[:, p - left : p + right] for p in whole], axis=0)
    mean_relevance = np.mean([rows[:, p - left : p + right] for p in whole], axis=0)
    end = limit_of(mean_relevance, given=limit)
    figure, axes = axes_for(ax, (6.4, 0.9 + 0.5 * len(rows)))
    _rows(axes, mean_beat, mean_relevance, end, cmap, (-left / sampling_rate, right / sampling_rate))
    axes.set_yticks(np.arange(len(rows)), names)
    axes.set_xlabel("time from the R peak in s", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=10)
    bar(figure, axes, limit=end, cmap=cmap, label=f"relevance, mean of {len(whole)} beats", shrink=0.6)
    return Drawn(figure, axes)


def _rows(
    axes: Axes, beat: Array, relevance: Array, end: float, cmap: str | Colormap, seconds: tuple[float, float]
) -> None:
    extent = (*seconds, len(beat) - 0.5, -0.5)
    axes.imshow(rgba(relevance, end, cmap, opacity=0.95), extent=extent, aspect="auto", interpolation="nearest")
    times = np.linspace(*seconds, beat.shape[1], endpoint=False)
    height = float(np.ptp(beat, axis=1).max()) or 1.0
    for place, line in enumerate(beat):
        middle = (float(line.max()) + float(line.min())) / 2
        axes.plot(times, place - (line - middle) / height * 0.85, color="black", lw=0.8)
        if place:
            axes.axhline(place - 0.5, color="0.7", lw=0.4)
    axes.axvline(0, color="0.4", lw=0.6, ls=":")
    axes.set_ylim(len(beat) - 0.5, -0.5)
    axes.set_xlim(*seconds)


def _leads(leads: Sequence[str] | None, count: int) -> list[str]:
    if leads is None:
        if count != len(STANDARD_LEADS):
            raise InputError(f"there are {count} leads, not twelve; give their names: leads=[...]")
        return list(STANDARD_LEADS)
    if len(leads) != count:
        raise ParameterError(f"{len(leads)} names of leads for {count} leads")
    return list(leads)
