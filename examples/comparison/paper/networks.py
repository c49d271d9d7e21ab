"""The two networks of the published comparison on digits, in PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import attrs
import digits
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

_BATCH = 128
_VALIDATION = 0.1
#: As published, on 300,000 images of MNIST.
EPOCHS = {"dense": 5, "cnn": 3}
#: The digits of scikit-learn are 1/40 of MNIST: after three epochs the convolutional network is hardly trained.
EPOCHS_DIGITS = {"dense": 5, "cnn": 8}


@attrs.frozen(order=True)
class Setting:
    """One of the twelve models."""

    kind: str
    range: str
    inverted: bool

    def __str__(self) -> str:
        return f"{self.kind}_{self.range}{'_inverted' if self.inverted else ''}"


SETTINGS = tuple(
    Setting(kind, range_, inverted)
    for kind in ("dense", "cnn")
    for range_ in digits.RANGES
    for inverted in (False, True)
)


def build(kind: str) -> nn.Sequential:
    """Return an untrained network; its outputs are logits."""
    if kind == "dense":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(digits.SIDE**2, 512),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(512, 10),
        )
    dense: list[tuple[str, nn.Module]] = []
    for number, width in enumerate((1600, 64, 64), start=1):
        dense += [(f"dense_{number}", nn.Linear(width, 64)), (f"relu_{number + 2}", nn.ReLU())]
        dense += [(f"dropout_{number}", nn.Dropout(0.25))]
    return nn.Sequential(
        OrderedDict(
            [
                ("conv2d", nn.Conv2d(1, 32, 3)),
                ("relu_1", nn.ReLU()),
                ("pool_1", nn.MaxPool2d(2)),
                ("conv2d_1", nn.Conv2d(32, 64, 3)),
                ("relu_2", nn.ReLU()),
                ("pool_2", nn.MaxPool2d(2)),
                ("dropout", nn.Dropout(0.25)),
                ("flatten", nn.Flatten()),
                *dense,
                ("logits", nn.Linear(64, 10)),
            ]
        )
    )


def train(setting: Setting, data: digits.Digits, seed: int, epochs: int) -> nn.Module:
    """Return a trained network: Adam, batches of 128, a tenth of the images kept for validation."""
    random = np.random.default_rng([seed, SETTINGS.index(setting)])
    kept = int(len(data.train) * (1 - _VALIDATION))
    images, labels = digits.enlarged(data.train[:kept], data.train_labels[:kept])
    x = digits.noisy(digits.scale(images, setting.range, inverted=setting.inverted), random)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * seed + SETTINGS.index(setting))
        model = build(setting.kind).train()
        optimiser = torch.optim.Adam(model.parameters())
        for _ in range(epochs):
            order = random.permutation(len(x))
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(model(torch.from_numpy(x[batch])), torch.from_numpy(labels[batch]))
                torch.autograd.backward(loss)
                optimiser.step()
    return model.eval().requires_grad_(requires_grad=False)


def predictor(model: nn.Module) -> Any:
    """Return softmax probabilities as a function over NumPy arrays."""

    def predict(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            found: npt.NDArray[np.float64] = torch.softmax(model(torch.from_numpy(x)).double(), dim=1).numpy()
        return found

    return predict
