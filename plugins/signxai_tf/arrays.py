"""Between NumPy and TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from signxai_core.errors import BackendError, InputShapeError, InputTypeError
from signxai_tf.callables import floating_type

_NUMPY: dict[Any, type[np.floating[Any]]] = {tf.float16: np.float16, tf.float32: np.float32, tf.float64: np.float64}


def prepare(x: Any, dtype: Any | None) -> npt.NDArray[Any]:
    """Return ``x`` as an array of ``dtype`` where NumPy has it, float32 where not.

    Raises
    ------
    InputTypeError
        If ``x`` does not hold floating-point numbers.
    InputShapeError
        If it has no axis.
    BackendError
        Inside a ``tf.function``, where there are no numbers yet.
    """
    if not tf.executing_eagerly():
        raise BackendError("models are explained outside of tf.function, where tensors have values: call it from there")
    array = _array(x)
    if array.dtype.kind != "f":
        advice = "take its real part" if array.dtype.kind == "c" else "convert it with x.astype('float32')"
        raise InputTypeError(f"the input has type {array.dtype}, and relevance needs floating-point numbers: {advice}")
    if array.ndim == 0:
        raise InputShapeError("the input is a single number: it needs a batch axis, shape (batch, ...)")
    if dtype is None:
        return array if array.dtype.itemsize <= 8 else array.astype(np.float64)
    return array.astype(_NUMPY.get(dtype, np.float32), copy=False)


def _array(x: Any) -> npt.NDArray[Any]:
    """Return any kind of tensor, or nested lists of numbers, as an array."""
    if isinstance(x, keras.Variable):
        x = x.value
    if isinstance(x, (tf.RaggedTensor, tf.SparseTensor)):
        dense = "x.to_tensor()" if isinstance(x, tf.RaggedTensor) else "tf.sparse.to_dense(x)"
        raise InputTypeError(f"the input is a {type(x).__name__}, and a dense tensor is needed: give {dense}")
    try:
        array = _seen(x) if tf.is_tensor(x) else np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputTypeError(f"the input is no array: {error}; give a NumPy array or a tensor") from error
    if array.dtype.kind == "O":
        raise InputTypeError(f"the input is of type {type(x).__name__}, not an array of numbers: give a NumPy array")
    return array


def _seen(x: Any) -> npt.NDArray[Any]:
    """Return a tensor's numbers, to be read; what a variable holds may change and is copied."""
    if isinstance(x, tf.Variable) or x.dtype not in _NUMPY:
        return to_numpy(x)
    seen: npt.NDArray[Any] = x.numpy().view()
    seen.flags.writeable = False
    return seen


def to_numpy(array: Any) -> npt.NDArray[Any]:
    """Return a tensor's numbers, in memory of their own; types that NumPy lacks become float32."""
    if array.dtype.is_floating and array.dtype not in _NUMPY:
        array = tf.cast(array, tf.float32)
    return np.array(array.numpy())


def asarray(array: npt.NDArray[Any], like: Any) -> Any:
    """Return a tensor of ``like``'s type, sharing no memory with the array."""
    return tf.constant(np.array(array, like.dtype.as_numpy_dtype))


def to_tensor(model: Any, x: Any) -> Any:
    """Return a fresh tensor of ``x`` with the model's type."""
    dtype = floating_type(model)
    x = tf.identity(x) if tf.is_tensor(x) else tf.constant(prepare(x, dtype))
    return x if dtype is None else tf.cast(x, dtype)
