"""The backend: what the engine asks of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor

from signxai_core.engine.backend import BackendDefaults, Operation, Recording
from signxai_core.engine.mapping import apply_weight_cell
from signxai_core.errors import TargetError, UnsupportedOperationError
from signxai_core.specs.cells import WeightCell
from signxai_torch import derivatives
from signxai_torch.arrays import asarray, floating_type, prepare, to_numpy, to_tensor
from signxai_torch.calls import Call, differentiate, exact, plain
from signxai_torch.parts import InParts, is_large, scaled
from signxai_torch.run import run_model

#: Squares of smaller numbers lose digits in float32.
_SMALL_DEVIATION = 2.0**-50


class TorchBackend(BackendDefaults):
    """PyTorch, as the engine sees it; see :class:`signxai_core.engine.backend.Backend`."""

    name = "torch"

    def record(self, model: Any, x: Any) -> Recording:
        """Run ``model`` on ``x`` once, at inference, and leave both as they were."""
        return run_model(model, to_tensor(model, x))

    def prepare(self, model: Any, x: Any) -> npt.NDArray[Any]:
        """Return ``x`` as a NumPy array of the model's floating-point type where NumPy has it."""
        return prepare(x, floating_type(model))

    def linear(self, operation: Operation, inputs: Sequence[Tensor], weight: Tensor | InParts | None) -> Tensor:
        """Return the operation of other inputs with another weight, and without bias."""
        with torch.inference_mode(False), torch.no_grad(), exact(inputs[0]):
            if isinstance(weight, InParts):
                return weight.times(inputs[0])
            return _linear(operation, inputs, weight).detach()

    def pull(self, operation: Operation, weight: Tensor | InParts | None, relevance: Tensor) -> tuple[Tensor, ...]:
        """Return the vector-Jacobian product of :meth:`linear`, one array per input."""
        call: Call = operation.call
        with torch.inference_mode(False), exact(relevance):
            if call.linear is None:
                with torch.no_grad():
                    return call.gradients([relevance])
            if isinstance(weight, InParts):
                with torch.no_grad():
                    return (weight.pull(relevance),)
            weight = operation.parameters.get("weight") if weight is None else weight
            layout = call.layout
            if layout is not None and isinstance(weight, Tensor):
                with torch.no_grad():
                    return (derivatives.pull(layout, weight, relevance, call.local_inputs[0].detach()),)
            with torch.enable_grad():
                inputs = [torch.zeros_like(x).requires_grad_() for x in call.local_inputs]
                used = None if weight is None else plain(weight)
                return differentiate([(_linear(operation, inputs, used), relevance)], inputs)

    def pull_many(
        self, operation: Operation, weight: Tensor | InParts | None, relevances: Sequence[Tensor]
    ) -> list[Tensor]:
        """Return what :meth:`pull` returns for each of several arrays, along the batch's axis."""
        layout, rank = operation.call.layout, relevances[0].dim()
        if layout is None or rank != (2 if not layout.convolution else operation.parameters["weight"].dim()):
            return super().pull_many(operation, weight, relevances)
        (together,) = self.pull(operation, weight, torch.cat(tuple(relevances)))
        return list(torch.chunk(together, len(relevances)))

    def vjp(self, operation: Operation, cotangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Return the exact vector-Jacobian product at the recorded point, one array per input."""
        call: Call = operation.call
        given = [*(c for c in cotangents if c is not None), *call.local_inputs]
        with torch.inference_mode(False), torch.no_grad(), exact(given[0]):
            return call.gradients(cotangents)

    def apply(self, operation: Operation, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the operation, as recorded (with its bias), on other inputs."""
        call: Call = operation.call
        with torch.inference_mode(False), torch.no_grad(), exact(inputs[0]):
            return tuple(y.detach() for y in call.outputs_of(call.recorded(inputs)))

    def forget(self, operation: Operation) -> None:
        """Drop the arrays that the operation's handle keeps; only ``apply`` may be asked of it from now on."""
        operation.call.forget()

    def map_weight(self, operation: Operation, cell: WeightCell, weight: Tensor | InParts) -> Tensor | InParts:
        """Return a cell of a weight, or what maps a large weight part by part."""
        call: Call = operation.call
        if not isinstance(weight, InParts) and call.layout is not None and is_large(weight, call.layout):
            weight = InParts(self, call, call.layout, weight)
        if isinstance(weight, InParts):
            return weight.mapped(cell)
        return cast("Tensor", apply_weight_cell(self, cell, weight))

    def split(self, operation: Operation, weight: Tensor | InParts) -> Iterator[tuple[slice, Tensor]] | None:
        """Return a weight by slices of the output units, if it is large, and they are the output's last axis."""
        call: Call = operation.call
        if call.layout is None or call.layout.convolution or not is_large(operation.parameters["weight"], call.layout):
            return None
        whole = weight if isinstance(weight, InParts) else InParts(self, call, call.layout, weight)
        return whole.slices()

    def scale_weight(self, operation: Operation, inner: Tensor | None, outer: Tensor | None) -> Tensor | InParts:
        """Return the weight with input channels times ``inner`` and output channels times ``outer``."""
        call: Call = operation.call
        if call.layout is None:
            message = f"{operation.label}: its weight has no axes of input and output channels that can be scaled"
            raise UnsupportedOperationError(message, function=operation.function, path=operation.path)
        weight: Tensor = operation.parameters["weight"]
        if is_large(weight, call.layout):
            return InParts(self, call, call.layout, weight, inner, outer)
        return scaled(weight, call.layout, inner, outer)

    def select(self, output: Tensor, target: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Return ``target(output)``, one number per sample, and its gradient at ``output``."""
        with torch.inference_mode(False), torch.enable_grad():
            point = plain(output).requires_grad_()
            values = target(point)
            expected = f"one number per sample, shape ({point.shape[0]},)"
            if not isinstance(values, Tensor) or values.shape != point.shape[:1]:
                got = tuple(values.shape) if hasattr(values, "shape") else type(values).__name__
                raise TargetError(f"the target function must return {expected}, and returned {got}")
            if not values.requires_grad:
                raise TargetError("the target function's result does not depend on the output it was given")
            (gradient,) = differentiate([(values, torch.ones_like(values))], [point])
            return values.detach(), gradient

    def asarray(self, array: npt.NDArray[Any], like: Tensor) -> Tensor:
        """Return a native array of ``like``'s type and device."""
        return asarray(array, like)

    def to_numpy(self, array: Tensor) -> npt.NDArray[Any]:
        """Return a NumPy array; types that NumPy lacks become float32."""
        return to_numpy(array)

    def where(self, condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
        """Elementwise choice; ``a`` and ``b`` may be numbers."""
        return torch.where(condition, a, b)

    def maximum(self, a: Tensor, b: Tensor | float) -> Tensor:
        """Elementwise maximum."""
        return torch.maximum(a, b) if isinstance(b, Tensor) else torch.clamp(a, min=b)

    def minimum(self, a: Tensor, b: Tensor | float) -> Tensor:
        """Elementwise minimum."""
        return torch.minimum(a, b) if isinstance(b, Tensor) else torch.clamp(a, max=b)

    def abs(self, a: Tensor) -> Tensor:
        """Elementwise absolute value."""
        return torch.abs(a)

    def copysign(self, magnitude: Tensor, sign: Tensor) -> Tensor:
        """``|magnitude|`` with the sign of ``sign``, and ``+|magnitude|`` where that is 0 (or −0)."""
        return torch.copysign(magnitude, sign + 0.0)  # −0 + 0 is +0

    def quotient(
        self, a: Tensor, b: Tensor, epsilon: float, *, positive: bool = False, is_free: bool = False
    ) -> Tensor:
        """``a / (b + s(b)·epsilon)`` with ``s(b) = 1`` where ``b >= 0``, else −1; 0 where the divisor is 0.

        Without comparisons, which cost ten times an addition on a CPU, and in one array of its own.
        ``positive``: no number in ``b`` is negative. ``is_free``: that array may be ``b``.
        """
        if positive:
            visible = epsilon >= torch.finfo(b.dtype).tiny
            memory = b if is_free else None
            divisor = torch.add(b, epsilon, out=memory) if visible else _without_zeros(b, memory)
            return torch.div(a, divisor, out=divisor if a.shape == divisor.shape else None)
        divisor = b
        if epsilon:
            divisor = b + 0.0  # −0 + 0 is +0
            torch.copysign(divisor.new_tensor(epsilon), divisor, out=divisor).add_(b)
        if epsilon < torch.finfo(b.dtype).tiny:
            size = torch.threshold_(divisor.abs(), 0.0, torch.inf)
            divisor = torch.copysign(size, divisor, out=size)
        return torch.div(a, divisor, out=divisor if a.shape == divisor.shape else None)

    def full_like(self, a: Tensor, value: float) -> Tensor:
        """An array of one number."""
        return torch.full_like(a, value)

    def broadcast_to(self, a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Broadcast to a shape."""
        return torch.broadcast_to(a, shape)

    def reshape(self, a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Reshape."""
        return torch.reshape(a, shape)

    def sum_to(self, a: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Sum over the axes along which an array of ``shape`` would be broadcast to ``a``'s."""
        return a.sum_to_size(shape)

    def std(self, a: Tensor, axis: int | tuple[int, ...]) -> Tensor:
        """Population standard deviation along one or several axes, which stay with length 1.

        In two passes, which is as exact as ``torch.std``, and much faster on a CPU. Half types, where
        squares overflow, are left to PyTorch.
        """
        if torch.finfo(a.dtype).bits < 32:
            return torch.std(a, dim=axis, correction=0, keepdim=True)
        found = _deviation(a, axis)
        is_usual = (found > _SMALL_DEVIATION) & (found < torch.inf)
        if bool(is_usual.all()):
            return found
        size = self.largest(a, axis)  # in its unit, squares neither overflow nor vanish
        return torch.where(is_usual, found, size * _deviation(a / torch.where(size > 0, size, 1), axis))

    def largest(self, a: Tensor, axis: int | tuple[int, ...]) -> Tensor:
        """Largest absolute value along one or several axes, which stay with length 1."""
        return torch.maximum(torch.amax(a, dim=axis, keepdim=True), -torch.amin(a, dim=axis, keepdim=True))


def _deviation(a: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return (a - a.mean(dim=axis, keepdim=True)).square_().mean(dim=axis, keepdim=True).sqrt_()


def _without_zeros(b: Tensor, memory: Tensor | None) -> Tensor:
    """Return numbers that are not negative, with infinity for 0."""
    return torch.threshold(b, 0.0, torch.inf) if memory is None else torch.threshold_(memory, 0.0, torch.inf)


def _linear(operation: Operation, inputs: Sequence[Tensor], weight: Tensor | None) -> Tensor:
    call: Call = operation.call
    if call.linear is None:
        return call.outputs_of(call.recorded(inputs))[0]
    return cast("Tensor", call.linear(inputs, operation.parameters.get("weight") if weight is None else weight))
