"""Keras models that the TensorFlow tests share, and their twins in PyTorch with the same weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import tensorflow as tf

DATA = Path(__file__).parent / "data" / "golden"
L = keras.layers


class Golden(NamedTuple):
    """A model, its input (channels last) and the classes to explain."""

    model: keras.Model
    x: np.ndarray
    target: list[int]
    logits: np.ndarray

    def maps(self, name: str, file: str) -> dict[str, np.ndarray]:
        return dict(np.load(DATA / name / f"{file}.npz"))


_USED = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Dense": ("units", "activation", "use_bias"),
    "Flatten": (),
}


def golden(name: str) -> Golden:
    """Return a golden model in float64."""
    folder = DATA / name
    arch = json.loads((folder / "arch.json").read_text())
    model = keras.Sequential([keras.Input(tuple(arch["input_shape"]), dtype="float64")])
    for layer in arch["layers"]:
        options = {key: layer["config"][key] for key in _USED[layer["type"]] if key in layer["config"]}
        model.add(getattr(L, layer["type"])(**options, name=layer["name"], dtype="float64"))
    for path, values in np.load(folder / "weights.npz").items():
        layer, kind = path.split("/")
        getattr(model.get_layer(layer), kind).assign(values)
    x = np.load(folder / "inputs.npy").astype(np.float64)
    target = json.loads((folder / "target.json").read_text())["target"]
    return Golden(model, x, target, np.load(folder / "logits.npy"))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return max |difference| / max |map|."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


class Subclassed(keras.Model):
    """``x + skip``, ``tf.nn.relu``, a Lambda layer and a reused layer, written in ``call``."""

    def __init__(self, *, bias: bool = False) -> None:
        super().__init__(dtype="float64")
        options = {"padding": "same", "use_bias": bias, "dtype": "float64"}
        self.stem = L.Conv2D(4, 3, name="stem", **options)
        self.shared = L.Conv2D(4, 3, name="shared", **options)
        self.side = L.Conv2D(3, 1, name="side", **options)
        self.double = L.Lambda(lambda x: tf.concat([x, x], -1), name="double", dtype="float64")
        self.head = L.Dense(5, use_bias=bias, name="head", dtype="float64")

    def call(self, x):
        skip = tf.nn.relu(self.stem(x))
        y = keras.ops.relu(self.shared(skip))
        y = tf.nn.relu(self.shared(y) + skip)
        y = tf.concat([self.double(y), tf.nn.relu(self.side(skip))], axis=-1)
        y = tf.nn.max_pool2d(y, 2, 2, "VALID")
        return self.head(tf.reshape(y, [tf.shape(y)[0], -1]))


def subclassed(*, bias: bool = False) -> tuple[keras.Model, np.ndarray]:
    """Return the subclassed model, called once, and inputs for it."""
    keras.utils.set_random_seed(3)
    model = Subclassed(bias=bias)
    x = np.random.default_rng(1).normal(size=(4, 6, 6, 2))
    model(x)
    for variable in model.variables:
        if "bias" in variable.name:
            variable.assign(np.random.default_rng(2).normal(size=variable.shape) * 0.3)
    return model, x
