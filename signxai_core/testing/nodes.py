r"""Nodes of a :class:`~signxai_core.testing.network.Network`: one operation each, as plain data.

Arrays are float64 and channels-first, without a batch axis: samples (channels, \*spatial), dense
weights (out, in), convolutions (out, in / groups, \*kernel), transposed convolutions
(in, out / groups, \*kernel). Sizes per spatial axis may be given as one number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.specs.operations import Kind

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Padding = Literal["zeros", "reflect", "replicate", "circular"]

PADDINGS = ("zeros", "reflect", "replicate", "circular")
ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "softplus", "gelu", "silu")


def expand(sizes: Shape, axes: int) -> Shape:
    """Return one number per spatial axis; a single number counts for all of them."""
    if len(sizes) not in (1, axes):
        raise ValueError(f"expected 1 or {axes} numbers, one per spatial axis, got {sizes}")
    return sizes * axes if len(sizes) == 1 else sizes


def to_sizes(value: int | Sequence[int]) -> Shape:
    """Return one or several numbers as a tuple."""
    return (int(value),) if isinstance(value, (int, np.integer)) else tuple(int(v) for v in value)


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def as_array(value: npt.ArrayLike) -> Array:
    """Return numbers as an array of float64."""
    return np.asarray(value, dtype=np.float64)


def _identifier(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
        raise ValueError(f"{attribute.name} must be a word of letters, digits and '_', got {value!r}")


def _text(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size <= 6:
        return f"array({np.round(value, 4).tolist()})"
    return f"array(shape={value.shape}, min={value.min():.4g}, max={value.max():.4g})"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Node:
    """What every node has: ``name``, ``inputs`` (names; ``"input"`` is the network's), ``layer``.

    Two nodes with the same ``layer`` (default: the name) are one reused layer; they have the same
    type and arrays. ``layer`` is also the path that a composite sees.
    """

    type: ClassVar[str]
    kind: ClassVar[Kind]
    name: str = attrs.field(validator=_identifier)
    inputs: tuple[str, ...] = attrs.field(default=("input",), converter=_names)
    layer: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True), validator=_identifier)

    @property
    def function(self) -> str:
        """Name of the function that the node calls, for a composite's ``functions``."""
        return self.type

    def own(self) -> dict[str, Any]:
        """Return the fields that the type adds."""
        return {a.name: getattr(self, a.name) for a in attrs.fields(type_of(self)) if a.name not in _COMMON}

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        raise NotImplementedError

    def __repr__(self) -> str:
        layer = "" if self.layer == self.name else f" [layer {self.layer}]"
        own = "".join(f", {name}={_text(value)}" for name, value in self.own().items())
        return f"{self.name}{layer} = {self.type}({', '.join(self.inputs)}{own})"


_COMMON = ("name", "inputs", "layer")


def type_of(node: Node) -> type[Node]:
    """Return the class of a node (its attribute ``type`` is the word for it)."""
    return node.__class__


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - the condition is what is required
    """Raise ``ValueError`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def single(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of the only input."""
    require(len(shapes) == 1, f"expected one input, got {len(shapes)}")
    return shapes[0]


def spatial(shapes: Sequence[Shape], axes: int | None = None) -> Shape:
    """Return the shape of the only input, which has spatial axes."""
    shape = single(shapes)
    require(len(shape) >= 2, f"expected an input of shape (channels, *spatial), got {shape}")
    require(axes in (None, len(shape) - 1), f"expected {axes} spatial axes, got an input of shape {shape}")
    return shape


def window_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many windows fit on an axis."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    require(count >= 1, f"a window of {kernel} (dilation {dilation}) does not fit on {size} + 2·{padding}")
    return count


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SameShape(Node):
    """A node whose output has the shape of its one input."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        return single(shapes)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dense(Node):
    """``W x + b`` on the channels, at every place."""

    type = "dense"
    kind = "dense"
    weight: Array = attrs.field(converter=as_array)
    bias: Array | None = attrs.field(default=None, converter=attrs.converters.optional(as_array))

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        require(self.weight.ndim == 2, f"weight must be (out, in), got {self.weight.shape}")
        fits = shape[:1] == self.weight.shape[1:]
        require(fits, f"weight {self.weight.shape} does not fit an input of shape {shape}")
        _check_bias(self.bias, self.weight.shape[0])
        return (*self.weight.shape[:1], *shape[1:])


def _check_bias(bias: Array | None, channels: int) -> None:
    require(bias is None or bias.shape == (channels,), f"bias must have shape ({channels},)")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _Windowed(Node):
    """What both kinds of convolution have; one to three spatial axes, padded symmetrically."""

    kind = "convolution"
    weight: Array = attrs.field(converter=as_array)
    bias: Array | None = attrs.field(default=None, converter=attrs.converters.optional(as_array))
    stride: Shape = attrs.field(default=(1,), converter=to_sizes)
    padding: Shape = attrs.field(default=(0,), converter=to_sizes)
    dilation: Shape = attrs.field(default=(1,), converter=to_sizes)
    groups: int = 1

    @property
    def axes(self) -> int:
        """Number of spatial axes."""
        return self.weight.ndim - 2

    def geometry(self) -> tuple[Shape, Shape, Shape, Shape]:
        """Return kernel, stride, padding and dilation, one number per axis each."""
        return (
            self.weight.shape[2:],
            expand(self.stride, self.axes),
            expand(self.padding, self.axes),
            expand(self.dilation, self.axes),
        )


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Conv(_Windowed):
    """Convolution (cross-correlation), padded with zeros or with values of the input."""

    type = "conv"
    mode: Padding = attrs.field(default="zeros", validator=attrs.validators.in_(PADDINGS))

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        require(1 <= self.axes <= 3, f"weight must have 3 to 5 axes, got shape {self.weight.shape}")
        shape = spatial(shapes, self.axes)
        out, per_group = self.weight.shape[:2]
        fits = per_group * self.groups == shape[0] and out % self.groups == 0
        require(fits, f"weight {self.weight.shape} in {self.groups} groups does not fit an input of shape {shape}")
        _check_bias(self.bias, out)
        limit = {"zeros": math.inf, "replicate": math.inf, "reflect": -1.0, "circular": 0.0}[self.mode]
        for size, padding in zip(shape[1:], expand(self.padding, self.axes), strict=True):
            require(padding <= size + limit, f"{self.mode} padding of {padding} is too wide for a size of {size}")
        return (out, *(window_size(*axis) for axis in zip(shape[1:], *self.geometry(), strict=True)))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ConvTranspose(_Windowed):
    r"""Transposed convolution: weights (in, out / groups, \*kernel)."""

    type = "conv_transpose"
    output_padding: Shape = attrs.field(default=(0,), converter=to_sizes)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        require(1 <= self.axes <= 3, f"weight must have 3 to 5 axes, got shape {self.weight.shape}")
        shape = spatial(shapes, self.axes)
        fits = self.weight.shape[0] == shape[0] and shape[0] % self.groups == 0
        require(fits, f"weight {self.weight.shape} in {self.groups} groups does not fit an input of shape {shape}")
        out = self.weight.shape[1] * self.groups
        _check_bias(self.bias, out)
        axes = zip(shape[1:], *self.geometry(), expand(self.output_padding, self.axes), strict=True)
        sizes = tuple((n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, k, s, p, d, extra in axes)
        require(min(sizes) >= 1, f"nothing is left of an input of shape {shape}")
        return (out, *sizes)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BatchNorm(Node):
    """``gamma (x − mean) / sqrt(var + eps) + beta`` per channel, at inference."""

    type = "batch_norm"
    kind = "normalisation"
    mean: Array = attrs.field(converter=as_array)
    var: Array = attrs.field(converter=as_array)
    gamma: Array = attrs.field(converter=as_array)
    beta: Array = attrs.field(converter=as_array)
    eps: float = 1e-5

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        for name in ("mean", "var", "gamma", "beta"):
            got = getattr(self, name).shape
            require(got == shape[:1], f"{name} must have shape {shape[:1]}, one number per channel, got {got}")
        require(bool((self.var + self.eps > 0).all()), "var + eps must be positive")
        return shape


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Scaling(Node):
    """``scale · x + shift`` with constants: numbers, or one number per channel."""

    type = "scaling"
    kind = "scaling"
    scale: Array = attrs.field(default=1.0, converter=as_array)
    shift: Array = attrs.field(default=0.0, converter=as_array)

    @property
    def is_increasing(self) -> bool:
        """Whether it is by one positive number, and shifts by one."""
        return self.scale.size == self.shift.size == 1 and bool(self.scale > 0)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        for name in ("scale", "shift"):
            got = getattr(self, name).shape
            require(got in ((), shape[:1]), f"{name} must be a number or have shape {shape[:1]}, got {got}")
        return shape


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Activation(SameShape):
    """An elementwise function; ``alpha`` is leaky ReLU's slope and ELU's factor."""

    type = "activation"
    kind = "activation"
    of: str = attrs.field(default="relu", validator=attrs.validators.in_(ACTIVATIONS))
    alpha: float = attrs.field(
        default=attrs.Factory(lambda self: 0.01 if self.of == "leaky_relu" else 1.0, takes_self=True)
    )

    @property
    def function(self) -> str:
        """Name of the function that the node calls."""
        return self.of
