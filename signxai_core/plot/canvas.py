"""Figures and axes, and what every kind of figure shares: titles, colour bars, files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from signxai_core.errors import FileError
from signxai_core.plot.colours import colormap, norm

#: Resolution of pixels in files: a column of a journal at print quality.
DPI = 300
#: File types that :func:`save` writes.
TYPES = (".png", ".svg", ".pdf")


class Drawn(NamedTuple):
    """A figure and what was drawn in it: ``figure, axes = plot.image(...)``."""

    figure: Figure | SubFigure
    axes: Any


def axes_for(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure | SubFigure, Axes]:
    """Return the given axes with their figure, or new ones of ``size`` inches."""
    if ax is not None:
        return ax.figure, ax
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    return figure, axes


def bar(
    figure: Figure | SubFigure,
    axes: Any,
    *,
    limit: float,
    cmap: str | Colormap,
    label: str,
    orientation: str = "vertical",
    shrink: float = 0.85,
    cax: Axes | None = None,
) -> None:
    """Add a colour bar from −limit to limit with ticks at both ends and 0.

    It takes its place from ``axes``, or is drawn in ``cax``.
    """
    mappable = ScalarMappable(norm(limit), colormap(cmap))
    place: dict[str, Any] = {"cax": cax} if cax is not None else {"ax": axes, "shrink": shrink, "aspect": 24}
    drawn = figure.colorbar(mappable, orientation=orientation, **place)
    drawn.set_ticks([-limit, 0, limit], labels=ticks(limit))
    drawn.set_label(label, fontsize=8)
    drawn.ax.tick_params(labelsize=7, length=2, pad=1.5)
    drawn.outline.set_linewidth(0.4)


def ticks(limit: float) -> list[str]:
    """Label the ends and the middle of a colour bar."""
    return [f"−{limit:.3g}", "0", f"{limit:.3g}"]


def frame(axes: Axes) -> None:
    """Take ticks off, and leave a thin frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)
        spine.set_color("0.6")


def relevance_label(words: str = "") -> str:
    """Return the label of a colour bar, with what became of the channels."""
    return f"relevance, {words}" if words else "relevance"


def save(figure: Figure | SubFigure, path: str | Path, *, dpi: int = DPI, close: bool = True) -> Path:
    """Write a figure as PNG, SVG or PDF, by the ending of ``path``; text in SVG and PDF stays text.

    Parameters
    ----------
    figure
        What a function of this package returned.
    path
        File to write; its folder must exist.
    dpi
        Of PNG files, and of pixels inside the others.
    close
        Forget the figure afterwards; pyplot keeps it otherwise.

    Raises
    ------
    FileError
        For another ending, or a file that cannot be written.
    """
    target = Path(path)
    whole = figure.figure if isinstance(figure, SubFigure) else figure
    if target.suffix.lower() not in TYPES:
        raise FileError(f"{target}: figures are written as {', '.join(TYPES)}, not as {target.suffix or 'a bare name'}")
    try:
        with plt.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "signxai"}):
            whole.savefig(target, dpi=dpi, metadata=_undated(target))
    except OSError as error:
        raise FileError(f"cannot write the figure {target}: {error}") from error
    if close:
        plt.close(whole)
    return target


def png(figure: Figure | SubFigure, *, dpi: int = 110) -> bytes:
    """Return a figure as PNG, and forget it."""
    whole = figure.figure if isinstance(figure, SubFigure) else figure
    buffer = io.BytesIO()
    whole.savefig(buffer, format="png", dpi=dpi)
    plt.close(whole)
    return buffer.getvalue()


def _undated(path: Path) -> dict[str, Any]:
    """Leave the date out of files, so that the same figure gives the same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})
