"""Nodes without weights: pooling, sums, shape operations, heads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from signxai_core.testing.nodes import Node, SameShape, Shape, expand, require, single, spatial, to_sizes, window_size


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _Pool(Node):
    """A window over the spatial axes; ``stride`` is the kernel where it is not given."""

    kernel: Shape = attrs.field(default=(2,), converter=to_sizes)
    stride: Shape = attrs.field(default=attrs.Factory(lambda self: self.kernel, takes_self=True), converter=to_sizes)
    padding: Shape = attrs.field(default=(0,), converter=to_sizes)

    def geometry(self, axes: int) -> tuple[Shape, Shape, Shape]:
        """Return kernel, stride and padding, one number per axis each."""
        return expand(self.kernel, axes), expand(self.stride, axes), expand(self.padding, axes)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = spatial(shapes)
        axes = tuple(zip(shape[1:], *self.geometry(len(shape) - 1), strict=True))
        for _, kernel, _, padding in axes:
            require(2 * padding <= kernel, f"padding {padding} is more than half of the window {kernel}")
        return (shape[0], *(window_size(*axis) for axis in axes))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MaxPool(_Pool):
    """The largest value of each window; the first one wins a tie."""

    type = "max_pool"
    kind = "max_pooling"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AvgPool(_Pool):
    """The mean of each window; padding counts as zeros where ``count_include_pad``."""

    type = "avg_pool"
    kind = "average_pooling"
    count_include_pad: bool = True


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GlobalAvgPool(Node):
    r"""The mean over all spatial axes: (channels, \*spatial) to (channels,)."""

    type = "global_avg_pool"
    kind = "average_pooling"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        return spatial(shapes)[:1]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Add(Node):
    """The sum of inputs of one shape."""

    type = "add"
    kind = "sum"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        require(len(shapes) >= 2 and len(set(shapes)) == 1, f"expected inputs of one shape, got {list(shapes)}")
        return shapes[0]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Concat(Node):
    """The inputs one after the other on the channel axis."""

    type = "concat"
    kind = "shape"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        same = len({shape[1:] for shape in shapes}) == 1
        require(len(shapes) >= 1 and same, f"expected inputs that differ in channels only, got {list(shapes)}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Flatten(Node):
    """All axes in one, channels slowest."""

    type = "flatten"
    kind = "shape"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        return (math.prod(single(shapes)),)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Reshape(Node):
    """Another shape for the same values."""

    type = "reshape"
    kind = "shape"
    shape: Shape = attrs.field(converter=to_sizes)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        require(math.prod(shape) == math.prod(self.shape), f"shape {shape} cannot become {self.shape}")
        return self.shape


def _pairs(amounts: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(before), int(after)) for before, after in amounts)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Pad(Node):
    """Zeros on both sides of the spatial axes: (before, after) per axis."""

    type = "pad"
    kind = "shape"
    amounts: tuple[tuple[int, int], ...] = attrs.field(converter=_pairs)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = spatial(shapes, len(self.amounts))
        require(min(min(pair) for pair in self.amounts) >= 0, f"amounts must be >= 0, got {self.amounts}")
        sizes = zip(shape[1:], self.amounts, strict=True)
        return (shape[0], *(before + size + after for size, (before, after) in sizes))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dropout(SameShape):
    """The identity, at inference."""

    type = "dropout"
    kind = "dropout"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Softmax(SameShape):
    """Softmax over the channels; at the end of a network a head."""

    type = "softmax"
    kind = "softmax"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Take(Node):
    """The places ``start`` to ``stop`` of an axis: 0 for the channels."""

    type = "take"
    kind = "shape"
    start: int
    stop: int
    axis: int = 0

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        require(0 <= self.axis < len(shape), f"no axis {self.axis} in an input of shape {shape}")
        size = shape[self.axis]
        require(0 <= self.start < self.stop <= size, f"no places {self.start} to {self.stop} on an axis of {size}")
        return (*shape[: self.axis], self.stop - self.start, *shape[self.axis + 1 :])


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Stack(Node):
    """Vectors as the places of a series: (channels,) each to (channels, places)."""

    type = "stack"
    kind = "shape"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        same = len(set(shapes)) == 1 and len(shapes[0]) == 1
        require(same, f"expected vectors of one size, got {list(shapes)}")
        return (*shapes[0], len(shapes))


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Multiply(Node):
    """The product of inputs of one shape; any but the first may be one number per channel."""

    type = "multiply"
    kind = "product"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        fit = all(shape in (shapes[0], shapes[0][:1]) for shape in shapes[1:])
        require(
            len(shapes) >= 2 and fit, f"expected inputs of one shape, or one number per channel, got {list(shapes)}"
        )
        return shapes[0]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Divide(Node):
    """The first input by the second, which has its shape or one number per channel."""

    type = "divide"
    kind = "quotient"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        fit = len(shapes) == 2 and shapes[1] in (shapes[0], shapes[0][:1])
        require(fit, f"expected two inputs of one shape, or one number per channel in the second, got {list(shapes)}")
        return shapes[0]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class MatrixProduct(Node):
    """``a b`` of two series (rows, columns); ``aᵀ b`` where ``transposed``."""

    type = "matrix_product"
    kind = "matrix_product"
    transposed: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        require([len(shape) for shape in shapes] == [2, 2], f"expected two series, got {list(shapes)}")
        a, b = shapes
        a = a[::-1] if self.transposed else a
        require(a[1] == b[0], f"{a[1]} columns of the first input do not fit {b[0]} rows of the second")
        return (a[0], b[1])
