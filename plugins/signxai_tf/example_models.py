"""Networks for the data with known truth (:mod:`signxai_core.data`): the twins of ``signxai_torch.example_models``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from signxai_core.data.recipes import RECIPES, weights_of
from signxai_tf.demo_model import encode, version
from signxai_tf.porting import copy_weights

__all__ = [
    "CHANNELS",
    "SUFFIX",
    "ecg_lstm",
    "ecg_resnet",
    "encode",
    "port",
    "predict",
    "shapes_cnn",
    "train",
    "trained",
    "version",
]

#: Where samples have their channels.
CHANNELS = "last"
#: Ending of the files that ``encode`` fills.
SUFFIX = ".keras"

_PARTS = ("first", "first_norm", "second", "second_norm", "skip")


def _residual(
    axes: int, channels: tuple[int, int, int, int], stem: tuple[int, int], size: int, side: int, seed: int
) -> keras.Model:
    """Return two blocks of convolution, batch-normalisation and a residual sum, for images or series."""
    first, low, middle, high = channels
    layers = keras.layers
    conv = layers.Conv1D if axes == 1 else layers.Conv2D
    pool = layers.MaxPooling1D if axes == 1 else layers.MaxPooling2D
    last = layers.AveragePooling1D(250) if axes == 1 else layers.MaxPooling2D(12)
    numbers = iter(range(1, 20))

    def convolution(filters: int, kernel: int, name: str, stride: int = 1) -> Any:
        start = keras.initializers.HeUniform(seed=1000 * seed + next(numbers))
        return conv(filters, kernel, strides=stride, padding="same", kernel_initializer=start, name=name)

    def block(name: str, x: Any, filters: int) -> Any:
        inner = convolution(filters, size, f"{name}_first")(x)
        inner = layers.BatchNormalization(momentum=0.9, name=f"{name}_first_norm")(inner)
        inner = convolution(filters, size, f"{name}_second")(layers.ReLU()(inner))
        inner = layers.BatchNormalization(momentum=0.9, name=f"{name}_second_norm")(inner)
        return layers.ReLU()(layers.Add()([inner, convolution(filters, 1, f"{name}_skip")(x)]))

    given = keras.Input((*[side] * axes, first))
    x = convolution(low, stem[0], "stem", stem[1])(given)
    x = pool(2)(layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="stem_norm")(x)))
    x = pool(2)(block("one", x, middle))
    x = layers.Flatten()(last(block("two", x, high)))
    start = keras.initializers.HeUniform(seed=1000 * seed + next(numbers))
    return keras.Model(given, layers.Dense(5, kernel_initializer=start, name="head")(x))


def ecg_resnet(seed: int = 0) -> keras.Model:
    """Return the untrained residual network for ECGs of 5000 samples and 12 leads."""
    return _residual(1, (12, 16, 24, 32), (25, 5), 7, 5000, seed)


def ecg_lstm(seed: int = 0) -> keras.Model:
    """Return the untrained LSTM for the same ECGs: 250 steps of 40 ms, the mean of its outputs."""
    layers = keras.layers
    starts = [keras.initializers.GlorotUniform(seed=1000 * seed + number) for number in range(4)]
    given = keras.Input((5000, 12))
    x = layers.Conv1D(32, 20, strides=20, activation="relu", kernel_initializer=starts[0], name="stem")(given)
    recurrent = layers.LSTM(
        32,
        return_sequences=True,
        kernel_initializer=starts[1],
        recurrent_initializer=keras.initializers.Orthogonal(seed=1000 * seed + 9),
        name="lstm",
    )
    x = layers.GlobalAveragePooling1D()(recurrent(x))
    return keras.Model(given, layers.Dense(5, kernel_initializer=starts[3], name="head")(x))


def shapes_cnn(seed: int = 0) -> keras.Model:
    """Return the untrained residual network for images of 48 × 48 × 3."""
    return _residual(2, (3, 16, 24, 32), (5, 1), 3, 48, seed)


_BUILD = {"ecg_resnet": ecg_resnet, "ecg_lstm": ecg_lstm, "shapes_cnn": shapes_cnn}


def port(name: str, module: Any) -> keras.Model:
    """Return the twin of a PyTorch network of ``signxai_torch.example_models``, with the same weights.

    Parameters
    ----------
    name
        ``ecg_resnet``, ``ecg_lstm`` or ``shapes_cnn``.
    module
        The trained network.
    """
    model = _BUILD[name]()
    if name == "ecg_lstm":
        pairs = {"stem": "stem", "lstm": "lstm.lstm_cell", "head": "head"}
    else:
        blocks = [f"{block}_{part}" for block in ("one", "two") for part in _PARTS]
        pairs = {layer: layer for layer in ("stem", "stem_norm", *blocks, "head")}
    copy_weights(module, model, pairs=pairs)
    return model


def trained(name: str) -> keras.Model:
    """Return the network that comes with this package, trained; PyTorch is not needed.

    Parameters
    ----------
    name
        ``ecg_resnet``, ``ecg_lstm`` or ``shapes_cnn``.
    """
    model, arrays = _BUILD[name](), weights_of(name)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_weights(layer, arrays))
    return model


def _weights(layer: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Return a layer's weights in the order and the layouts of Keras."""
    own = {key.rpartition(".")[2]: array for key, array in arrays.items() if key.rpartition(".")[0] == layer.name}
    if isinstance(layer, keras.layers.LSTM):
        return [own["weight_ih_l0"].T, own["weight_hh_l0"].T, own["bias_ih_l0"] + own["bias_hh_l0"]]
    if isinstance(layer, keras.layers.BatchNormalization):
        return [own[name] for name in ("weight", "bias", "running_mean", "running_var")]
    # (outputs, inputs, *kernel) becomes (*kernel, inputs, outputs).
    return [own["weight"].transpose(*range(2, own["weight"].ndim), 1, 0), own["bias"]]


def train(name: str, x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, seed: int) -> keras.Model:
    """Return a trained network; the same seed gives the same one on the same machine.

    Parameters
    ----------
    name
        ``ecg_resnet``, ``ecg_lstm`` or ``shapes_cnn``.
    x, labels
        Samples, channels last, and their classes.
    seed
        Of the first weights and the order of the samples. The caller's random state is kept.
    """
    recipe = RECIPES[name]
    model = _BUILD[name](seed)
    steps = recipe.epochs * -(-len(x) // recipe.batch)
    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(recipe.rate, steps))
    optimiser.build(model.trainable_variables)

    def step(batch: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, model(batch, training=True))
            loss = tf.reduce_mean(losses)
        weights = model.trainable_variables
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 1.0)
        optimiser.apply_gradients(zip(gradients, weights, strict=True))

    compiled = tf.function(step, reduce_retracing=True)
    random = np.random.default_rng(seed)
    for _ in range(recipe.epochs):
        order = random.permutation(len(x))
        for start in range(0, len(order), recipe.batch):
            places = order[start : start + recipe.batch]
            compiled(tf.constant(x[places]), tf.constant(labels[places]))
    return model


def predict(model: Any, x: npt.NDArray[np.float32], *, batch: int = 64) -> npt.NDArray[np.int64]:
    """Return the class of every sample."""
    parts = [model(tf.constant(x[i : i + batch]), training=False).numpy() for i in range(0, len(x), batch)]
    found: npt.NDArray[np.int64] = np.concatenate(parts).argmax(axis=1)
    return found
