"""Paths of layers: which layer made an operation, and what that layer is called.

A path joins the names of the layers from the model down (``"block1.conv2d_3"``). Keras models
know the layer that is running. Elsewhere (``tf.Module``, SavedModels, plain functions) an
operation that reads a variable gets the path of the attribute that holds the variable, and others
the name scope in which they were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from signxai_tf import private
from signxai_tf.layer_groups import Calls, Origin


def layer_paths(model: Any) -> dict[int, str]:
    """Return the path of every layer of a Keras model, by the layer's id; the model's own is empty."""
    if not isinstance(model, keras.layers.Layer):
        return {}
    paths: dict[int, str] = {id(model): ""}
    pending = [(model, "")]
    while pending:
        layer, path = pending.pop()
        for inner in private.sublayers(layer):
            if id(inner) not in paths:
                paths[id(inner)] = f"{path}.{inner.name}" if path else inner.name
                pending.append((inner, paths[id(inner)]))
    return paths


def all_layers(model: Any) -> list[Any]:
    """Return a Keras model and all layers inside it."""
    if not isinstance(model, keras.layers.Layer):
        return []
    found = {id(model): model}
    pending = [model]
    while pending:
        for inner in private.sublayers(pending.pop()):
            if id(inner) not in found:
                found[id(inner)] = inner
                pending.append(inner)
    return list(found.values())


class Paths:
    """Finds the path of the layer that is running.

    Parameters
    ----------
    model
        What is explained. Where it is no Keras layer itself but calls some, paths start at the
        outermost layer that it calls.
    """

    def __init__(self, model: Any) -> None:
        self._known = layer_paths(getattr(model, "__self__", model))
        self._calls = Calls()

    def running(self) -> Origin | None:
        """Return the path and group of the layer, or ``None`` where no layer is known."""
        stack = private.running_calls()
        if not stack:
            return None
        _, outermost = stack[0]
        if id(outermost) not in self._known:
            inner = layer_paths(outermost)
            self._known.update(inner if len(inner) > 1 else {id(outermost): outermost.name})
        path = next((self._known[id(layer)] for _, layer in reversed(stack) if id(layer) in self._known), None)
        return None if path is None else Origin(path, self._calls.running(stack))


def owners(model: Any) -> list[tuple[str, Any]]:
    """Return the variables of a model that is no Keras layer, each with the path of its owner."""
    return [] if isinstance(model, keras.layers.Layer) else list(_walk(model, "", set()))


def _walk(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the variables that are attributes of a module, or of what it holds."""
    if isinstance(value, tf.Variable):
        yield path.rpartition(".")[0], value
        return
    if isinstance(value, keras.Variable):
        yield path.rpartition(".")[0], value.value
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    for key, item in _items(value):
        yield from _walk(item, f"{path}.{key}" if path else str(key), seen)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif isinstance(value, Mapping):
        yield from value.items()
    elif hasattr(value, "__dict__") and (
        isinstance(value, (tf.Module, keras.layers.Layer)) or type(value).__module__.startswith("tensorflow.python")
    ):
        # An exported Keras model holds its variables in lists whose names say nothing about layers.
        names = (name for name in vars(value) if not name.startswith("_") and not name.endswith("variables"))
        yield from ((name, vars(value)[name]) for name in names)


def scope_path(name: str) -> str:
    """Return the name scope of an operation as a path."""
    return ".".join(name.split("/")[:-1])
