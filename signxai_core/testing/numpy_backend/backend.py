"""The contract of :class:`signxai_core.engine.backend.Backend`, entry by entry, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import BackendDefaults, Operation, Recording
from signxai_core.errors import InputShapeError, InputTypeError, ModelError
from signxai_core.testing.network import Network
from signxai_core.testing.nodes import Array
from signxai_core.testing.numpy_backend.recording import Call, output_of, record
from signxai_core.testing.numpy_backend.target import differentiate


def build(network: Network) -> Network:
    """Return a network as a model of this backend: the network itself."""
    return network


class NumpyBackend(BackendDefaults):
    """NumPy on neutral networks, float64, channels first."""

    name = "numpy"

    def prepare(self, model: Any, x: Any) -> npt.NDArray[Any]:
        """Return ``x`` as float64; anything but floating-point numbers is refused."""
        if not isinstance(model, Network):
            raise ModelError(f"expected a signxai_core.testing.Network, got {type(model).__qualname__}")
        given = np.asarray(x)
        if given.dtype.kind != "f":
            raise InputTypeError(f"the input must hold floating-point numbers, got {given.dtype}; x.astype(float)")
        return given.astype(np.float64)

    def record(self, model: Any, x: Any) -> Recording:
        """Run the network; whether numbers overflow is for the engine to tell."""
        if x.shape[1:] != model.input_shape:
            raise InputShapeError(f"the network takes (batch, *{model.input_shape}), got {x.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            return record(model, np.asarray(x, dtype=np.float64))

    def linear(self, operation: Operation, inputs: Sequence[Array], weight: Array | None) -> Array:
        """Return the operation of other inputs with another weight, and without bias."""
        call: Call = operation.call
        return call.layer.value(inputs, weight)

    def pull(self, operation: Operation, weight: Array | None, relevance: Array) -> tuple[Array, ...]:
        """Return the vector-Jacobian product of :meth:`linear`, one array per input."""
        call: Call = operation.call
        return call.layer.pull(call.inputs, weight, relevance)

    def vjp(self, operation: Operation, cotangents: Sequence[Array | None]) -> tuple[Array, ...]:
        """Return the exact vector-Jacobian product at the recorded point; every node has one output."""
        (cotangent,) = cotangents
        assert cotangent is not None, "the engine asks only where relevance arrived"
        return self.pull(operation, None, cotangent)

    def apply(self, operation: Operation, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run the operation, as recorded (with its bias), on other inputs."""
        call: Call = operation.call
        return (output_of(call.layer, operation.parameters, inputs),)

    def scale_weight(self, operation: Operation, inner: Array | None, outer: Array | None) -> Array:
        r"""Return the weight with its channels scaled.

        It is (out, in / groups, \*kernel), or (in, out / groups, \*kernel) where transposed. The first
        axis runs over the channels of all groups, the second over those of one.
        """
        weight: Array = operation.parameters["weight"]
        every, one = (inner, outer) if operation.function == "conv_transpose" else (outer, inner)
        tail = (1,) * (weight.ndim - 2)
        if every is not None:
            weight = weight * every.reshape(-1, 1, *tail)
        if one is not None:
            groups = len(one) // weight.shape[1]
            by_group = weight.reshape(groups, -1, *weight.shape[1:]) * one.reshape(groups, 1, -1, *tail)
            weight = by_group.reshape(weight.shape)
        return weight

    def select(self, output: Array, target: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return ``target(output)``, one number per sample, and its gradient at ``output``."""
        return differentiate(output, target)

    def asarray(self, array: npt.NDArray[Any], like: Array) -> Array:
        """Return a copy in ``like``'s type."""
        return np.array(array, dtype=like.dtype)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Return the array."""
        return array

    def full_like(self, a: Array, value: float) -> Array:
        """An array of one number."""
        return np.full_like(a, value)

    def std(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Population standard deviation along one or several axes, which stay with length 1."""
        return np.asarray(a.std(axis=axis, keepdims=True))

    def largest(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Largest absolute value along one or several axes, which stay with length 1."""
        return np.asarray(np.abs(a).max(axis=axis, keepdims=True))

    where = staticmethod(np.where)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    abs = staticmethod(np.abs)
    broadcast_to = staticmethod(np.broadcast_to)
    reshape = staticmethod(np.reshape)
