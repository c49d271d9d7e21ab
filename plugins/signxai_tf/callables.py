"""How a model is called for inference, and which floating-point type it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from signxai_core.errors import ModelError
from signxai_tf import private


def entry_point(model: Any) -> Callable[[Any], Any]:
    """Return a function of the input alone that runs the model at inference.

    Raises
    ------
    ModelError
        For objects that cannot be called, layers that have not been built, and several inputs.
    """
    if isinstance(model, keras.layers.Layer):
        if not model.built:
            raise ModelError(
                f"the model {model.name!r} has not been built and has no weights yet: call it once on an example, "
                "or give its first layer an input shape"
            )
        inputs = _inputs(model)
        if len(inputs) > 1:
            names = ", ".join(getattr(model, "input_names", None) or [tensor.name for tensor in inputs])
            raise ModelError(
                f"the model {model.name!r} takes {len(inputs)} inputs ({names}), and one is explained: wrap it in a "
                "function that fixes the others, such as lambda x: model([x, other]), and give backend='tensorflow'"
            )
        return lambda x: model(x, training=False)
    function = _function(model)
    if "training" in _arguments(function):
        return lambda x: function(x, training=False)
    return function


def _inputs(model: Any) -> Sequence[Any]:
    """Return a Keras model's inputs, where it knows them."""
    try:
        return (isinstance(model, keras.Model) and model.inputs) or ()
    except (AttributeError, ValueError):  # subclassed models have none; Keras raises for unbuilt ones, or gives None
        return ()


def _function(model: Any) -> Callable[..., Any]:
    """Return the callable of a function, a module or a loaded SavedModel."""
    if getattr(model, "structured_input_signature", ((), {}))[1]:
        return _signature(model)
    if callable(model):
        return model  # type: ignore[no-any-return]
    signatures = dict(getattr(model, "signatures", {}) or {})
    if callable(getattr(model, "serve", None)):
        return model.serve  # type: ignore[no-any-return]
    if len(signatures) == 1 or "serving_default" in signatures:
        return _signature(signatures.get("serving_default", next(iter(signatures.values()))))
    names = ", ".join(signatures) or "none"
    raise ModelError(
        f"the model of type {type(model).__name__} cannot be called: it has no __call__, no 'serve' and no "
        f"signature 'serving_default' (signatures: {names}); give one of its functions with backend='tensorflow'"
    )


def _signature(function: Any) -> Callable[..., Any]:
    """Return a signature as a function of one positional argument."""
    names = list(function.structured_input_signature[1])
    if len(names) != 1:
        raise ModelError(f"the model's signature takes {len(names)} inputs ({', '.join(names)}), and one is needed")
    return lambda x: function(**{names[0]: x})


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    call = function if inspect.isroutine(function) else type(function).__call__
    names = private.restored_argument_names(function)
    try:
        return names + tuple(inspect.signature(call).parameters)
    except (TypeError, ValueError):
        return names


def floating_type(model: Any) -> Any | None:
    """Return the type that the model's input should have, where the model tells."""
    types = (tf.dtypes.as_dtype(candidate) for candidate in _types(model))
    return next((dtype for dtype in types if dtype.is_floating), None)


def _types(model: Any) -> Iterator[Any]:
    """Yield the types of inputs and variables; a large model takes long to list its variables."""
    yield from (tensor.dtype for tensor in _inputs(model))
    yield from (spec.dtype for spec in getattr(model, "structured_input_signature", ((), {}))[1].values())
    if isinstance(model, (tf.Module, keras.layers.Layer)) or hasattr(model, "signatures"):
        yield from (variable.dtype for variable in getattr(model, "variables", ()))
