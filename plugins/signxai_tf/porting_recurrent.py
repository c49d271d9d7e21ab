"""Arrays of recurrent layers, whose gates and biases the frameworks arrange differently."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ModelError
from signxai_tf.porting_slots import Slot

FloatArray = npt.NDArray[Any]

#: Class of the cell, name of the twin in PyTorch, and the places of PyTorch's gates in Keras.
_CELLS: tuple[tuple[type, str, tuple[int, ...]], ...] = (
    (keras.layers.LSTMCell, "LSTM", (0, 1, 2, 3)),
    (keras.layers.GRUCell, "GRU", (1, 0, 2)),
    (keras.layers.SimpleRNNCell, "RNN", (0,)),
)


def recurrent(layer: Any, module: Any) -> Iterator[Slot]:
    """Yield the arrays of a recurrent layer, or of a layer in both directions.

    PyTorch adds two biases, Keras has one in LSTM and plain layers: it is copied into the first, and the
    second becomes 0; the other way round they are added.
    """
    both = isinstance(layer, keras.layers.Bidirectional)
    directions = [(layer.forward_layer, ""), (layer.backward_layer, "_reverse")] if both else [(layer, "")]
    problems = [
        f"the PyTorch layer has {name} = {value!r}"
        for name, value, plain in (
            ("num_layers", module.num_layers, 1),
            ("bidirectional", module.bidirectional, both),
            ("proj_size", module.proj_size, 0),
        )
        if value != plain
    ]
    if problems:
        raise ModelError("; ".join(problems))
    for one, suffix in directions:
        yield from _direction(getattr(one, "cell", one), module, suffix)


def _direction(cell: Any, module: Any, suffix: str) -> Iterator[Slot]:
    twin, order = next((twin, order) for kind, twin, order in _CELLS if isinstance(cell, kind))
    if type(module).__name__ != twin:
        raise ModelError(f"the twin of a {type(cell).__name__} is a torch.nn.{twin}")
    _same_functions(cell, module)

    def to_torch(kernel: FloatArray) -> FloatArray:
        return np.transpose(_turned(kernel, order))

    def to_keras(weight: FloatArray) -> FloatArray:
        return _turned(np.transpose(weight), np.argsort(order))

    for name, keras_, torch_ in (("kernel", cell.kernel, "weight_ih"), ("recurrent kernel", None, "weight_hh")):
        yield Slot(
            name=name,
            keras=cell.recurrent_kernel if keras_ is None else keras_,
            torch=getattr(module, f"{torch_}_l0{suffix}"),
            to_torch=to_torch,
            to_keras=to_keras,
        )
    biases = [getattr(module, f"bias_{name}_l0{suffix}", None) for name in ("ih", "hh")]
    yield from _two_biases(cell, biases, order) if twin == "GRU" else _one_bias(cell, biases)


def _row(row: int, order: tuple[int, ...], array: FloatArray) -> FloatArray:
    """Return one row of a bias as PyTorch has it."""
    return _turned(array[row], order)


def _turned(array: FloatArray, order: Any) -> FloatArray:
    """Return an array with the gates of its last axis in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[place] for place in order], axis=-1)


def _same_functions(cell: Any, module: Any) -> None:
    """Refuse cells that compute something else with the same weights."""
    activation = "tanh" if type(module).__name__ != "RNN" else module.nonlinearity
    expected = {"activation": activation, "recurrent_activation": "sigmoid", "reset_after": True}
    problems = []
    for name, wanted in expected.items():
        given = getattr(cell, name, wanted)
        given = given if isinstance(given, (bool, str)) else keras.activations.serialize(given)
        if given != wanted:
            problems.append(f"the Keras layer has {name} = {given!r}, PyTorch's is {wanted}")
    if problems:
        raise ModelError("; ".join(problems))


def _one_bias(cell: Any, biases: list[Any]) -> Iterator[Slot]:
    """Yield one bias against two that are added."""
    first, second = biases
    added = 0.0 if second is None else second.detach().cpu().numpy()
    bias = getattr(cell, "bias", None)
    yield Slot(name="bias", keras=bias, torch=first, neutral=0.0, to_keras=lambda array: array + added)
    if second is not None:
        yield Slot(name="recurrent bias", keras=None, torch=second, neutral=0.0, is_counted=bias is not None)


def _two_biases(cell: Any, biases: list[Any], order: tuple[int, ...]) -> Iterator[Slot]:
    """Yield both rows of a bias against two biases."""
    bias = getattr(cell, "bias", None)

    def joined(_: FloatArray) -> FloatArray:
        rows = [one.detach().cpu().numpy() for one in biases]
        return np.stack([_turned(row, np.argsort(order)) for row in rows])

    for row, name in enumerate(("bias", "recurrent bias")):
        yield Slot(
            name=name,
            keras=bias,
            torch=biases[row],
            neutral=0.0,
            to_torch=functools.partial(_row, row, order),
            to_keras=joined,
        )
