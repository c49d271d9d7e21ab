"""What every figure has to be: nothing cut off, no text over other text; and its pixels."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg


def pixels(figure, dpi=100):
    """Return the figure as height × width × red, green, blue."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def texts(figure):
    """Return every text that is seen, with its place in pixels."""
    pixels(figure)
    renderer = figure.canvas.get_renderer()
    found = [*figure.texts, *(text for axes in _all_axes(figure) for text in _texts_of(axes))]
    shown = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in shown]


def _all_axes(figure):
    return [*figure.axes, *(inset for axes in figure.axes for inset in axes.child_axes)]


def _texts_of(axes):
    found = [*axes.texts, axes.title]
    if axes.axison:
        found += [axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis._update_ticks() if low <= tick.get_loc() <= high]
            found += [label for tick in ticks for label in (tick.label1, tick.label2)]
    return found


def assert_tidy(figure):
    """Raise where a text is cut off by the figure's edge, or lies over another one."""
    found = texts(figure)
    assert found or figure.axes
    width, height = figure.canvas.get_width_height()
    for text, box in found:
        assert box.x0 >= -0.5, f"{text!r} is cut off: {box}"
        assert box.y0 >= -0.5, f"{text!r} is cut off: {box}"
        assert box.x1 <= width + 0.5, f"{text!r} is cut off: {box}"
        assert box.y1 <= height + 0.5, f"{text!r} is cut off: {box}"
    for (one, a), (two, b) in itertools.combinations(found, 2):
        across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, up) < 1.0, f"{one!r} lies over {two!r}"


def is_red(pixel):
    """Return whether a pixel has the colour of positive relevance."""
    return int(pixel[0]) > int(pixel[2]) + 30


def is_blue(pixel):
    """Return whether a pixel has the colour of negative relevance."""
    return int(pixel[2]) > int(pixel[0]) + 30
