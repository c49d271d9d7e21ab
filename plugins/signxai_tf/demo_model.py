"""Small networks for ``signxai demo``, trained in seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

#: Axis of the channels in images and series.
CHANNEL_AXIS = -1
#: Where ``signxai explain`` finds the network of the images, and the name of its weights' file.
MODEL = "signxai_tf.demo_model:digits"
WEIGHTS = "model.keras"

_EPOCHS = 25
_BATCH = 64
_RATE = 3e-3


def image_network(side: int, channels: int, classes: int, seed: int = 0) -> keras.Sequential:
    """Convolutional network for square images."""
    start = _initialiser(seed)
    return keras.Sequential(
        [
            keras.Input((side, side, channels)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer=start(1), name="conv1"),
            keras.layers.MaxPooling2D(2, name="pool"),
            keras.layers.Conv2D(32, 3, activation="relu", kernel_initializer=start(2), name="conv2"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(64, activation="relu", kernel_initializer=start(3), name="dense1"),
            keras.layers.Dense(classes, kernel_initializer=start(4), name="dense2"),
        ],
        name="digits",
    )


def series_network(length: int, channels: int, classes: int, seed: int = 0) -> keras.Sequential:
    """Convolutional network for time series."""
    start = _initialiser(seed)
    return keras.Sequential(
        [
            keras.Input((length, channels)),
            keras.layers.Conv1D(32, 3, padding="same", activation="relu", kernel_initializer=start(1), name="conv1"),
            keras.layers.Conv1D(32, 3, padding="same", activation="relu", kernel_initializer=start(2), name="conv2"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(64, activation="relu", kernel_initializer=start(3), name="dense1"),
            keras.layers.Dense(classes, kernel_initializer=start(4), name="dense2"),
        ],
        name="series",
    )


def _initialiser(seed: int) -> Any:
    """Return a function from a layer's number to its initialiser; without a seed Keras would draw one."""
    return lambda layer: keras.initializers.HeUniform(seed=1000 * seed + layer)


def train(x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, classes: int, seed: int) -> keras.Model:
    """Return a trained classifier; the same seed gives the same network on the same machine.

    Parameters
    ----------
    x
        Images (four axes) or series (three axes), channels last.
    labels
        Class of every sample.
    classes
        Number of classes.
    seed
        Of the first weights and the order of the samples. The caller's random state is kept.
    """
    build = image_network if x.ndim == 4 else series_network
    model = build(x.shape[1], x.shape[-1], classes, seed)
    _fit(model, x, labels, np.random.default_rng(seed))
    return model


def _fit(
    model: keras.Model, x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], random: np.random.Generator
) -> None:
    steps = _EPOCHS * -(-len(x) // _BATCH)
    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, steps))
    optimiser.build(model.trainable_variables)

    def step(batch: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, model(batch, training=True))
            loss = tf.reduce_mean(losses)
        weights = model.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    compiled = tf.function(step, reduce_retracing=True)

    for _ in range(_EPOCHS):
        order = random.permutation(len(x))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            compiled(tf.constant(x[batch]), tf.constant(labels[batch]))


def predict(model: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the class of every sample."""
    found: npt.NDArray[np.int64] = model(tf.constant(x), training=False).numpy().argmax(axis=1)
    return found


def digits() -> keras.Sequential:
    """Return the untrained network for the demo's digits, for ``signxai explain --weights``."""
    return image_network(8, 1, 10)


def encode(model: keras.Model) -> bytes:
    """Return the whole model as a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        model.save(path)
        return path.read_bytes()


def version() -> str:
    """Return names and versions of the framework."""
    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
