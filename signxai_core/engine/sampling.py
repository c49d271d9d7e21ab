"""Inputs around an input: noise and integration paths, drawn by NumPy for every framework alike."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ParameterError
from signxai_core.specs.methods import Control, Integrate, Smooth
from signxai_core.specs.values import ArrayValue, Value

Float64 = npt.NDArray[np.float64]
FloatArray = npt.NDArray[Any]


def drawn_alike(draw: Callable[[tuple[int, ...]], Float64], sample: tuple[int, ...], channel_axis: int) -> Float64:
    """Return random numbers that lie the same way on a sample, wherever its channels are.

    Parameters
    ----------
    draw
        Takes the sample's shape with the channels first, returns an array that ends in that shape.
    sample
        Shape of a sample, its channels at ``channel_axis − 1``.
    channel_axis
        Axis of the channels, counted with the batch axis.
    """
    if not sample:
        return draw(())
    place = channel_axis - 1
    first = (sample[place], *sample[:place], *sample[place + 1 :])
    drawn = draw(first)
    return np.moveaxis(drawn, drawn.ndim - len(sample), drawn.ndim - len(sample) + place)


def noise(sampling: Smooth, x: FloatArray, channel_axis: int, size: int) -> Iterator[Float64]:
    """Yield the noise of every sample of a batch, block by block.

    Every sample of the batch draws from a stream of its own that starts at ``random_state``, so that
    a sample's noise does not depend on its batch; nor does it depend on the size of the blocks.

    Parameters
    ----------
    sampling
        Number of copies, standard deviation, random state.
    x
        Input, shape ``(N, ...)``.
    channel_axis
        Of ``x``.
    size
        Copies per block.

    Yields
    ------
    Array of shape ``(size or fewer, N, ...)``, float64.
    """
    generator = np.random.default_rng(sampling.random_state)
    rows = x.reshape(len(x), -1).astype(np.float64)
    spread = rows.max(axis=1) - rows.min(axis=1) if sampling.relative else np.ones(len(x))
    deviation = (sampling.noise * spread).reshape(-1, *[1] * (x.ndim - 1))
    for start in range(0, sampling.samples, size):
        count = min(size, sampling.samples - start)
        # One draw of all copies gives the same numbers as several draws in a row.
        draw = functools.partial(_normal, generator, count)
        yield drawn_alike(draw, x.shape[1:], channel_axis)[:, None] * deviation[None]


def _normal(generator: np.random.Generator, count: int, shape: tuple[int, ...]) -> Float64:
    return generator.standard_normal((count, *shape))


def _uniform(generator: np.random.Generator, shape: tuple[int, ...]) -> Float64:
    return generator.uniform(-1, 1, shape)


def control(sampling: Control, x: FloatArray, channel_axis: int) -> Float64:
    """Return uniform numbers in [−1, 1], drawn for each sample.

    A sample's stream starts at ``random_state`` and at the sample's own numbers (in single precision,
    channels first), so that its map depends neither on its batch nor on the model's layout and type.
    """
    drawn = []
    for sample in x:
        numbers = np.moveaxis(sample, channel_axis - 1, 0) if sample.ndim else sample
        content = np.ascontiguousarray(numbers, dtype="<f4") + np.float32(0)  # −0 and 0 are the same
        key = int.from_bytes(hashlib.sha256(content.tobytes()).digest(), "little")
        draw = functools.partial(_uniform, np.random.default_rng([sampling.random_state, key]))
        drawn.append(drawn_alike(draw, sample.shape, channel_axis))
    return np.stack(drawn)


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


def variants(
    sampling: Smooth | Integrate, x: FloatArray, size: int, channel_axis: int
) -> Iterator[tuple[FloatArray, Float64]]:
    """Yield blocks of inputs around ``x`` and the weight of each.

    Parameters
    ----------
    sampling
        Noise or path.
    x
        Input, shape ``(N, ...)``; never changed.
    size
        Variants per block.
    channel_axis
        Of ``x``.

    Yields
    ------
    Block of shape ``(size or fewer, N, ...)`` in the input's type, and weights ``(size or fewer,)``;
    all weights sum to 1.
    """
    if isinstance(sampling, Smooth):
        for shifts in noise(sampling, x, channel_axis, size):
            yield (x + shifts).astype(x.dtype), np.full(len(shifts), 1 / sampling.samples)
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

    @np.errstate(invalid="ignore", over="ignore")  # a map with such numbers is an error in the end
    def add(self, values: FloatArray, weights: Float64) -> None:
        """Add ``values`` of shape ``(k, ...)`` with weights ``(k,)``."""
        for value, weight in zip(values.astype(np.float64), weights, strict=True):
            if self.mean is None or self.square is None:
                self.mean, self.square = np.zeros_like(value), np.zeros_like(value)
            self.weight += float(weight)
            difference = value - self.mean
            self.mean = self.mean + difference * (weight / self.weight)
            self.square = self.square + weight * difference * (value - self.mean)

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Return the moments of all samples, from those of some samples each."""
        if len(parts) == 1:
            return parts[0]
        means = [part.mean for part in parts if part.mean is not None]
        squares = [part.square for part in parts if part.square is not None]
        return cls(parts[0].weight, np.concatenate(means), np.concatenate(squares))

    def result(self, statistic: str) -> Float64:
        """Return the ``mean`` or the ``variance``."""
        assert self.mean is not None, "nothing was added"
        assert self.square is not None, "nothing was added"
        return self.mean if statistic == "mean" else self.square / self.weight
