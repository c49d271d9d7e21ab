"""Linear nodes: their value with any weight and without bias, and its vector-Jacobian product."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import attrs
import numpy as np

from signxai_core.testing import network as net
from signxai_core.testing.nodes import Array, Padding, Shape
from signxai_core.testing.numpy_backend.windows import EVERY, Windows

#: NumPy's names of what a padding is filled with.
_MODES: Final[dict[Padding, Literal["reflect", "edge", "wrap"]]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@attrs.frozen(eq=False)
class Layer:
    """One operation, as two functions.

    Parameters
    ----------
    value
        From inputs and a weight (``None``: its own) to the output, without bias.
    pull
        From inputs, a weight and a cotangent to the vector-Jacobian product at those inputs.
    """

    value: Callable[[Sequence[Array], Array | None], Array]
    pull: Callable[[Sequence[Array], Array | None, Array], tuple[Array, ...]]


def _own(weight: Array | None, node: Any) -> Array:
    found: Array = node.weight if weight is None else weight
    return found


def dense(node: net.Dense) -> Layer:
    """``W x``."""
    return Layer(
        lambda inputs, weight: inputs[0] @ _own(weight, node).T,
        lambda _, weight, r: (r @ _own(weight, node),),
    )


def conv(node: net.Conv, *, padded: bool) -> Layer:
    """Convolution; ``padded``: what surrounds the input was added by an operation before."""
    kernel, stride, padding, dilation = node.geometry()
    windows = Windows(kernel, stride, (0,) * node.axes if padded else padding, dilation)
    return Layer(
        lambda inputs, weight: windows.correlate(inputs[0], _own(weight, node), node.groups),
        lambda inputs, weight, r: (windows.spread(r, _own(weight, node), node.groups, inputs[0].shape[2:]),),
    )


def conv_transpose(node: net.ConvTranspose, shape: Shape) -> Layer:
    """The adjoint of a convolution, from its output to its input; ``shape`` is that of the result."""
    windows = Windows(*node.geometry())
    return Layer(
        lambda inputs, weight: windows.spread(inputs[0], _own(weight, node), node.groups, shape[1:]),
        lambda _, weight, r: (windows.correlate(r, _own(weight, node), node.groups),),
    )


def avg_pool(node: net.AvgPool, axes: int) -> Layer:
    """The mean of every window."""
    windows = Windows(*node.geometry(axes), dilation=(1,) * axes)
    taps = tuple(range(-axes, 0))

    def count(x: Array) -> Array | int:
        return math.prod(windows.kernel) if node.count_include_pad else windows.gather(np.ones(x.shape)).sum(taps)

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        share = np.expand_dims(r / count(inputs[0]), taps)
        parts = np.broadcast_to(share, (*r.shape, *windows.kernel))
        return (windows.scatter(parts, inputs[0].shape[2:]),)

    return Layer(lambda inputs, _: windows.gather(inputs[0]).sum(taps) / count(inputs[0]), pull)


def global_avg_pool() -> Layer:
    """The mean over all spatial axes."""

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        shape = inputs[0].shape
        share = np.expand_dims(r / math.prod(shape[2:]), tuple(range(2, len(shape))))
        return (np.broadcast_to(share, shape),)

    return Layer(lambda inputs, _: inputs[0].mean(axis=tuple(range(2, inputs[0].ndim))), pull)


def add() -> Layer:
    """The sum of the inputs."""
    return Layer(lambda inputs, _: np.asarray(sum(inputs[1:], inputs[0])), lambda inputs, _, r: (r,) * len(inputs))


def reshape(shape: Shape) -> Layer:
    """The same numbers in another shape."""
    return Layer(
        lambda inputs, _: inputs[0].reshape(-1, *shape),
        lambda inputs, _, r: (r.reshape(inputs[0].shape),),
    )


def concat() -> Layer:
    """The inputs one after the other on the channel axis."""
    return Layer(
        lambda inputs, _: np.concatenate(inputs, axis=1),
        lambda inputs, _, r: tuple(np.split(r, np.cumsum([x.shape[1] for x in inputs])[:-1], axis=1)),
    )


def zero_pad(node: net.Pad) -> Layer:
    """Zeros around the input."""

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        sides = zip(node.amounts, inputs[0].shape[2:], strict=True)
        inside: tuple[Any, ...] = tuple(slice(before, before + size) for (before, _), size in sides)
        return (r[EVERY + inside],)

    return Layer(lambda inputs, _: np.pad(inputs[0], [(0, 0), (0, 0), *node.amounts]), pull)


def surround(node: net.Conv) -> Layer:
    """Numbers of the input around it, as a convolution's ``mode`` says."""
    amounts = node.geometry()[2]

    def index(size: int, amount: int) -> Any:
        return np.pad(np.arange(size), amount, mode=_MODES[node.mode])

    def value(inputs: Sequence[Array], _: Array | None) -> Array:
        x = inputs[0]
        for axis, amount in enumerate(amounts, 2):
            x = np.take(x, index(x.shape[axis], amount), axis)
        return x

    def pull(inputs: Sequence[Array], _: Array | None, r: Array) -> tuple[Array, ...]:
        for axis, (size, amount) in enumerate(zip(inputs[0].shape[2:], amounts, strict=True), 2):
            moved = np.moveaxis(r, axis, 0)
            total = np.zeros((size, *moved.shape[1:]))
            np.add.at(total, index(size, amount), moved)
            r = np.moveaxis(total, 0, axis)
        return (r,)

    return Layer(value, pull)
