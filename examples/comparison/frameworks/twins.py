"""Two networks, each in PyTorch and in Keras with the same weights, and inputs for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs
import keras
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from signxai_tf.porting import copy_weights

L = keras.layers
FloatArray = npt.NDArray[Any]
#: Convolutions per block, and their width at full size (Simonyan & Zisserman 2015).
_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
#: Means of the training images: what VGG16 expects taken off, blue first.
_MEANS = (103.939, 116.779, 123.68)
_ECG = (16, 32, 32, 64)
#: Of a beat: time of each wave's middle as a share of the beat, its width, its height.
_WAVES = ((0.18, 0.022, 0.12), (0.26, 0.008, -0.12), (0.28, 0.010, 1.0), (0.31, 0.009, -0.25), (0.52, 0.045, 0.3))
_LEADS = (0.7, 1.0, 0.4, -0.85, 0.2, 0.7, -0.5, 0.3, 0.8, 1.2, 1.1, 0.8)


@attrs.frozen(eq=False, kw_only=True)
class Twins:
    """One network in both frameworks.

    Parameters
    ----------
    key, title
        Name of files, and in words.
    torch, keras
        The models; layers have the same names in both.
    x
        Batch with channels first.
    """

    key: str
    title: str
    torch: nn.Module
    keras: keras.Model
    x: FloatArray

    @property
    def x_last(self) -> FloatArray:
        """The batch with channels last."""
        return np.ascontiguousarray(np.moveaxis(self.x, 1, -1))


def image(*, width: float, side: int, dtype: str) -> Twins:
    """Return VGG16, or one of a fraction of its width, on two photographs."""
    layers: list[tuple[str, nn.Module]] = []
    tower: list[Any] = [keras.Input((side, side, 3), dtype=dtype)]
    channels = 3
    for block, (count, full) in enumerate(_VGG16, start=1):
        for number in range(1, count + 1):
            name, wide = f"block{block}_conv{number}", round(full * width)
            layers += [(name, nn.Conv2d(channels, wide, 3, padding=1)), (f"{name}_relu", nn.ReLU())]
            tower += [L.Conv2D(wide, 3, padding="same", name=name, dtype=dtype), _relu(f"{name}_relu", dtype)]
            channels = wide
        layers.append((f"block{block}_pool", nn.MaxPool2d(2)))
        tower.append(L.MaxPooling2D(2, name=f"block{block}_pool", dtype=dtype))
    features, hidden = channels * (side // 32) ** 2, round(4096 * width)
    layers += [("flatten", nn.Flatten()), ("fc1", nn.Linear(features, hidden)), ("fc1_relu", nn.ReLU())]
    layers += [("fc2", nn.Linear(hidden, hidden)), ("fc2_relu", nn.ReLU()), ("predictions", nn.Linear(hidden, 10))]
    tower += [
        L.Flatten(name="flatten", dtype=dtype),
        L.Dense(hidden, name="fc1", dtype=dtype),
        _relu("fc1_relu", dtype),
    ]
    tower += [L.Dense(hidden, name="fc2", dtype=dtype), _relu("fc2_relu", dtype)]
    tower.append(L.Dense(10, name="predictions", dtype=dtype))
    title = f"VGG16 with {width:g} of its width, {side}×{side}, two photographs"
    return _twins("image", title, layers, tower, photographs(side).astype(dtype))


def ecg(*, length: int, dtype: str) -> Twins:
    """Return a one-dimensional residual-free network on two simulated twelve-lead ECGs."""
    layers: list[tuple[str, nn.Module]] = []
    tower: list[Any] = [keras.Input((length, 12), dtype=dtype)]
    channels = 12
    for number, wide in enumerate(_ECG, start=1):
        name = f"conv{number}"
        layers += [(name, nn.Conv1d(channels, wide, 7, padding=3)), (f"bn{number}", nn.BatchNorm1d(wide, eps=1e-3))]
        layers += [(f"{name}_relu", nn.ReLU()), (f"pool{number}", nn.MaxPool1d(2))]
        tower += [L.Conv1D(wide, 7, padding="same", name=name, dtype=dtype)]
        tower += [L.BatchNormalization(epsilon=1e-3, name=f"bn{number}", dtype=dtype), _relu(f"{name}_relu", dtype)]
        tower += [L.MaxPooling1D(2, name=f"pool{number}", dtype=dtype)]
        channels = wide
    layers += [("flatten", nn.Flatten()), ("fc", nn.Linear(channels * (length // 16), 32)), ("fc_relu", nn.ReLU())]
    layers.append(("predictions", nn.Linear(32, 5)))
    tower += [L.Flatten(name="flatten", dtype=dtype), L.Dense(32, name="fc", dtype=dtype), _relu("fc_relu", dtype)]
    tower.append(L.Dense(5, name="predictions", dtype=dtype))
    title = f"four convolutions with batch-normalisation, 12 leads × {length} steps, two simulated ECGs"
    return _twins("ecg", title, layers, tower, beats(length).astype(dtype))


def _relu(name: str, dtype: str) -> Any:
    return L.ReLU(name=name, dtype=dtype)


def _twins(key: str, title: str, layers: list[tuple[str, nn.Module]], tower: list[Any], x: FloatArray) -> Twins:
    """Draw the weights in PyTorch, and copy them to Keras."""
    model = nn.Sequential(OrderedDict(layers)).to(torch.float64 if x.dtype == np.float64 else torch.float32)
    _draw(model)
    twin = keras.Sequential(tower, name=key)
    copy_weights(model, twin)
    return Twins(key=key, title=title, torch=model.eval().requires_grad_(requires_grad=False), keras=twin, x=x)


def _draw(model: nn.Module) -> None:
    """Draw weights so that activations neither vanish nor grow; the same in every precision."""
    random = np.random.default_rng(0)
    draws: dict[str, Callable[[Any], FloatArray]] = {
        "bias": lambda shape: random.normal(0, 0.1, shape),
        "running_mean": lambda shape: random.normal(0, 0.2, shape),
        "running_var": lambda shape: random.uniform(0.5, 1.5, shape),
    }
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            shape, last = tuple(tensor.shape), name.rpartition(".")[2]
            if last == "weight" and tensor.dim() > 1:
                values = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            elif last == "weight":
                values = random.uniform(0.8, 1.2, shape)
            else:
                values = draws[last](shape)
            tensor.copy_(torch.from_numpy(values))


def photographs(side: int) -> FloatArray:
    """Return scikit-learn's two photographs as VGG16 takes them: blue, green, red, less the means."""
    from PIL import Image  # noqa: PLC0415 - an extra
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - an extra

    found = []
    for pixels in load_sample_images().images:
        height, wide = pixels.shape[:2]
        left = (wide - height) // 2
        square = Image.fromarray(pixels[:, left : left + height]).resize((side, side), Image.Resampling.BILINEAR)
        found.append(np.asarray(square, dtype=np.float64)[..., ::-1] - _MEANS)
    return np.moveaxis(np.stack(found), -1, 1)


def beats(length: int) -> FloatArray:
    """Return two ECGs of different rates: waves as bell curves, every lead a multiple, and some noise."""
    random = np.random.default_rng(1)
    found = []
    for period in (length / 5.3, length / 7.1):
        phase = (np.arange(length) % period) / period
        wave = sum(height * np.exp(-(((phase - middle) / width) ** 2) / 2) for middle, width, height in _WAVES)
        found.append(np.outer(_LEADS, wave) + random.normal(0, 0.02, (12, length)))
    return np.stack(found)
