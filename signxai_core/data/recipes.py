"""Which network learns what, for how long: the same in every framework."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.data.drawn import shapes
from signxai_core.data.simulated import ecgs
from signxai_core.data.truth import Truth
from signxai_core.errors import UnknownNameError

#: Seeds of data sets begin here, so that nobody tests on what a network has seen.
_TRAIN, _TEST = 1_000_000, 2_000_000


@attrs.frozen(kw_only=True)
class Recipe:
    """How a network of the examples is trained.

    Parameters
    ----------
    title
        What it is, in words.
    make
        From a number of samples and a seed to data.
    samples
        To train on.
    epochs, batch, rate
        Of Adam; the rate falls to 0 along a cosine.
    """

    title: str
    make: Callable[..., Truth]
    samples: int
    epochs: int
    batch: int
    rate: float

    def train(self, seed: int) -> Truth:
        """Return the samples to train on."""
        return self.make(self.samples, seed=_TRAIN + seed)

    def test(self, count: int, seed: int) -> Truth:
        """Return samples that are never trained on."""
        return self.make(count, seed=_TEST + seed)


#: By name of the function that builds the network in ``signxai_torch.example_models`` and its like.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "ecg_resnet": Recipe(title="1-D residual network", make=ecgs, samples=600, epochs=8, batch=16, rate=3e-3),
        "ecg_lstm": Recipe(
            title="LSTM behind a strided convolution", make=ecgs, samples=600, epochs=20, batch=16, rate=5e-3
        ),
        "shapes_cnn": Recipe(
            title="residual network for images", make=shapes, samples=2000, epochs=12, batch=32, rate=5e-3
        ),
    }
)


def weights_of(name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of a trained network that comes with this package, by PyTorch's names and layouts.

    ``benchmarks/known_truth.py --weights`` made them.
    """
    if name not in RECIPES:
        raise UnknownNameError("network", name, RECIPES)
    file = importlib.resources.files("signxai_core.data").joinpath("weights").joinpath(f"{name}.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        return dict(arrays)
