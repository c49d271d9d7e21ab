"""ECG paper: millimetres, rows and columns of leads, calibration marks.

All coordinates are millimetres on paper: x to the right from the left edge, y upwards from the lower
edge. At 25 mm/s and 10 mm/mV a small square is 40 ms wide and 0.1 mV high.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from signxai_core.errors import InputError, ParameterError
from signxai_core.plot.samples import Array

INCH = 25.4
#: Edges of the paper around the traces.
LEFT, RIGHT, TOP, BOTTOM = 16.0, 6.0, 12.0, 14.0
#: A row is at least this high; higher where traces would meet.
_ROWS = {"3x4": 25.0, "12x1": 15.0}
_FINE, _COARSE = "#f6dcd6", "#e8ada0"
#: Room for the words and the colour bar below the traces.
_NARROWEST = 220.0
#: Width of a lead's name, and largest radius of a bubble beside it.
NAME, BUBBLE = 19.0, 4.5
_PULSE = 1.0  # millivolt
_PULSE_SECONDS = 0.2

#: Rows of the layout with three rows, by column.
STANDARD = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))


@attrs.frozen(kw_only=True)
class Strip:
    """A stretch of one lead in one place of the paper.

    Parameters
    ----------
    lead
        Its name.
    row
        Row of the paper, from the top.
    left
        Where it begins, in mm.
    start, stop
        Samples that it shows.
    """

    lead: str
    row: int
    left: float
    start: int
    stop: int


@attrs.frozen(kw_only=True)
class Paper:
    """Scale and size of a sheet.

    Parameters
    ----------
    speed, gain
        In mm per second and mm per millivolt.
    width, height
        In mm.
    baselines
        Of the rows, in mm from the lower edge.
    """

    speed: float
    gain: float
    width: float
    height: float
    baselines: tuple[float, ...]

    def across(self, strip: Strip, sampling_rate: float) -> Array:
        """Return the places of a strip's samples."""
        return strip.left + np.arange(strip.stop - strip.start) * (self.speed / sampling_rate)


def strips(
    leads: Sequence[str], layout: str, *, first: int, count: int, rhythm: str | None, step: float, together: bool
) -> tuple[Strip, ...]:
    """Share leads out over the paper.

    Parameters
    ----------
    leads
        Those there are.
    layout
        ``"3x4"`` or ``"12x1"``, which has as many rows as there are leads.
    first, count
        Samples to show.
    rhythm
        Lead that is drawn below the three rows over the whole time.
    step
        Millimetres per sample.
    together
        Every cell shows all samples, and not the next quarter.
    """
    if layout not in _ROWS:
        raise ParameterError(f"unknown layout {layout!r}; known: {', '.join(_ROWS)}")
    stop = first + count
    if layout == "12x1":
        return tuple(Strip(lead=n, row=i, left=LEFT, start=first, stop=stop) for i, n in enumerate(leads))
    missing = [name for row in STANDARD for name in row if name not in leads]
    if missing:
        raise InputError(f"the layout 3x4 needs the twelve standard leads; {', '.join(missing)} are missing. Use 12x1")
    found = []
    gap = 4.0 if together else 0.0
    for row, names in enumerate(STANDARD):
        for column, name in enumerate(names):
            begin = first if together else first + column * count // 4
            end = stop if together else first + (column + 1) * count // 4
            left = LEFT + column * (count * step + gap) if together else LEFT + (begin - first) * step
            found.append(Strip(lead=name, row=row, left=left, start=begin, stop=end))
    if rhythm is not None and not together:
        if rhythm not in leads:
            raise InputError(
                f"the rhythm strip is of lead {rhythm!r}, which is not there; there are {', '.join(leads)}"
            )
        found.append(Strip(lead=rhythm, row=3, left=LEFT, start=first, stop=stop))
    return tuple(found)


def sheet(
    placed: Sequence[Strip],
    signal: Array,
    leads: Sequence[str],
    layout: str,
    *,
    speed: float,
    gain: float,
    rate: float,
    room: float,
) -> Paper:
    """Measure the paper: rows far enough apart that traces do not meet, in steps of 5 mm.

    ``room`` is left above the leads' names.
    """
    rows = 1 + max(strip.row for strip in placed)
    above, below = np.zeros(rows), np.zeros(rows)
    for strip in placed:
        part = signal[leads.index(strip.lead), strip.start : strip.stop] * gain
        above[strip.row] = max(above[strip.row], float(part.max(initial=0.0)) + room, 4.0 + room)
        below[strip.row] = max(below[strip.row], float(-part.min(initial=0.0)))
    above[0] = max(above[0], _PULSE * gain)
    least = _ROWS[layout]
    steps = [5 * np.ceil(max(least, below[i] + above[i + 1] + 5) / 5) for i in range(rows - 1)]
    last = BOTTOM + 5 * np.ceil(max(least / 2, below[-1] + 3) / 5)
    baselines = (last + np.append(np.cumsum(steps[::-1])[::-1], 0)).tolist()
    right = max(strip.left + (strip.stop - strip.start) * speed / rate for strip in placed)
    top = 5 * np.ceil(max(least / 2, above[0] + 6) / 5)
    return Paper(
        speed=speed,
        gain=gain,
        width=max(_NARROWEST, float(5 * np.ceil((right + RIGHT) / 5))),
        height=float(baselines[0] + top + TOP),
        baselines=tuple(baselines),
    )


def draw_grid(axes: Axes, paper: Paper) -> None:
    """Draw lines at every millimetre, stronger ones every five, and a calibration pulse in every row."""
    low, high = BOTTOM - 2, paper.height - TOP
    left, right = LEFT - 10, paper.width - RIGHT + 3
    for spacing, colour, width in ((1, _FINE, 0.35), (5, _COARSE, 0.6)):
        # Lines are counted from the first baseline and from time 0, so that both lie on strong ones.
        vertical = LEFT + spacing * np.arange(np.ceil((left - LEFT) / spacing), np.floor((right - LEFT) / spacing) + 1)
        base = paper.baselines[-1]
        level = base + spacing * np.arange(np.ceil((low - base) / spacing), np.floor((high - base) / spacing) + 1)
        lines = [((v, level[0]), (v, level[-1])) for v in vertical]
        lines += [((vertical[0], v), (vertical[-1], v)) for v in level]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=0.5))
    wide = _PULSE_SECONDS * paper.speed
    if wide <= LEFT - 8:
        tall = _PULSE * paper.gain
        for base in paper.baselines:
            start = LEFT - wide - 2
            pulse = np.array([(-1, 0), (0, 0), (0, tall), (wide, tall), (wide, 0), (wide + 1, 0)])
            axes.plot(start + pulse[:, 0], base + pulse[:, 1], color="black", lw=0.7)


def prepare(axes: Axes, paper: Paper) -> None:
    """Give the axes the paper's millimetres."""
    axes.set_xlim(0, paper.width)
    axes.set_ylim(0, paper.height)
    axes.set_aspect("equal")
    axes.axis("off")
