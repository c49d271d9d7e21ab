"""One lead's strip on ECG paper, with its relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Circle, Rectangle

from signxai_core.plot import paper as papers
from signxai_core.plot.colours import colormap, norm, rgba
from signxai_core.plot.paper import Paper, Strip
from signxai_core.plot.samples import Array
from signxai_core.plot.series import coloured_line

Style = Literal["trace", "band", "intervals", "bubbles"]


@attrs.frozen(eq=False, kw_only=True)
class Look:
    """What relevance looks like on this sheet."""

    relevance: Array
    limit: float
    cmap: str | Colormap
    style: Style
    shaded: tuple[tuple[int, int, int, int], ...] = ()


def draw(
    axes: Axes,
    sheet: Paper,
    strip: Strip,
    values: Array,
    names: Sequence[str],
    rate: float,
    look: Look | None,
    marks: Array | None,
) -> None:
    """Draw one strip: relevance, marks, the trace, the name of its lead."""
    lead, base = names.index(strip.lead), sheet.baselines[strip.row]
    across = sheet.across(strip, rate)
    up = base + values[lead, strip.start : strip.stop] * sheet.gain
    if look is not None:
        _relevance(axes, sheet, strip, lead, across, up, look)
    if marks is not None:
        _bars(axes, across, marks[lead, strip.start : strip.stop], float(up.min()) - 2.5)
    axes.plot(across, up, color="black", lw=0.75, solid_joinstyle="round", zorder=2.5)
    axes.plot([strip.left] * 2, [base - 2.5, base + 2.5], color="black", lw=0.5)
    level = _level(across, up, base)
    words: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": 8, "weight": "bold", "zorder": 4}
    axes.text(
        strip.left + 1.0, level, strip.lead, bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.6}, **words
    )


def _level(across: Array, up: Array, base: float) -> float:
    """Return where a lead's name stands: above the beginning of its trace."""
    near = up[across <= across[0] + papers.NAME]
    return max(base + 4.0, float(near.max()) + 1.5)


def _relevance(axes: Axes, sheet: Paper, strip: Strip, lead: int, across: Array, up: Array, look: Look) -> None:
    part = look.relevance[lead, strip.start : strip.stop]
    low, high = float(up.min()) - 1.5, float(up.max()) + 1.5
    if look.style == "trace":
        axes.add_collection(coloured_line(across, up, part, limit=look.limit, cmap=look.cmap, width=4.5))
    elif look.style == "band":
        step = across[1] - across[0]
        extent = (across[0] - step / 2, across[-1] + step / 2, low, high)
        axes.imshow(
            rgba(part, look.limit, look.cmap, opacity=0.9)[None],
            extent=extent,
            aspect="equal",
            interpolation="nearest",
            zorder=1.0,
        )
        axes.set_aspect("equal")
    elif look.style == "intervals":
        for _, start, stop, sign in (entry for entry in look.shaded if entry[0] == lead):
            a, b = max(start, strip.start) - strip.start, min(stop, strip.stop) - strip.start
            if b > a:
                colour = colormap(look.cmap)(0.8 if sign > 0 else 0.2)
                wide = across[b - 1] - across[a]
                axes.add_patch(
                    Rectangle((across[a], low), wide, high - low, fc=colour, ec="none", alpha=0.45, zorder=1.0)
                )
    else:
        _bubble(axes, strip, _level(across, up, sheet.baselines[strip.row]), lead, look)


def _bubble(axes: Axes, strip: Strip, level: float, lead: int, look: Look) -> None:
    weight = np.abs(look.relevance).sum(axis=1)
    share = float(weight[lead] / (weight.sum() or 1.0))
    colour = colormap(look.cmap)(norm(look.limit)(float(look.relevance[lead].sum())))
    radius = papers.BUBBLE * float(np.sqrt(share / (weight.max() / (weight.sum() or 1.0) or 1.0)))
    centre = (strip.left + 14.0, level + 1.5)
    axes.add_patch(Circle(centre, radius, fc=colour, ec="0.2", lw=0.5, alpha=0.85, zorder=3))
    text = axes.text(*centre, f"{share:.0%}", ha="center", va="center", fontsize=6, zorder=4)
    text.set_color("white" if np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5 and radius > 2.5 else "black")


def _bars(axes: Axes, across: Array, marked: Array, level: float) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        axes.plot([across[a], across[b - 1]], [level] * 2, color="#1b7837", lw=2.2, solid_capstyle="butt", zorder=3)
