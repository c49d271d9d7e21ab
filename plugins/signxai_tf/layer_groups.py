"""Layers whose operations are recorded as a group: normalisations, attention and recurrent layers of Keras."""

from __future__ import annotations

from typing import Any, Final

import attrs
import keras

#: Groups in which biases are added by operations of their own, behind the products.
RECURRENT: Final = frozenset({"lstm", "gru", "rnn"})
#: Groups that end with one scaling by weight and bias.
NORMS: Final = frozenset({"layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"})

#: Neutral names by class; versions of Keras differ in which of them there are.
_NAMES: Final = {
    "LayerNormalization": "layer_norm",
    "GroupNormalization": "group_norm",
    "RMSNormalization": "rms_norm",
    "UnitNormalization": "normalize",
    "MultiHeadAttention": "attention",
    "GroupQueryAttention": "attention",
    "Attention": "attention",
    "AdditiveAttention": "attention",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleRNNCell": "rnn",
}
_CLASSES: Final = tuple(
    (getattr(keras.layers, name), group) for name, group in _NAMES.items() if name in dir(keras.layers)
)
#: Layers inside a group that are part of it.
_PARTS: Final = (keras.layers.Softmax, keras.layers.Dropout)


@attrs.frozen
class Origin:
    """Where an operation was made.

    Parameters
    ----------
    path
        Of the layer.
    group
        Neutral name and number of the layer's call, for layers whose operations are a group.
    """

    path: str
    group: tuple[str, int] | None = None


#: Of an operation outside of all layers.
NOWHERE: Final = Origin("")


def group_of(layer: Any) -> str | None:
    """Return the neutral name of what a layer computes; ``None`` for one whose ``call`` is its own."""
    if isinstance(layer, keras.layers.RNN):
        names = {group_of(cell) for cell in getattr(layer.cell, "cells", [layer.cell])}
        return names.pop() if len(names) == 1 else None
    for known, group in _CLASSES:
        if isinstance(layer, known) and type(layer).call is known.call:
            return _norm_of(layer) or group
    return None


def _norm_of(layer: Any) -> str | None:
    """Return the name of a normalisation that is a special case of its class."""
    if getattr(layer, "rms_scaling", False):
        return "rms_norm"
    if not isinstance(layer, keras.layers.GroupNormalization):
        return None
    vectors = [vector for vector in (layer.gamma, layer.beta) if vector is not None]
    return "instance_norm" if vectors and layer.groups == vectors[0].shape[0] else None


class Calls:
    """Numbers the calls of layers that are groups, while a model is traced."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._scopes: list[Any] = []

    def running(self, stack: list[tuple[Any, Any]]) -> tuple[str, int] | None:
        """Return the group that is running.

        Parameters
        ----------
        stack
            Scope and layer of each call in progress, outermost first.
        """
        inner = [(scope, layer) for scope, layer in stack if not isinstance(layer, _PARTS)]
        if not inner:
            return None
        name = group_of(inner[-1][1])
        if name is None:
            return None
        scope = inner[-1][0]
        for outer, layer in reversed(inner[:-1]):  # the call of a layer holds those of its cell
            if group_of(layer) != name:
                break
            scope = outer
        return name, self._number(scope)

    def _number(self, scope: Any) -> int:
        if id(scope) not in self._numbers:
            self._scopes.append(scope)  # so that its id stays its own
            self._numbers[id(scope)] = len(self._numbers)
        return self._numbers[id(scope)]
