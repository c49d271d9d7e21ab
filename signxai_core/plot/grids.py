"""Several maps of images in one figure: methods × samples, side by side, and two maps with their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.colors import Colormap

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.plot import boards, samples
from signxai_core.plot.canvas import Drawn, bar
from signxai_core.plot.colours import DEFAULT, finite, limit_of
from signxai_core.plot.images import paint, picture
from signxai_core.plot.samples import Array, Channels

Scale = Literal["map", "row", "all"]
#: What the colours mean, for the line below a grid.
SCALES = {
    "map": "every map has its own scale: its largest |R|",
    "row": "one scale per row: the largest |R| of its maps",
    "all": "one scale for all maps",
}


def grid(
    maps: Mapping[str, Any],
    x: Any = None,
    *,
    labels: Sequence[str] | None = None,
    scale: Scale = "row",
    channels: Channels | None = None,
    reduce: str = "sum",
    cmap: str | Colormap = DEFAULT,
    overlay: bool = False,
    title: str = "",
) -> Drawn:
    """Draw methods (rows) × samples (columns), the inputs on top.

    Parameters
    ----------
    maps
        Name -> explanation, or array with its batch axis; all of the same samples.
    x
        The samples.
    labels
        One text per sample, above its column.
    scale
        ``"row"``: the maps of a method share one scale, with a colour bar per row; ``"all"``: all maps
        do, which only makes sense for methods in the same unit; ``"map"``: each has its own.
    channels, reduce, cmap
        As for :func:`~signxai_core.plot.image`.
    overlay
        Draw the maps over the samples in grey.
    title
        Above everything.

    Returns
    -------
    Drawn
        Figure and axes, shape ``(rows, samples)``; the first row is that of the inputs, if given.
    """
    planes, words = _planes(maps, channels, reduce)
    if scale not in SCALES:
        raise ParameterError(f"unknown scale {scale!r}; known: {', '.join(SCALES)}")
    count = len(next(iter(planes.values())))
    if labels is not None and len(labels) != count:
        raise ParameterError(f"{len(labels)} labels for {count} samples")
    inputs = None if x is None else _inputs(x, count, channels)
    rows = len(planes) + (inputs is not None)
    shape = next(iter(planes.values()))[0].shape
    left = 0.25 + boards.LETTER * max(len(name) for name in (*planes, "input"))
    right = 0.1 if scale == "map" else 0.75
    foot = _foot(words, scale)
    left = max(left, len(foot) * boards.LETTER - count * boards.TILE * shape[1] / max(shape) - right)
    top = 0.12 + 0.25 * bool(title) + 0.2 * bool(labels)
    board = boards.board(rows, count, shape, boards.TILE, left, right, top, 0.3)
    figure, axes = board.figure, board.axes
    if inputs is not None:
        for place, sample in zip(axes[0], inputs, strict=True):
            picture(place, sample, "first")
        _name(axes[0, 0], "input")
    whole = limit_of(*(part for parts in planes.values() for part in parts))
    for number, (name, parts) in enumerate(planes.items(), start=rows - len(planes)):
        row = axes[number]
        shared = whole if scale == "all" else limit_of(*parts)
        for index, (place, flat) in enumerate(zip(row, parts, strict=True)):
            ground = inputs[index] if overlay and inputs is not None else None
            paint(place, flat, ground, limit=limit_of(flat) if scale == "map" else shared, cmap=cmap)
        _name(row[0], name)
        if scale == "row":
            bar(figure, None, cax=board.beside(number), limit=shared, cmap=cmap, label="")
    for place, label in zip(axes[0], labels or (), strict=False):
        place.set_title(label, fontsize=9)
    if scale == "all":
        bar(figure, None, cax=board.beside_all(), limit=whole, cmap=cmap, label="relevance")
    boards.write(board, title, foot)
    return Drawn(figure, axes)


def side_by_side(
    maps: Mapping[str, Any],
    x: Any = None,
    *,
    scale: Scale = "map",
    channels: Channels | None = None,
    reduce: str = "sum",
    cmap: str | Colormap = DEFAULT,
    overlay: bool = False,
    title: str = "",
) -> Drawn:
    """Draw several methods' maps of one image beside it.

    Parameters
    ----------
    maps
        Name -> relevance of one sample, without its batch axis.
    x
        The sample.
    scale
        ``"map"`` (each its own) or ``"all"``.
    channels, reduce, cmap, overlay, title
        As for :func:`grid`.

    Returns
    -------
    Drawn
        Figure and axes, shape ``(maps,)``, one more in front where ``x`` is given.
    """
    if scale == "row":
        raise ParameterError("maps side by side are one row; scale is 'map' or 'all'")
    planes = {
        name: samples.plane(finite(samples.channels_first(part, channels, spatial=2, what=name)), reduce)
        for name, part in maps.items()
    }
    if not planes:
        raise ParameterError("maps is empty; give at least one")
    ground = None if x is None else samples.channels_first(x, channels, spatial=2, what="x")
    shape = next(iter(planes.values()))[0].shape
    board = boards.wide(len(planes) + (ground is not None), shape, title, list(planes), beside=scale == "all")
    figure, axes = board.figure, board.axes
    places = list(axes[0])
    if ground is not None:
        picture(places[0], ground, "first")
        places[0].set_title("input", fontsize=9)
    whole = limit_of(*(flat for flat, _ in planes.values()))
    for place, (name, (flat, _)) in zip(places[-len(planes) :], planes.items(), strict=True):
        end = limit_of(flat) if scale == "map" else whole
        paint(place, flat, ground if overlay else None, limit=end, cmap=cmap)
        place.set_title(name, fontsize=9)
        if scale == "map":
            bar(figure, None, cax=board.below(place), limit=end, cmap=cmap, label="", orientation="horizontal")
    if scale == "all":
        bar(figure, None, cax=board.beside_all(), limit=whole, cmap=cmap, label="relevance")
    boards.write(board, title, _foot(next(iter(planes.values()))[1], scale))
    return Drawn(figure, axes[0])


def difference(
    first: Any,
    second: Any,
    x: Any = None,
    *,
    names: tuple[str, str] = ("first", "second"),
    channels: Channels | None = None,
    reduce: str = "sum",
    cmap: str | Colormap = DEFAULT,
    title: str = "",
) -> Drawn:
    """Draw two maps of one image with one scale, and what is between them with a scale of its own.

    Parameters
    ----------
    first, second
        Relevance of one sample, from two frameworks, models or methods.
    x
        The sample.
    names
        Of the two maps.
    channels, reduce, cmap, title
        As for :func:`grid`.

    Returns
    -------
    Drawn
        Figure and axes.
    """
    one, two = (
        samples.plane(finite(samples.channels_first(part, channels, spatial=2, what=name)), reduce)
        for part, name in zip((first, second), names, strict=True)
    )
    if one[0].shape != two[0].shape:
        raise InputShapeError(f"the maps cover {one[0].shape} and {two[0].shape}; they must be of the same sample")
    ground = None if x is None else samples.channels_first(x, channels, spatial=2, what="x")
    both, apart = limit_of(one[0], two[0]), one[0] - two[0]
    titles = (*names, f"difference, largest {np.abs(apart).max(initial=0.0):.2g}")
    board = boards.wide(3 + (ground is not None), one[0].shape, title, titles, beside=False)
    figure, axes = board.figure, board.axes
    places = list(axes[0])
    if ground is not None:
        picture(places[0], ground, "first")
        places[0].set_title("input", fontsize=9)
    for place, flat, name, end in zip(
        places[-3:], (one[0], two[0], apart), titles, (both, both, limit_of(apart)), strict=True
    ):
        paint(place, flat, None, limit=end, cmap=cmap)
        place.set_title(name, fontsize=9)
        bar(figure, None, cax=board.below(place), limit=end, cmap=cmap, label="", orientation="horizontal")
    boards.write(board, title, _foot(one[1], "the two maps share one scale"))
    return Drawn(figure, axes[0])


def _planes(maps: Mapping[str, Any], channels: Channels | None, reduce: str) -> tuple[dict[str, list[Array]], str]:
    if not maps:
        raise ParameterError("maps is empty; give at least one method")
    found: dict[str, list[Array]] = {}
    words = ""
    for name, given in maps.items():
        array = finite(np.asarray(given))
        parts = [samples.plane(samples.channels_first(s, channels, spatial=2, what=name), reduce) for s in array]
        found[name] = [flat for flat, _ in parts]
        words = parts[0][1]
    counts = {name: len(parts) for name, parts in found.items()}
    if len(set(counts.values())) > 1:
        raise InputShapeError(f"the maps have different numbers of samples: {counts}")
    return found, words


def _inputs(x: Any, count: int, channels: Channels | None) -> list[Array]:
    found = [samples.channels_first(sample, channels, spatial=2, what="x") for sample in np.asarray(x)]
    if len(found) != count:
        raise InputShapeError(f"x holds {len(found)} samples, the maps {count}")
    return found


def _name(axes: Any, name: str) -> None:
    axes.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center", labelpad=6)


def _foot(words: str, scale: str) -> str:
    return "; ".join(part for part in (words, SCALES.get(scale, scale)) if part)
