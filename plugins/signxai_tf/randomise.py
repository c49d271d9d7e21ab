"""Copies of models whose parameters can be set: what ``signxai_core.metrics.randomised`` asks of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ModelError
from signxai_tf import private


def copy(model: Any) -> keras.Model:
    """Return a copy of the model that shares nothing with it."""
    if not isinstance(model, keras.Model):
        raise ModelError(f"only a keras.Model can be copied and randomised, got {type(model).__qualname__}")
    try:
        found = keras.models.clone_model(model)
        found.set_weights(model.get_weights())
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"the model cannot be copied, because Keras cannot rebuild it from its configuration; give models= of "
            f"your own. {type(error).__name__}: {reason}"
        ) from error
    return found


def layers(model: keras.Model) -> list[tuple[str, list[Any]]]:
    """Return path and trainable weights of the layers that have any of their own, in the model's order."""
    return [(path, own) for path, layer in _walk(model, "", set()) if (own := _own(layer))]


def _walk(layer: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for inner in private.sublayers(layer):
        yield from _walk(inner, f"{path}.{inner.name}" if path else inner.name, seen)


def _own(layer: Any) -> list[Any]:
    """Return the weights of a layer that belong to no layer inside it."""
    inside = {id(weight) for inner in private.sublayers(layer) for weight in inner.trainable_weights}
    return [weight for weight in layer.trainable_weights if id(weight) not in inside]


def read(parameter: Any) -> npt.NDArray[Any]:
    """Return a weight as a NumPy array."""
    values: npt.NDArray[Any] = np.array(parameter.numpy())
    return values


def write(parameter: Any, values: npt.NDArray[Any]) -> None:
    """Set a weight."""
    parameter.assign(values)
