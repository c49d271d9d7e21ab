"""The backend: what the engine asks of TensorFlow."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from signxai_core.engine.backend import Array, BackendDefaults, Operation, Recording
from signxai_core.engine.compiler import Stage
from signxai_core.engine.mapping import UnitSquare, apply_weight_cell, unit
from signxai_core.errors import TargetError, UnsupportedOperationError
from signxai_core.specs.cells import WeightCell
from signxai_tf.arrays import asarray, prepare, to_numpy, to_tensor
from signxai_tf.callables import floating_type
from signxai_tf.calls import Handle, Layout, Program
from signxai_tf.compiled import Later, Point
from signxai_tf.pace import pulled
from signxai_tf.parts import InParts, mapped
from signxai_tf.run import run_compiled, run_model
from signxai_tf.trace import forget

#: Squares of smaller numbers lose digits in float32.
_SMALL_DEVIATION = 2.0**-50


class TensorFlowBackend(BackendDefaults):
    """TensorFlow, as the engine sees it; see :class:`signxai_core.engine.backend.Backend`."""

    name = "tensorflow"

    def record(self, model: Any, x: Any) -> Recording:
        """Run ``model`` on ``x`` once, at inference, and leave both as they were."""
        return run_model(model, to_tensor(model, x))

    def outline(self, model: Any, x: Any, purpose: Hashable) -> Recording:
        """Return what :meth:`record` returns, from a compiled run."""
        return run_compiled(model, to_tensor(model, x), purpose)

    def run(
        self, recording: Recording, key: Hashable, stage: Stage, arrays: Sequence[Array]
    ) -> tuple[list[Array], Any]:
        """Return ``stage(recording, arrays)``, compiled when a key is seen for the first time."""
        point: Point = recording.compiled
        return point.run(key, stage, arrays)

    def drop(self, model: Any) -> None:
        """Drop the traces of ``model``: the next call traces it again."""
        forget(model)

    def prepare(self, model: Any, x: Any) -> npt.NDArray[Any]:
        """Return ``x`` as a NumPy array of the model's floating-point type where NumPy has it."""
        return prepare(x, floating_type(model))

    def linear(self, operation: Operation, inputs: Sequence[Array], weight: Array | None) -> Array:
        """Return the operation of other inputs with another weight, and without bias."""
        if isinstance(weight, InParts):
            return weight.times(inputs[0])
        return _linear(operation)(inputs, weight)[0]

    def pull(self, operation: Operation, weight: Array | None, relevance: Array) -> tuple[Array, ...]:
        """Return the vector-Jacobian product of :meth:`linear`, one array per input."""
        if isinstance(weight, InParts):
            return pulled((weight.pull(relevance),))
        return pulled(_linear(operation).pull((relevance,), weight))

    def pull_many(self, operation: Operation, weight: Array | None, relevances: Sequence[Array]) -> list[Array]:
        """Return what :meth:`pull` returns for each of several arrays, along the batch's axis."""
        program = _linear(operation).repeated(len(relevances))
        if program is None:
            return super().pull_many(operation, weight, relevances)
        stacked = tf.concat(relevances, 0)
        together = weight.pull(stacked) if isinstance(weight, InParts) else program.pull((stacked,), weight)[0]
        return list(tf.split(*pulled((together,)), len(relevances)))

    def vjp(self, operation: Operation, cotangents: Sequence[Array | None]) -> tuple[Array, ...]:
        """Return the exact vector-Jacobian product at the recorded point, one array per input."""
        handle: Handle = operation.call
        try:
            return pulled(handle.recorded.pull(cotangents))
        except UnsupportedOperationError as error:
            message = f"{operation.label}: {error}"
            raise UnsupportedOperationError(message, function=operation.function, path=operation.path) from error

    def apply(self, operation: Operation, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run the operation, as recorded (with its bias), on other inputs."""
        handle: Handle = operation.call
        return handle.recorded(inputs)

    def map_weight(self, operation: Operation, cell: WeightCell, weight: Array) -> Array | InParts:
        """Return a cell of a weight, or what maps a large dense weight part by part."""
        if not isinstance(cell, UnitSquare):
            return mapped(operation.call, functools.partial(apply_weight_cell, self, cell), weight)
        size = unit(self, weight)  # of the whole weight, not of a part
        return mapped(operation.call, lambda part: tf.square(part * size), weight)

    def scale_weight(self, operation: Operation, inner: Array | None, outer: Array | None) -> Array:
        """Return the weight with input channels times ``inner`` and output channels times ``outer``."""
        layout: Layout | None = operation.call.layout
        if layout is None:
            message = f"{operation.label}: its weight has no axes of input and output channels that can be scaled"
            raise UnsupportedOperationError(message, function=operation.function, path=operation.path)
        return _scaled(operation.parameters["weight"], layout, inner, outer)

    def select(self, output: Array, target: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return ``target(output)``, one number per sample, and its gradient at ``output``."""
        point = tf.identity(output)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            values = target(point)
        if not tf.is_tensor(values) or tuple(values.shape) != tuple(point.shape[:1]):
            got = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
            expected = f"one number per sample, shape ({point.shape[0]},)"
            raise TargetError(f"the target function must return {expected}, and returned {got}")
        gradient = tape.gradient(values, point)
        if gradient is None:
            raise TargetError("the target function's result does not depend on the output it was given")
        return values, tf.convert_to_tensor(gradient)

    def asarray(self, array: npt.NDArray[Any], like: Array) -> Array:
        """Return a native array of ``like``'s type and device."""
        return asarray(array, like)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Return a NumPy array; types that NumPy lacks become float32."""
        return to_numpy(array.now() if isinstance(array, Later) else array)

    def where(self, condition: Array, a: Array | float, b: Array | float) -> Array:
        """Elementwise choice; ``a`` and ``b`` may be numbers."""
        types = [value.dtype for value in (a, b) if not isinstance(value, (int, float))]
        if types:
            a, b = (tf.cast(value, types[0]) if isinstance(value, (int, float)) else value for value in (a, b))
        return tf.where(condition, a, b)

    def maximum(self, a: Array, b: Array | float) -> Array:
        """Elementwise maximum."""
        return tf.maximum(a, b)

    def minimum(self, a: Array, b: Array | float) -> Array:
        """Elementwise minimum."""
        return tf.minimum(a, b)

    def abs(self, a: Array) -> Array:
        """Elementwise absolute value."""
        return tf.abs(a)

    def copysign(self, magnitude: Array, sign: Array) -> Array:
        """``|magnitude|`` with the sign of ``sign``, and ``+|magnitude|`` where that is 0 (or −0)."""
        return tf.abs(magnitude) * self._signed(1.0, sign)

    def quotient(self, a: Array, b: Array, epsilon: float, *, positive: bool = False, is_free: bool = False) -> Array:
        """``a / (b + s(b)·epsilon)`` with ``s(b) = 1`` where ``b >= 0``, else −1; 0 where the divisor is 0.

        ``positive``: no number in ``b`` is negative.
        """
        if not epsilon:
            return tf.math.divide_no_nan(a, b)
        factor = None if positive else _factor(a, b)
        if factor is not None:  # b·f / (b + s(b)·epsilon) = |b|·f / (|b| + epsilon), without signs
            a, b, positive = tf.abs(b) * factor, tf.abs(b), True
        divisor = b + (epsilon if positive else self._signed(epsilon, b))
        # A number too small for the arrays' type is 0 there.
        return a / divisor if epsilon >= np.finfo(np.float16).tiny else tf.math.divide_no_nan(a, divisor)

    def _signed(self, value: float, sign: Array) -> Array:
        return tf.where(sign >= 0, tf.constant(value, sign.dtype), tf.constant(-value, sign.dtype))

    def full_like(self, a: Array, value: float) -> Array:
        """An array of one number."""
        return tf.fill(tf.shape(a), tf.cast(value, a.dtype))

    def broadcast_to(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Broadcast to a shape."""
        return tf.broadcast_to(a, shape)

    def reshape(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Reshape."""
        return tf.reshape(a, shape)

    def sum_to(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Sum over the axes along which an array of ``shape`` would be broadcast to ``a``'s."""
        if tuple(a.shape) == tuple(shape):
            return a
        padded = (1,) * (len(a.shape) - len(shape)) + tuple(shape)
        axes = [i for i, (n, m) in enumerate(zip(a.shape, padded, strict=True)) if m == 1 and n != 1]
        return tf.reshape(tf.reduce_sum(a, axes), [-1 if n is None else n for n in shape])

    def std(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Population standard deviation along one or several axes, which stay with length 1."""
        found = tf.math.reduce_std(a, axis=axis, keepdims=True)
        is_usual = (found > _SMALL_DEVIATION) & (found < math.inf)

        def in_units() -> Array:
            """In the unit of the largest number, squares neither overflow nor vanish."""
            size = self.largest(a, axis)
            own = tf.math.reduce_std(a / tf.where(size > 0, size, tf.ones_like(size)), axis=axis, keepdims=True)
            return tf.where(is_usual, found, size * own)

        return tf.cond(tf.reduce_all(is_usual), lambda: found, in_units)

    def largest(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Largest absolute value along one or several axes, which stay with length 1."""
        return tf.maximum(tf.reduce_max(a, axis=axis, keepdims=True), -tf.reduce_min(a, axis=axis, keepdims=True))


def _factor(product: Array, array: Array) -> Array | None:
    """Return the other factor of a product of an array, where both are being traced."""
    if not tf.is_symbolic_tensor(product) or product.op.type != "Mul" or product.shape != array.shape:
        return None
    inner = product.graph.capture(array)
    others = [factor for factor in product.op.inputs if factor is not inner]
    return others[0] if len(others) == 1 and others[0].shape == array.shape else None


def _linear(operation: Operation) -> Program:
    handle: Handle = operation.call
    return handle.recorded if handle.linear is None else handle.linear


def _scaled(weight: Array, layout: Layout, inner: Array | None, outer: Array | None) -> Array:
    """Scale a weight whose axis of all channels is split into groups where there are several."""
    shape = weight.shape.as_list()
    if layout.depthwise:
        shape_inner, shape_outer = (*shape[:-2], shape[-2], 1), tuple(shape)
        if inner is not None:
            weight = weight * tf.reshape(_filled(inner, shape[-2]), (1,) * (len(shape) - 2) + shape_inner[-2:])
        if outer is not None:
            filled = _filled(outer, shape[-2] * shape[-1])
            weight = weight * tf.reshape(filled, (1,) * (len(shape) - 2) + shape_outer[-2:])
        return weight
    if outer is not None:
        places = [1] * len(shape)
        places[layout.outer] = -1
        weight = weight * tf.reshape(outer, places)
    if inner is not None:
        places = [1] * len(shape)
        places[layout.inner] = shape[layout.inner]
        if layout.groups == 1:
            places[layout.inner] = -1
            return weight * tf.reshape(inner, places)
        # Output channels come in groups, each of which reads its own input channels.
        by_group = tf.reshape(_filled(inner, shape[layout.inner] * layout.groups), (layout.groups, -1))
        repeated = tf.repeat(tf.transpose(by_group), shape[layout.outer] // layout.groups, axis=1)
        places[layout.outer] = shape[layout.outer]
        weight = weight * tf.reshape(repeated, places)
    return weight


def _filled(vector: Array, length: int) -> Array:
    """Return a vector of that length from one, or from a single number."""
    return tf.broadcast_to(tf.reshape(vector, (-1,)), (length,))
