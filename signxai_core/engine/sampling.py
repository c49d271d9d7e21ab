"""Inputs around an input: noise and integration paths, drawn by NumPy for every framework alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ParameterError
from signxai_core.specs.methods import Integrate, Smooth
from signxai_core.specs.values import ArrayValue, Value

Float64 = npt.NDArray[np.float64]
FloatArray = npt.NDArray[Any]


def noise(sampling: Smooth, x: FloatArray) -> Float64:
    """Return the noise of every sample of a batch.

    Every sample of the batch draws from a stream of its own that starts at ``random_state``, so that
    a sample's noise does not depend on its batch.

    Parameters
    ----------
    sampling
        Number of copies, standard deviation, random state.
    x
        Input, shape ``(N, ...)``.

    Returns
    -------
    Array of shape ``(samples, N, ...)``, float64.
    """
    drawn = np.random.default_rng(sampling.random_state).standard_normal((sampling.samples, *x.shape[1:]))
    rows = x.reshape(len(x), -1).astype(np.float64)
    spread = rows.max(axis=1) - rows.min(axis=1) if sampling.relative else np.ones(len(x))
    deviation = (sampling.noise * spread).reshape(-1, *[1] * (x.ndim - 1))
    return drawn[:, None] * deviation[None]


def baseline(value: Value, x: FloatArray) -> FloatArray:
    """Return the baseline in the input's shape and type."""
    array = value.array if isinstance(value, ArrayValue) else np.asarray(value)
    try:
        return np.broadcast_to(array, x.shape).astype(x.dtype)
    except ValueError as error:
        raise ParameterError(
            f"the baseline has shape {array.shape}, expected a number or an array that broadcasts to the input's "
            f"shape {x.shape}"
        ) from error


def nodes(sampling: Integrate) -> tuple[Float64, Float64]:
    """Return places in [0, 1] and weights (their sum is 1) of an integration rule."""
    if sampling.nodes == "gauss_legendre":
        places, weights = np.polynomial.legendre.leggauss(sampling.steps)
        return (places + 1) / 2, weights / 2
    places = np.linspace(0, 1, sampling.steps) if sampling.steps > 1 else np.ones(1)
    return places, np.full(sampling.steps, 1 / sampling.steps)


def variants(sampling: Smooth | Integrate, x: FloatArray, size: int) -> Iterator[tuple[FloatArray, Float64]]:
    """Yield blocks of inputs around ``x`` and the weight of each.

    Parameters
    ----------
    sampling
        Noise or path.
    x
        Input, shape ``(N, ...)``; never changed.
    size
        Variants per block.

    Yields
    ------
    Block of shape ``(size or fewer, N, ...)`` in the input's type, and weights ``(size or fewer,)``;
    all weights sum to 1.
    """
    if isinstance(sampling, Smooth):
        shifts = noise(sampling, x)
        weights = np.full(sampling.samples, 1 / sampling.samples)
        for start in range(0, sampling.samples, size):
            yield (x + shifts[start : start + size]).astype(x.dtype), weights[start : start + size]
        return
    origin = baseline(sampling.baseline, x).astype(np.float64)
    places, weights = nodes(sampling)
    for start in range(0, len(places), size):
        part = places[start : start + size].reshape(-1, *[1] * x.ndim)
        yield (origin + part * (x - origin)).astype(x.dtype), weights[start : start + size]


@attrs.define(eq=False)
class Moments:
    """Weighted mean and population variance, accumulated block by block (West 1979)."""

    weight: float = 0.0
    mean: Float64 | None = None
    square: Float64 | None = None

    def add(self, values: FloatArray, weights: Float64) -> None:
        """Add ``values`` of shape ``(k, ...)`` with weights ``(k,)``."""
        for value, weight in zip(values.astype(np.float64), weights, strict=True):
            if self.mean is None or self.square is None:
                self.mean, self.square = np.zeros_like(value), np.zeros_like(value)
            self.weight += float(weight)
            difference = value - self.mean
            self.mean = self.mean + difference * (weight / self.weight)
            self.square = self.square + weight * difference * (value - self.mean)

    def result(self, statistic: str) -> Float64:
        """Return the ``mean`` or the ``variance``."""
        assert self.mean is not None, "nothing was added"
        assert self.square is not None, "nothing was added"
        return self.mean if statistic == "mean" else self.square / self.weight
