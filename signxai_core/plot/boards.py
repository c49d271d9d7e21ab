"""Tiles in rows and columns, with room for names and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signxai_core.plot.canvas import frame

# Inches.
TILE = 1.25
_LARGE = 2.0
_GAP = 0.06
#: Width of a letter of size 8.
LETTER = 0.068


def wide(columns: int, shape: tuple[int, ...], title: str, names: Sequence[str], *, beside: bool) -> Board:
    """Return a board of one row; tiles are wide enough for the names above them."""
    longest = 1.15 * LETTER * max(len(name) for name in names)
    tile = max(_LARGE, longest * max(shape) / shape[1])
    return board(
        1, columns, shape, tile, 0.12, 0.75 if beside else 0.12, 0.35 + 0.25 * bool(title), 0.35 if beside else 0.6
    )


@attrs.frozen(eq=False)
class Board:
    """Tiles at places measured in inches, so that nothing is cut off and rows and columns are straight."""

    figure: Figure
    axes: Any
    size: tuple[float, float]

    def beside(self, row: int) -> Axes:
        """Return axes for a colour bar to the right of a row."""
        box = self.axes[row, -1].get_position()
        height = 0.78 * box.height
        place = (box.x1 + 0.1 / self.size[0], box.y0 + (box.height - height) / 2, 0.09 / self.size[0], height)
        return self.figure.add_axes(place)

    def beside_all(self) -> Axes:
        """Return axes for a colour bar to the right of all rows."""
        top, bottom = self.axes[0, -1].get_position(), self.axes[-1, -1].get_position()
        height = min(top.y1 - bottom.y0, 2.2 / self.size[1])
        middle = (top.y1 + bottom.y0) / 2
        place = (top.x1 + 0.1 / self.size[0], middle - height / 2, 0.09 / self.size[0], height)
        return self.figure.add_axes(place)

    def below(self, place: Axes) -> Axes:
        """Return axes for a colour bar below a tile."""
        box = place.get_position()
        inset = 0.17 * box.width
        return self.figure.add_axes(
            (box.x0 + inset, box.y0 - 0.17 / self.size[1], box.width - 2 * inset, 0.08 / self.size[1])
        )


def board(
    rows: int, columns: int, shape: tuple[int, ...], tile: float, left: float, right: float, top: float, bottom: float
) -> Board:
    """Place tiles of one shape, whose longer side has ``tile`` inches, with these edges around them."""
    wide, tall = tile * shape[1] / max(shape), tile * shape[0] / max(shape)
    width, height = left + columns * (wide + _GAP) + right, top + rows * (tall + _GAP) + bottom
    figure = plt.figure(figsize=(width, height))
    axes = np.empty((rows, columns), dtype=object)
    for row in range(rows):
        for column in range(columns):
            x0, y0 = left + column * (wide + _GAP), height - top - (row + 1) * (tall + _GAP)
            axes[row, column] = figure.add_axes((x0 / width, y0 / height, wide / width, tall / height))
            frame(axes[row, column])
    return Board(figure, axes, (width, height))


def write(tiles: Board, title: str, foot: str) -> None:
    """Write the title above, and what the colours mean below."""
    height = tiles.size[1]
    if title:
        tiles.figure.text(0.5, 1 - 0.08 / height, title, fontsize=11, ha="center", va="top")
    tiles.figure.text(0.5, 0.08 / height, foot, fontsize=8, color="0.3", ha="center", va="bottom")
