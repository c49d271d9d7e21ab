"""Small networks for ``signxai demo``, trained in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

#: Axis of the channels in images and series.
CHANNEL_AXIS = 1
#: Where ``signxai explain`` finds the network of the images, and the name of its weights' file.
MODEL = "signxai_torch.demo_model:digits"
WEIGHTS = "model.safetensors"

_EPOCHS = 25
_BATCH = 64
_RATE = 3e-3


def image_network(channels: int, side: int, classes: int) -> nn.Sequential:
    """Convolutional network for square images."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 2 - 2) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def series_network(channels: int, length: int, classes: int) -> nn.Sequential:
    """Convolutional network for time series."""
    return nn.Sequential(
        nn.Conv1d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv1d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * length, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def train(x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, classes: int, seed: int) -> nn.Module:
    """Return a trained classifier; the same seed gives the same network on the same machine.

    Parameters
    ----------
    x
        Images (four axes) or series (three axes), channels first.
    labels
        Class of every sample.
    classes
        Number of classes.
    seed
        Of the first weights and the order of the samples. The caller's random state is kept.
    """
    build = image_network if x.ndim == 4 else series_network
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)
    threads = torch.get_num_threads()
    try:
        # One thread: enough for so small a network, and sums do not depend on the number of cores.
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build(x.shape[1], x.shape[2], classes)
            _fit(model, inputs, targets)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _fit(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _EPOCHS)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(inputs))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs[batch]), targets[batch]))
            optimiser.step()
        schedule.step()
    model.zero_grad()


def predict(model: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the class of every sample."""
    with torch.no_grad():
        found: npt.NDArray[np.int64] = model(torch.from_numpy(x)).argmax(dim=1).numpy()
    return found


def digits() -> nn.Sequential:
    """Return the untrained network for the demo's digits, for ``signxai explain --weights``."""
    return image_network(1, 8, 10)


def encode(model: nn.Module) -> bytes:
    """Return the model's weights as safetensors."""
    from safetensors.torch import save  # noqa: PLC0415 - only the demo's last step needs it

    return save(model.state_dict())


def version() -> str:
    """Return name and version of the framework."""
    return f"PyTorch {torch.__version__}"
