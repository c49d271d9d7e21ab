"""Contact sheets: per method its name above one map per sample, in columns, grouped under headings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signxai_core.cli.pictures import Tile, extent, figure_png, place

# Inches.
_MARGIN = 0.35
_GAP = 0.08
_NAME = 0.2
_NUMBER = 0.19
_HEADING = 0.5
_TITLE = 0.85
#: Of a column: the longest names of the published table fit.
_NARROWEST = 2.5


@attrs.frozen(eq=False)
class Row:
    """One method: a picture and a short text per sample."""

    name: str
    tiles: Sequence[Tile]
    texts: Sequence[str]


@attrs.frozen(eq=False)
class Group:
    """Rows under a heading."""

    heading: str
    rows: Sequence[Row]


@attrs.frozen(eq=False)
class _Piece:
    """What stands in one place of a column: a heading with a row of inputs, or a method."""

    height: float
    heading: str = ""
    row: Row | None = None


def sheet(title: str, subtitle: str, inputs: Row, groups: Sequence[Group], *, side: float = 0.72) -> bytes:
    """Draw a sheet.

    Parameters
    ----------
    title, subtitle
        Above everything.
    inputs
        The samples, drawn on top of every column.
    groups
        The maps.
    side
        Length of a tile's side in inches.
    """
    tall = max(extent(tile, side)[1] for tile in inputs.tiles)
    pitch = _NAME + tall + _NUMBER + _GAP
    pieces = [piece for group in groups for piece in _pieces(group, pitch)]
    width = max(len(inputs.tiles) * (side + _GAP), _NARROWEST) + _MARGIN
    columns = _columns(pieces, _number_of_columns(pieces, width), pitch)
    tallest = max(pitch + sum(piece.height for piece in column) for column in columns)
    size = (2 * _MARGIN + width * len(columns), 2 * _MARGIN + _TITLE + tallest)
    figure = Figure(figsize=size, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.text(_MARGIN, _MARGIN, title, fontsize=19, weight="bold", va="top")
    axes.text(_MARGIN, _MARGIN + 0.4, subtitle, fontsize=10.5, color="0.35", va="top")
    for index, column in enumerate(columns):
        _draw_column(axes, column, inputs, left=_MARGIN + index * width, side=side, tall=tall)
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    return figure_png(figure)


def _pieces(group: Group, pitch: float) -> list[_Piece]:
    return [_Piece(_HEADING, heading=group.heading), *(_Piece(pitch, group.heading, row) for row in group.rows)]


def _number_of_columns(pieces: Sequence[_Piece], width: float) -> int:
    """Make the sheet about as wide as it is tall."""
    height = sum(piece.height for piece in pieces)
    return max(1, round(math.sqrt(height / width)))


def _columns(pieces: Sequence[_Piece], number: int, pitch: float) -> list[list[_Piece]]:
    """Share pieces out over at most ``number`` columns, as low as possible."""
    limit = sum(piece.height for piece in pieces) / number
    while len(columns := _filled(pieces, limit, pitch)) > number:
        limit += pitch / 4
    return columns


def _filled(pieces: Sequence[_Piece], limit: float, pitch: float) -> list[list[_Piece]]:
    """Fill columns up to a height; a heading never stands last, and is repeated at a break."""
    columns: list[list[_Piece]] = [[]]
    filled = 0.0
    for piece in pieces:
        needed = piece.height + (0 if piece.row is not None else pitch)
        if columns[-1] and filled + needed > limit:
            repeated = [_Piece(_HEADING, f"{piece.heading} …")] if piece.row is not None else []
            columns.append(repeated)
            filled = sum(p.height for p in repeated)
        columns[-1].append(piece)
        filled += piece.height
    return columns


def _draw_column(axes: Axes, column: Sequence[_Piece], inputs: Row, *, left: float, side: float, tall: float) -> None:
    top = _MARGIN + _TITLE
    _draw_row(axes, inputs, left=left, top=top, side=side, tall=tall, weight="bold")
    top += _NAME + tall + _NUMBER + _GAP
    for piece in column:
        if piece.row is None:
            axes.text(left, top + _HEADING - 0.14, piece.heading, fontsize=10.5, weight="bold", color="#1f4e79")
        else:
            _draw_row(axes, piece.row, left=left, top=top, side=side, tall=tall, weight="normal")
        top += piece.height


def _draw_row(axes: Axes, row: Row, *, left: float, top: float, side: float, tall: float, weight: str) -> None:
    axes.text(left, top + _NAME - 0.05, row.name, fontsize=8.5, weight=weight, parse_math=False)
    for index, (tile, text) in enumerate(zip(row.tiles, row.texts, strict=True)):
        x, y = left + index * (side + _GAP), top + _NAME
        place(axes, tile, left=x, top=y, side=side)
        axes.text(
            x + side / 2, y + tall + 0.03, text, fontsize=7.5, color="0.3", ha="center", va="top", parse_math=False
        )
