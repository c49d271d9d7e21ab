"""Handles of recorded operations: what was called, with which arguments, and its local graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import attrs
import torch
from torch import Tensor

from signxai_torch.scratch import Scratch


@attrs.frozen(eq=False)
class Slot:
    """Place in an argument list that a tensor of the walk takes; :data:`WEIGHT` is the weight's."""

    index: int


WEIGHT = Slot(-1)

_NO_CONTEXT: AbstractContextManager[Any] = contextlib.nullcontext()
#: Types of arguments that hold nothing; most arguments are of these.
ATOMS = frozenset({bool, int, float, str, type(None)})


#: Types of arguments that hold no slot.
_FILLED = ATOMS | {Tensor, torch.nn.Parameter}


def fill(template: Any, inputs: Sequence[Any], weight: Any = None) -> Any:
    """Return a template with its slots filled."""
    if isinstance(template, Slot):
        return weight if template is WEIGHT else inputs[template.index]
    if isinstance(template, (tuple, list)):
        return rebuild(template, [item if type(item) in _FILLED else fill(item, inputs, weight) for item in template])
    if isinstance(template, dict):
        return {key: fill(value, inputs, weight) for key, value in template.items()}
    return template


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor without history that autograd accepts; only inference tensors are copied."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def exact(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which the caller's autocast, if there is one, rounds nothing on a tensor's device."""
    kind = tensor.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # a value that was dropped has no numbers to round
        return _NO_CONTEXT
    return torch.autocast(kind, enabled=False)


def rebuild(like: Any, items: list[Any]) -> Any:
    """Return ``items`` as a sequence of the type of ``like``, named tuples included."""
    if type(like) is tuple:
        return tuple(items)
    if isinstance(like, list):
        return items
    if hasattr(like, "_fields"):
        return type(like)(*items)
    return type(like)(items)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors of a nested result, in order."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[Tensor]) -> None:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ():
        if isinstance(item, Tensor):
            found.append(item)
        elif type(item) not in ATOMS:
            _collect(item, found)


def map_items(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the items of a container."""
    if isinstance(value, (tuple, list)):
        return rebuild(value, [item if type(item) in ATOMS else function(item) for item in value])
    if isinstance(value, dict):
        return {key: item if type(item) in ATOMS else function(item) for key, item in value.items()}
    return value


def replace(result: Any, handed: Iterator[Tensor]) -> Any:
    """Return a nested result with other tensors, in order."""
    if isinstance(result, Tensor):
        return next(handed)
    return map_items(lambda item: replace(item, handed), result)


@attrs.frozen(eq=False)
class OutOfPlace:
    """An in-place function that leaves its first argument alone and returns the new value."""

    function: Callable[..., Any]

    def __call__(self, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what ``target`` would have become."""
        result = target.clone()
        self.function(result, *args, **kwargs)
        return result


@attrs.frozen(eq=False)
class Invocation:
    """A function with slots among its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = attrs.field(factory=dict)

    def __call__(self, inputs: Sequence[Any], weight: Any = None) -> Any:
        """Call the function with tensors in its slots."""
        args = [item if type(item) in _FILLED else fill(item, inputs, weight) for item in self.args]
        with exact(inputs[0]):  # the model itself may ask for autocast
            if not self.kwargs:
                return self.function(*args)
            return self.function(*args, **fill(self.kwargs, inputs, weight))


@attrs.frozen(eq=False)
class Layout:
    """Where channels stand in a weight: the axes of input and output, and the number of groups.

    ``convolution`` holds stride, padding, dilation, transposed, output_padding and groups, in
    the order of ``aten.convolution_backward``.
    """

    inner: int
    outer: int
    groups: int = 1
    convolution: tuple[Any, ...] = ()
    same: bool = False


#: Vector-Jacobian product of an operation with one output.
Derivative = Callable[[Tensor], tuple[Tensor, ...]]


@attrs.define(eq=False)
class Call:
    """Backend's handle of an operation.

    Parameters
    ----------
    recorded
        As it was called, at inference and not in place.
    local_inputs, local_outputs
        Ends of the operation's own graph; no other operation's graph is connected to it. Without
        outputs it has none, and ``derivative`` or another run takes its place.
    positions
        Places of the outputs among all tensors that the function returns.
    linear
        The same without bias and with a slot for the weight; ``None`` where ``recorded`` is that.
    layout
        Layout of the weight, where it is one that the backend knows.
    derivative
        The derivative at the recorded point, where it is written out.
    scratch
        For mapped weights; one for all operations of a recording.
    """

    recorded: Invocation
    local_inputs: tuple[Tensor, ...]
    local_outputs: tuple[Tensor, ...]
    positions: tuple[int, ...]
    linear: Invocation | None = None
    layout: Layout | None = None
    derivative: Derivative | None = None
    scratch: Scratch = attrs.field(factory=Scratch)

    def gradients(self, cotangents: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Return the vector-Jacobian product at the recorded point."""
        if self.derivative is not None and cotangents[0] is not None:
            return self.derivative(cotangents[0])
        if not self.local_outputs:
            self._build()
        pairs = [(o, c) for o, c in zip(self.local_outputs, cotangents, strict=True) if c is not None]
        return differentiate(pairs, self.local_inputs, retain=True)

    def _build(self) -> None:
        """Run the operation again, for its graph."""
        with torch.enable_grad():
            self.local_inputs = tuple(x.detach().requires_grad_() for x in self.local_inputs)
            self.local_outputs = self.outputs_of(self.recorded(self.local_inputs))

    def forget(self) -> None:
        """Drop every recorded number."""
        self.local_inputs, self.local_outputs, self.derivative = (), (), None

    def outputs_of(self, result: Any) -> tuple[Tensor, ...]:
        """Return the recorded outputs among what the function returned."""
        tensors = tensors_of(result)
        return tuple(tensors[position] for position in self.positions)


def differentiate(
    pairs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor], *, retain: bool = False
) -> tuple[Tensor, ...]:
    """Return the vector-Jacobian product of (output, cotangent) pairs; zeros where unconnected."""
    gradients: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        outputs, cotangents = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(outputs, inputs, cotangents, retain_graph=retain, allow_unused=True)
    return tuple(
        torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(inputs, gradients, strict=True)
    )
