r"""Pixel flipping: how the output falls while positions are removed in the order of their relevance.

MoRF (most relevant first) and its area over the curve, AOC, follow the published comparison of SIGN
methods to the letter (Gumpfer et al. 2023); LeRF (least relevant first) is its mirror image. The
symmetric relevance gain is the area between the two (Blücher et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError
from signxai_core.metrics.checks import Float64, FloatArray, batch, channels, one_per_sample, positive, same_shape
from signxai_core.metrics.perturbation import SEED, STOPS, by_channel, flip, points_of_removal, replacements
from signxai_core.metrics.predict import BATCH_SIZE, Predict, in_batches, rows
from signxai_core.metrics.ranking import count_positions, pooled, removal_order

Indices = npt.NDArray[np.int64]


@attrs.frozen(eq=False, kw_only=True)
class Curve:
    """The output of the explained class while positions are removed, for every sample.

    Parameters
    ----------
    values
        Shape ``(N, points)``; the first column belongs to the sample as it is.
    removed
        Number of positions removed at every point, shape ``(points,)``; starts with 0.
    positions
        Number of positions of a sample.
    target
        Class of every sample.
    """

    values: Float64
    removed: Indices
    positions: int
    target: Indices

    @property
    def share(self) -> Float64:
        """Share of the positions removed at every point."""
        return self.removed / self.positions


def morf(
    predict: Predict,
    x: Any,
    relevance: Any,
    *,
    channel_axis: int | None,
    target: Any = None,
    stops: int = STOPS,
    seed: int = SEED,
    replacement: Any = None,
    batch_size: int = BATCH_SIZE,
) -> Curve:
    """Return the curves of removal, most relevant first.

    The published protocol: relevance is summed over the channels; positions go by (value, row, column),
    descending; they get random numbers between the smallest and the largest of their channel
    (:func:`replacements`); the curve has 251 points (:func:`points_of_removal`) and shows the class that is largest
    at the start.

    Parameters
    ----------
    predict
        From inputs ``(N, ...)`` to one row of outputs per sample; the published one gives softmax
        probabilities, as :func:`~signxai_core.metrics.predictor` does.
    x, relevance
        Batch and its maps, of one shape.
    channel_axis
        Axis of the channels, the batch axis included (images: 1 or −1); ``None`` where every number is
        a position of its own.
    target : None, int or sequence of int
        Class whose output is followed; by default that which is largest at the start, per sample.
    stops : int
        Points after the start; 250.
    seed : int
        Of the random replacements; 1 for every sample.
    replacement : array, optional
        Numbers for removed positions, broadcastable to ``x``, instead of random ones: 0, a blurred image.
    batch_size : int
        Inputs that ``predict`` gets at a time.

    Returns
    -------
    Curve
        Its :func:`aoc` is high where few removals bring the output down.
    """
    options = _Options(target, stops, seed, replacement, batch_size)
    return _curves(predict, x, relevance, channel_axis, removal_order, options)


def lerf(
    predict: Predict,
    x: Any,
    relevance: Any,
    *,
    channel_axis: int | None,
    target: Any = None,
    stops: int = STOPS,
    seed: int = SEED,
    replacement: Any = None,
    batch_size: int = BATCH_SIZE,
) -> Curve:
    """Return the curves of removal, least relevant first; everything else is as in :func:`morf`."""
    options = _Options(target, stops, seed, replacement, batch_size)
    return _curves(predict, x, relevance, channel_axis, lambda positions: removal_order(positions)[::-1], options)


@attrs.frozen
class _Options:
    """What :func:`morf` and :func:`lerf` take besides the maps."""

    target: Any
    stops: int
    seed: int
    replacement: Any
    batch_size: int


def _curves(
    predict: Predict,
    x: Any,
    relevance: Any,
    channel_axis: int | None,
    ordered: Callable[[FloatArray], npt.NDArray[np.intp]],
    options: _Options,
) -> Curve:
    maps, inputs = same_shape(relevance, x)
    axis = channels(channel_axis, inputs.ndim)
    inner = None if axis is None else axis - 1
    positions = pooled(maps, channel_axis=axis)
    count = count_positions(inputs.shape, axis)
    removed = points_of_removal(count, options.stops)
    fixed = _fixed(options.replacement, inputs)
    wanted = one_per_sample(options.target, len(inputs))
    curves, targets = [], []
    for number, (sample, place) in enumerate(zip(inputs, positions, strict=True)):
        order = ordered(place)
        if fixed is None:
            values = replacements(sample, inner, options.seed)
        else:
            values = by_channel(fixed[number], inner)[:, order]
        outputs = rows(predict, _points(sample, order, values, removed, inner, options.batch_size))
        targets.append(int(outputs[0].argmax()) if wanted is None else int(wanted[number]))
        curves.append(outputs[:, targets[-1]].astype(np.float64))
    return Curve(values=np.stack(curves), removed=removed, positions=count, target=np.array(targets, dtype=np.int64))


def _points(
    sample: FloatArray,
    order: npt.NDArray[np.intp],
    values: FloatArray,
    removed: Indices,
    axis: int | None,
    batch_size: int,
) -> Iterator[FloatArray]:
    size = positive("batch_size", batch_size)
    for start in range(0, len(removed), size):
        yield np.ascontiguousarray(flip(sample, order, values, removed[start : start + size], axis))


def _fixed(replacement: Any, x: FloatArray) -> FloatArray | None:
    if replacement is None:
        return None
    try:
        return np.broadcast_to(np.asarray(replacement), x.shape).astype(x.dtype)
    except ValueError as error:
        raise InputShapeError(
            f"the replacement has the shape {np.shape(replacement)}, which does not broadcast to that of x, {x.shape}"
        ) from error


def aoc(curve: Curve | FloatArray) -> Float64:
    """Return the area over every curve, as published.

    ``(100 − trapezoid(curve, linspace(1, 100, points))) / 100``: between 0.01 for a curve that stays at
    1 and 1 for one that is 0; more is better for :func:`morf`.

    Parameters
    ----------
    curve
        Curves, or their values, shape ``(N, points)``.

    Examples
    --------
    >>> aoc(np.array([[1.0, 1.0], [1.0, 0.0]])).tolist()
    [0.01, 0.505]
    """
    values = batch(curve.values if isinstance(curve, Curve) else curve, "curve").astype(np.float64)
    places = np.linspace(1, 100, values.shape[1])
    return (100 - _trapezoid(values, places)) / 100


def area(curve: Curve) -> Float64:
    """Return the area under every curve, over the share of positions removed: between 0 and 1."""
    return _trapezoid(curve.values, curve.share)


def _trapezoid(values: Float64, places: Float64) -> Float64:
    """Return the integral of every row (NumPy has this under another name before version 2)."""
    areas: Float64 = ((values[:, 1:] + values[:, :-1]) / 2 * np.diff(places)).sum(axis=1)
    return areas


def relevance_gain(
    predict: Predict,
    x: Any,
    relevance: Any,
    *,
    channel_axis: int | None,
    target: Any = None,
    stops: int = STOPS,
    seed: int = SEED,
    replacement: Any = None,
    batch_size: int = BATCH_SIZE,
) -> Float64:
    """Return the symmetric relevance gain: area under :func:`lerf` less that under :func:`morf`.

    It does not depend on how well the model copes with the replacements, since both curves get them
    (Blücher et al. 2024); a random map is at 0. Parameters are those of :func:`morf`.
    """
    inputs = batch(x, "x")
    if target is None:
        target = in_batches(predict, inputs, batch_size).argmax(axis=1)
    options = _Options(target, stops, seed, replacement, batch_size)
    most = _curves(predict, inputs, relevance, channel_axis, removal_order, options)
    least = _curves(predict, inputs, relevance, channel_axis, lambda places: removal_order(places)[::-1], options)
    return area(least) - area(most)
