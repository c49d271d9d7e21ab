"""How much a map changes when its input changes a little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.metrics.checks import Float64, FloatArray, batch, positive

#: From a batch of inputs to their maps, of the same shape; the explained classes are those of the first call.
Explain = Callable[[FloatArray], Any]


def max_sensitivity(
    explain: Explain, x: Any, *, radius: float, samples: int = 10, random_state: int = 0, relative: bool = True
) -> Float64:
    """Return the largest change of every sample's map in a neighbourhood of the sample (Yeh et al. 2019).

    ``max ‖R(x + δ) − R(x)‖ / ‖R(x)‖`` over ``samples`` draws of ``δ``, every number of which is uniform in
    ``[−radius, radius]``; the norm is Euclidean, over all numbers of a sample.

    Parameters
    ----------
    explain
        From inputs to maps. It has to explain the same classes in every call: give it a target, such as
        ``lambda x: signxai_core.explain(model, x, "lrp_z", target).relevance``.
    x
        Batch.
    radius
        Of the neighbourhood, in the input's own unit.
    samples
        Draws; ``explain`` is called once for each.
    random_state
        Every sample of the batch has the same draws, so that its result does not depend on the others.
    relative
        Divide by ``‖R(x)‖``; NaN where that is 0.

    Examples
    --------
    >>> max_sensitivity(lambda x: 2 * x, np.ones((1, 1)), radius=0.5, samples=500).round(1).tolist()
    [0.5]
    """
    inputs = batch(x, "x")
    if not (isinstance(radius, (int, float)) and np.isfinite(radius) and radius > 0):
        raise ParameterError(f"radius must be a positive number, got {radius!r}")
    random = np.random.default_rng(random_state)
    clean = _maps(explain, inputs)
    largest = np.zeros(len(inputs))
    for _ in range(positive("samples", samples)):
        shift = random.uniform(-radius, radius, inputs.shape[1:])
        largest = np.maximum(largest, _norm(_maps(explain, (inputs + shift).astype(inputs.dtype)) - clean))
    if not relative:
        return largest
    size = _norm(clean)
    found: Float64 = np.divide(largest, size, out=np.full(len(size), np.nan), where=size > 0)
    return found


def _maps(explain: Explain, x: FloatArray) -> Float64:
    maps = batch(explain(x), "relevance")
    if maps.shape != x.shape:
        raise InputShapeError(f"explain returned the shape {maps.shape} for inputs of the shape {x.shape}")
    return maps.astype(np.float64)


def _norm(maps: Float64) -> Float64:
    norms: Float64 = np.sqrt(np.square(maps).reshape(len(maps), -1).sum(axis=1))
    return norms
