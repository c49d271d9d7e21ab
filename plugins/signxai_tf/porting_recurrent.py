"""Arrays of recurrent layers: both frameworks keep their gates in the same order, and bias differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from signxai_core.errors import ModelError
from signxai_tf.porting_slots import Slot


def lstm(layer: Any, module: Any) -> Iterator[Slot]:
    """Yield the arrays of an LSTM of one layer and one direction.

    PyTorch adds two biases, Keras has one: it is copied into the first, and the second becomes 0; the
    other way round they are added.
    """
    problems = [
        f"the PyTorch layer has {name} = {value!r}"
        for name, value, plain in (
            ("num_layers", module.num_layers, 1),
            ("bidirectional", module.bidirectional, False),
            ("proj_size", module.proj_size, 0),
        )
        if value != plain
    ]
    for name, expected in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        given = keras.activations.serialize(getattr(layer, name))
        if given != expected:
            problems.append(f"the Keras layer has {name} = {given!r}, PyTorch's is {expected}")
    if problems:
        raise ModelError("; ".join(problems))
    yield Slot(
        name="kernel", keras=layer.kernel, torch=module.weight_ih_l0, to_torch=np.transpose, to_keras=np.transpose
    )
    yield Slot(
        name="recurrent kernel",
        keras=layer.recurrent_kernel,
        torch=module.weight_hh_l0,
        to_torch=np.transpose,
        to_keras=np.transpose,
    )
    first, second = getattr(module, "bias_ih_l0", None), getattr(module, "bias_hh_l0", None)
    added = 0.0 if second is None else second.detach().cpu().numpy()
    yield Slot(name="bias", keras=layer.bias, torch=first, neutral=0.0, to_keras=lambda bias: bias + added)
    if second is not None:
        yield Slot(name="recurrent bias", keras=None, torch=second, neutral=0.0, is_counted=layer.bias is not None)
