"""The architectures of :mod:`torch_models` in Keras, channels last, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

L = keras.layers
Run = Callable[[], object]


def vgg16() -> keras.Model:
    """VGG16 (Simonyan & Zisserman 2015)."""
    widths = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
    layers = [L.Conv2D(width, 3, padding="same", activation="relu") if width else L.MaxPooling2D(2) for width in widths]
    head = [L.Flatten(), L.Dense(4096, activation="relu"), L.Dense(4096, activation="relu"), L.Dense(1000)]
    return keras.Sequential([keras.Input((224, 224, 3)), *layers, *head])


def _normalised(x: Any, width: int, size: int, stride: int = 1) -> Any:
    """Convolve with the padding at both ends alike, and normalise."""
    if size > 1:
        x = L.ZeroPadding2D(size // 2)(x)
    return L.BatchNormalization()(L.Conv2D(width, size, stride, use_bias=False)(x))


def _bottleneck(x: Any, width: int, stride: int) -> Any:
    """Return the residual block of ResNet50 (He et al. 2016)."""
    y = L.ReLU()(_normalised(x, width, 1))
    y = L.ReLU()(_normalised(y, width, 3, stride))
    y = _normalised(y, 4 * width, 1)
    changes = stride != 1 or x.shape[-1] != 4 * width
    return L.ReLU()(L.Add()([y, _normalised(x, 4 * width, 1, stride) if changes else x]))


def resnet50() -> keras.Model:
    """ResNet50 (He et al. 2016)."""
    inputs = keras.Input((224, 224, 3))
    x = L.ZeroPadding2D(1)(L.ReLU()(_normalised(inputs, 64, 7, 2)))
    x = L.MaxPooling2D(3, 2)(x)
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            x = _bottleneck(x, width, stride if block == 0 else 1)
    return keras.Model(inputs, L.Dense(1000)(L.GlobalAveragePooling2D()(x)))


def ecg() -> keras.Model:
    """A one-dimensional network for 12-lead electrocardiograms of 5,000 samples."""
    layers: list[Any] = [keras.Input((5000, 12))]
    for width in (32, 64, 64, 128, 128):
        layers += [L.Conv1D(width, 7, padding="same", activation="relu"), L.MaxPooling1D(2)]
    return keras.Sequential([*layers, L.GlobalAveragePooling1D(), L.Dense(5)])


def small_cnn() -> keras.Model:
    """Two convolutions and two dense layers."""
    layers: list[Any] = [keras.Input((32, 32, 3))]
    for width in (32, 64):
        layers += [L.Conv2D(width, 3, padding="same", activation="relu"), L.MaxPooling2D(2)]
    return keras.Sequential([*layers, L.Flatten(), L.Dense(128, activation="relu"), L.Dense(10)])


#: Name -> (factory, input shape).
MODELS = {
    "vgg16_b1": (vgg16, (1, 224, 224, 3)),
    "vgg16_b8": (vgg16, (8, 224, 224, 3)),
    "resnet50_b1": (resnet50, (1, 224, 224, 3)),
    "resnet50_b8": (resnet50, (8, 224, 224, 3)),
    "ecg_b8": (ecg, (8, 5000, 12)),
    "small_cnn_b64": (small_cnn, (64, 32, 32, 3)),
}


def versions(threads: int) -> str:
    """Pin the number of threads, and return what is measured."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return f"tensorflow {tf.__version__}, keras {keras.__version__}"


def build(name: str) -> tuple[keras.Model, Any]:
    """Return a model with random weights, and an input."""
    factory, shape = MODELS[name]
    keras.utils.set_random_seed(0)
    return factory(), tf.constant(np.random.default_rng(0).random(shape, dtype=np.float32))


def gradient(model: keras.Model, x: Any) -> Run:
    """Return the plain input gradient of the largest logit, compiled."""

    @tf.function
    def compiled(inputs: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            largest = tf.reduce_max(model(inputs, training=False), axis=1)
        return tape.gradient(largest, inputs)

    return lambda: compiled(x).numpy()


def tensors_peak(run: Run) -> None:
    """Return the most that the tensors of a run take at a time: TensorFlow does not tell on a CPU."""


def rivals(model: keras.Model, x: Any, method: str) -> tuple[()]:
    """Return what other packages offer: no maintained one has LRP for Keras 3."""
    return ()
