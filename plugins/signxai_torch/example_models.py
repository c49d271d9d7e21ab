"""Networks for the data with known truth (:mod:`signxai_core.data`), trained in a minute or so.

Their twins with the same names of layers are in ``signxai_tf.example_models``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai_core.data.recipes import RECIPES, weights_of
from signxai_torch.demo_model import encode, version

__all__ = [
    "CHANNELS",
    "SUFFIX",
    "Residual",
    "Series",
    "ecg_lstm",
    "ecg_resnet",
    "encode",
    "predict",
    "shapes_cnn",
    "store",
    "train",
    "trained",
    "version",
]

#: Where samples have their channels.
CHANNELS = "first"
#: Ending of the files that ``encode`` fills.
SUFFIX = ".safetensors"
#: As in Keras, so that both networks compute the same.
_EPSILON = 1e-3


class Residual(nn.Module):
    """Two blocks of convolution, batch-normalisation and a residual sum, for images or series."""

    def __init__(self, axes: int, channels: tuple[int, int, int, int], stem: dict[str, int], size: int) -> None:
        super().__init__()
        conv = nn.Conv1d if axes == 1 else nn.Conv2d
        norm = nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d
        first, low, middle, high = channels
        self.stem: nn.Module = conv(first, low, stem["size"], stem["stride"], padding=stem["padding"])
        self.stem_norm: nn.Module = norm(low, eps=_EPSILON)
        for name, before, after in (("one", low, middle), ("two", middle, high)):
            self.add_module(f"{name}_first", conv(before, after, size, padding=size // 2))
            self.add_module(f"{name}_first_norm", norm(after, eps=_EPSILON))
            self.add_module(f"{name}_second", conv(after, after, size, padding=size // 2))
            self.add_module(f"{name}_second_norm", norm(after, eps=_EPSILON))
            self.add_module(f"{name}_skip", conv(before, after, 1))
        self.pool: nn.Module = nn.MaxPool1d(2) if axes == 1 else nn.MaxPool2d(2)
        # The mean of a series: what matters comes with every beat. The maximum of an image: it is in one place.
        self.last: nn.Module = nn.AvgPool1d(250) if axes == 1 else nn.MaxPool2d(12)
        self.head = nn.Linear(high, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = self.pool(torch.relu(self.stem_norm(self.stem(x))))
        x = self.pool(self._block("one", x))
        x = self._block("two", x)
        logits: torch.Tensor = self.head(self.last(x).flatten(1))
        return logits

    def _block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        layer = self.get_submodule
        inner = torch.relu(layer(f"{name}_first_norm")(layer(f"{name}_first")(x)))
        inner = layer(f"{name}_second_norm")(layer(f"{name}_second")(inner))
        return torch.relu(inner + layer(f"{name}_skip")(x))


class Series(nn.Module):
    """A convolution that looks at 40 ms at a time, an LSTM over the 250 steps, the mean of its outputs."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(channels, width, 20, 20)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        steps = torch.relu(self.stem(x)).transpose(1, 2)
        outputs, _ = self.lstm(steps)
        logits: torch.Tensor = self.head(outputs.mean(dim=1))
        return logits


def ecg_resnet() -> nn.Module:
    """Return the untrained residual network for ECGs of 12 leads and 5000 samples."""
    return Residual(1, (12, 16, 24, 32), {"size": 25, "stride": 5, "padding": 10}, 7)


def ecg_lstm() -> nn.Module:
    """Return the untrained LSTM for the same ECGs."""
    return Series(12, 32, 5)


def shapes_cnn() -> nn.Module:
    """Return the untrained residual network for images of 3 × 48 × 48."""
    return Residual(2, (3, 16, 24, 32), {"size": 5, "stride": 1, "padding": 2}, 3)


_BUILD = {"ecg_resnet": ecg_resnet, "ecg_lstm": ecg_lstm, "shapes_cnn": shapes_cnn}


def train(name: str, x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, seed: int) -> nn.Module:
    """Return a trained network; the same seed gives the same one on the same machine.

    Parameters
    ----------
    name
        ``ecg_resnet``, ``ecg_lstm`` or ``shapes_cnn``.
    x, labels
        Samples, channels first, and their classes.
    seed
        Of the first weights and the order of the samples. The caller's random state is kept.
    """
    recipe = RECIPES[name]
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # sums do not depend on the number of cores
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _BUILD[name]()
            _fit(model, inputs, targets, epochs=recipe.epochs, batch=recipe.batch, rate=recipe.rate)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _fit(
    model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, *, epochs: int, batch: int, rate: float
) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    steps = epochs * -(-len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for _ in range(epochs):
        for places in torch.split(torch.randperm(len(inputs)), batch):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs[places]), targets[places]))
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    model.zero_grad()


def store(model: nn.Module, path: Path) -> None:
    """Write the weights of a network as arrays, by name."""
    np.savez_compressed(path, **{name: tensor.numpy() for name, tensor in model.state_dict().items()})


def trained(name: str) -> nn.Module:
    """Return the network that comes with this package, trained.

    Parameters
    ----------
    name
        ``ecg_resnet``, ``ecg_lstm`` or ``shapes_cnn``.
    """
    model = _BUILD[name]()
    model.load_state_dict({key: torch.from_numpy(array) for key, array in weights_of(name).items()})
    return model.eval()


def predict(model: Any, x: npt.NDArray[np.float32], *, batch: int = 64) -> npt.NDArray[np.int64]:
    """Return the class of every sample."""
    with torch.no_grad():
        parts = [model(part).argmax(dim=1).numpy() for part in torch.split(torch.from_numpy(x), batch)]
    found: npt.NDArray[np.int64] = np.concatenate(parts)
    return found
