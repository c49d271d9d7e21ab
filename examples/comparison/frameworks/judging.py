"""How far the two frameworks are apart: activations, then maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import keras
import numpy as np
import numpy.typing as npt
import torch
import twins

import signxai_core as sx
from signxai_core import metrics
from signxai_core.cli.selection import open_parameters, select

FloatArray = npt.NDArray[Any]
#: For the names that leave the threshold to the caller.
MU = 0.25
#: What float64 has to agree to.
EXACT = 1e-9


@attrs.frozen(kw_only=True)
class Apart:
    """How far two arrays are apart.

    Parameters
    ----------
    name
        Of the layer or method.
    largest, mean
        Of ``|a − b|``.
    relative
        ``max |a − b| / max |a|``: what the tolerance is for.
    normalised_largest, normalised_mean
        Of ``|a / max |a| − b / max |b||``.
    correlation
        Pearson's, the smallest of the samples; NaN where a map is constant.
    """

    name: str
    largest: float
    mean: float
    relative: float
    normalised_largest: float
    normalised_mean: float
    correlation: float


@attrs.frozen(eq=False, kw_only=True)
class Result:
    """What was found on one network.

    Parameters
    ----------
    layers, methods
        In the precision asked for.
    exact
        The same in float64, of the methods beyond the tolerance.
    left_out
        Method -> reason.
    """

    key: str
    title: str
    layers: tuple[Apart, ...]
    methods: tuple[Apart, ...]
    exact: dict[str, Apart]
    left_out: dict[str, str]
    maps: dict[str, tuple[FloatArray, FloatArray]]
    x: FloatArray

    def agrees(self, found: Apart, tolerance: float) -> bool:
        """Return whether a layer or method is within the tolerance, in float64 if not in float32."""
        return found.relative <= tolerance or self._exactly(found.name) <= EXACT

    def _exactly(self, name: str) -> float:
        return self.exact[name].relative if name in self.exact else float("inf")


def apart(name: str, a: FloatArray, b: FloatArray) -> Apart:
    """Compare two arrays of one shape."""
    one, two = a.astype(np.float64), b.astype(np.float64)
    difference, (size_a, size_b) = np.abs(one - two), (float(np.abs(part).max()) for part in (one, two))
    normalised = np.abs(one / (size_a or 1.0) - two / (size_b or 1.0))
    correlations = metrics.pearson(one, two)
    return Apart(
        name=name,
        largest=float(difference.max()),
        mean=float(difference.mean()),
        relative=float(difference.max()) / (size_a or 1.0),
        normalised_largest=float(normalised.max()),
        normalised_mean=float(normalised.mean()),
        correlation=float(np.min(correlations)),
    )


def judge(build: Callable[[str], twins.Twins], patterns: Sequence[str], dtype: str, tolerance: float) -> Result:
    """Compare a network's activations layer by layer, and all methods' maps.

    At an input where rounding decides on which side of 0 a ReLU's input lies, or which of two numbers is
    the larger in a pool, derivatives jump: what is beyond the tolerance in float32 is computed again in
    float64, where it has to agree to :data:`EXACT`.
    """
    both = build(dtype)
    selection = select(patterns, ndim=both.x.ndim, given=["mu"])
    maps = _maps(both, selection.names)
    methods = tuple(apart(name, a, b) for name, (a, b) in maps.items())
    beyond = [found.name for found in methods if not found.relative <= tolerance]
    exact = _maps(build("float64"), beyond) if beyond and dtype != "float64" else {}
    return Result(
        key=both.key,
        title=both.title,
        layers=tuple(activations(both)),
        methods=methods,
        exact={name: apart(name, a, b) for name, (a, b) in exact.items()},
        left_out=dict(selection.left_out),
        maps=maps,
        x=both.x,
    )


def _maps(both: twins.Twins, names: Sequence[str]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return the maps of both frameworks, channels first, of the classes that PyTorch finds."""
    given = {"mu": MU} if any("mu" in open_parameters(sx.parse(name)) for name in names) else {}
    one = sx.explain_many(both.torch, both.x, names, **given)
    target = next(iter(one.values())).target
    two = sx.explain_many(both.keras, both.x_last, names, target, **given)
    return {name: (one[name].relevance, np.moveaxis(two[name].relevance, -1, 1)) for name in names}


def activations(both: twins.Twins) -> list[Apart]:
    """Compare the output of every layer of the same name."""
    inside = keras.Model(both.keras.inputs[0], [layer.output for layer in both.keras.layers])
    theirs = dict(zip((layer.name for layer in both.keras.layers), inside(both.x_last), strict=True))
    found, value = [], torch.from_numpy(both.x)
    for name, layer in both.torch.named_children():
        with torch.no_grad():
            value = layer(value)
        other = np.asarray(keras.ops.convert_to_numpy(theirs[name]))
        if name == "flatten":
            continue  # the order of features differs, as the layouts do
        found.append(apart(name, value.numpy(), np.moveaxis(other, -1, 1)))
    return found
