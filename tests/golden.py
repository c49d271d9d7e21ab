"""The golden networks of ``tests/data/golden`` as torch models; see the README there."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parent / "data" / "golden"
MODELS = ("cnn_digits", "dense_digits")
PUBLISHED = (DATA / "method_names.txt").read_text().split()


class ChannelsLastFlatten(nn.Module):
    """Flatten as Keras does: channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class Golden(NamedTuple):
    """A model, its input (channels first) and the classes to explain."""

    model: nn.Module
    x: np.ndarray
    target: list[int]
    logits: np.ndarray

    def maps(self, name: str, file: str) -> dict[str, np.ndarray]:
        return dict(np.load(DATA / name / f"{file}.npz"))


def _layers(layer: dict, weights: dict[str, np.ndarray]) -> list[tuple[str, nn.Module]]:
    name, kind, config = layer["name"], layer["type"], layer["config"]
    if kind == "Conv2D":
        kernel = weights[f"{name}/kernel"]
        padding = "same" if config["padding"] == "same" else 0
        module: nn.Module = nn.Conv2d(*kernel.shape[2:], kernel.shape[:2], config["strides"], padding)
        module.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
        module.bias.data = torch.tensor(weights[f"{name}/bias"])
    elif kind == "Dense":
        kernel = weights[f"{name}/kernel"]
        module = nn.Linear(*kernel.shape)
        module.weight.data = torch.tensor(kernel.T.copy())
        module.bias.data = torch.tensor(weights[f"{name}/bias"])
    elif kind == "MaxPooling2D":
        module = nn.MaxPool2d(config["pool_size"], config["strides"])
    else:
        module = ChannelsLastFlatten()
    relu = [(f"{name}_relu", nn.ReLU())] if config.get("activation") == "relu" else []
    return [(name, module), *relu]


def load(name: str) -> Golden:
    """Return a golden model in float64."""
    folder = DATA / name
    layers = json.loads((folder / "arch.json").read_text())["layers"]
    weights = dict(np.load(folder / "weights.npz"))
    model = nn.Sequential(OrderedDict(part for layer in layers for part in _layers(layer, weights))).double()
    x = np.load(folder / "inputs.npy").astype(np.float64).transpose(0, 3, 1, 2)
    target = json.loads((folder / "target.json").read_text())["target"]
    return Golden(model, x, target, np.load(folder / "logits.npy"))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return max |difference| / max |map|, theirs being channels last."""
    return float(np.abs(ours.transpose(0, 2, 3, 1) - theirs).max() / np.abs(theirs).max())
