"""Linear operations of a network as explicit lists of coefficients, and from them as matrices.

``z[row] += value · x[column]`` for every coefficient, built by scalar loops over windows. One
coefficient is one weight (times the constants folded into it), so a rule's weight cell is applied
to coefficients; only then those of one (row, column) are added up. They can be several: a padding
that reflects the input uses one value many times.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.specs.cells import KEEP, Constant, Mix, Square, WeightCell
from signxai_core.testing.blocks import Shift
from signxai_core.testing.nodes import (
    Array,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Node,
    Padding,
    Scaling,
    Shape,
)
from signxai_core.testing.structure import (
    Add,
    AvgPool,
    Concat,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Pad,
    Reshape,
    Stack,
    Take,
)

Indices = npt.NDArray[np.int64]


def map_values(cell: Mix | Square | Constant, values: Array) -> Array:
    """Return a cell applied to every number."""
    if isinstance(cell, Mix):
        return np.array([(cell.positive if v > 0 else cell.negative) * v for v in values.flat]).reshape(values.shape)
    return values * values if isinstance(cell, Square) else np.full(values.shape, cell.value)


@attrs.frozen(eq=False)
class Linear:
    """``z = W x + b`` on flat vectors; several inputs stand one after the other in ``x``.

    Parameters
    ----------
    rows, columns, values
        The coefficients.
    bias
        One number per output value, or ``None``.
    inputs
        Shapes of the inputs.
    output
        Shape of the output.
    """

    rows: Indices
    columns: Indices
    values: Array
    bias: Array | None
    inputs: tuple[Shape, ...]
    output: Shape
    _matrices: dict[WeightCell, Array] = attrs.field(factory=dict, init=False)

    def matrix(self, cell: WeightCell = KEEP) -> Array:
        """Return the matrix of the operation with a cell applied to its coefficients."""
        if cell not in self._matrices:
            matrix = np.zeros((math.prod(self.output), sum(math.prod(shape) for shape in self.inputs)))
            np.add.at(matrix, (self.rows, self.columns), map_values(cell, self.values))
            self._matrices[cell] = matrix
        return self._matrices[cell]

    def constant(self, cell: WeightCell = KEEP) -> Array:
        """Return the bias with a cell applied; zeros where there is none."""
        return np.zeros(math.prod(self.output)) if self.bias is None else map_values(cell, self.bias)

    def followed_by(self, scale: Array, shift: Array) -> Linear:
        """Return ``scale · (W x + b) + shift`` as one operation."""
        return attrs.evolve(self, values=self.values * scale[self.rows], bias=scale * self.constant() + shift)

    def preceded_by(self, index: Indices, scale: Array, shift: Array, shape: Shape) -> Linear:
        """Return ``W y + b`` as an operation on ``x``, with ``y = scale · x[index] + shift``.

        ``index`` is −1 where ``y`` is padding: no coefficient is left there.
        """
        used = index[self.columns] >= 0
        return attrs.evolve(
            self,
            rows=self.rows[used],
            columns=index[self.columns][used],
            values=(self.values * scale[self.columns])[used],
            bias=self.matrix() @ shift + self.constant() if shift.any() or self.bias is not None else None,
            inputs=(shape,),
        )


@lru_cache(maxsize=512)
def _axis(size: int, kernel: int, stride: int, padding: int, dilation: int, mode: Padding) -> tuple[Shape, ...]:
    """Return for every window its positions on the unpadded axis, −1 where there is a zero."""
    windows = []
    for start in range(0, size + 2 * padding - dilation * (kernel - 1), stride):
        window = []
        for tap in range(kernel):
            position = start + tap * dilation - padding
            if mode == "circular":
                position %= size
            elif mode == "replicate":
                position = min(max(position, 0), size - 1)
            elif mode == "reflect":
                position = abs(position) if position < size else 2 * (size - 1) - position
            window.append(position if 0 <= position < size else -1)
        windows.append(tuple(window))
    return tuple(windows)


def windows(
    sizes: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, mode: Padding = "zeros"
) -> Iterator[tuple[Shape, list[tuple[Shape, Shape]]]]:
    """Yield every window's position and its taps inside the input: (tap, position in the input)."""
    axes = [_axis(*axis, mode) for axis in zip(sizes, kernel, stride, padding, dilation, strict=True)]
    taps = list(itertools.product(*(range(k) for k in kernel)))
    for out in itertools.product(*(range(len(axis)) for axis in axes)):
        inside = []
        for tap in taps:
            position = tuple(axis[o][t] for axis, o, t in zip(axes, out, tap, strict=True))
            if min(position) >= 0:
                inside.append((tap, position))
        yield out, inside


Coefficients = Iterator[tuple[int, int, float]]


def _flat(index: Shape, shape: Shape) -> int:
    flat = 0
    for position, size in zip(index, shape, strict=True):
        flat = flat * size + position
    return flat


def _conv(node: Conv, shape: Shape, output: Shape) -> Coefficients:
    channels, per_group = node.weight.shape[:2]
    for out, inside in windows(shape[1:], *node.geometry(), node.mode):
        for channel in range(channels):
            first = channel // (channels // node.groups) * per_group
            row = _flat((channel, *out), output)
            for i in range(per_group):
                for tap, position in inside:
                    weight = (channel, i, *tap)
                    yield row, _flat((first + i, *position), shape), float(node.weight[weight])


def _conv_transpose(node: ConvTranspose, shape: Shape, output: Shape) -> Coefficients:
    kernel, stride, padding, dilation = node.geometry()
    channels, per_group = node.weight.shape[:2]
    for position in itertools.product(*(range(size) for size in shape[1:])):
        for tap in itertools.product(*(range(k) for k in kernel)):
            axes = zip(position, stride, padding, tap, dilation, strict=True)
            out = tuple(n * s - p + t * d for n, s, p, t, d in axes)
            if all(0 <= o < size for o, size in zip(out, output[1:], strict=True)):
                for channel in range(channels):
                    first = channel // (channels // node.groups) * per_group
                    column = _flat((channel, *position), shape)
                    for i in range(per_group):
                        weight = (channel, i, *tap)
                        yield _flat((first + i, *out), output), column, float(node.weight[weight])


def _avg_pool(node: AvgPool, shape: Shape, output: Shape) -> Coefficients:
    kernel, stride, padding = node.geometry(len(shape) - 1)
    for out, inside in windows(shape[1:], kernel, stride, padding, (1,) * len(kernel)):
        count = math.prod(kernel) if node.count_include_pad else len(inside)
        for channel in range(shape[0]):
            for _, position in inside:
                yield _flat((channel, *out), output), _flat((channel, *position), shape), 1 / count


def per_channel(values: Array, shape: Shape) -> Array:
    """Return one number per value of a tensor, from a number or one per channel, flat."""
    spread = values.reshape(values.shape + (1,) * (len(shape) - values.ndim)) if values.ndim else values
    return np.broadcast_to(spread, shape).ravel()


def affine(node: BatchNorm | Scaling | Shift, shape: Shape) -> tuple[Array, Array]:
    """Return scale and shift of batch-normalisation or scaling, one number per value."""
    if isinstance(node, Shift):
        return np.ones(math.prod(shape)), per_channel(node.shift, shape)
    if isinstance(node, Scaling):
        return per_channel(node.scale, shape), per_channel(node.shift, shape)
    scale = node.gamma / np.sqrt(node.var + node.eps)
    return per_channel(scale, shape), per_channel(node.beta - scale * node.mean, shape)


def index_map(node: Node, shapes: Sequence[Shape]) -> Indices | None:
    """Return where a shape operation takes every output value from, −1 for a zero; else ``None``."""
    size = sum(math.prod(shape) for shape in shapes)
    if isinstance(node, (Flatten, Reshape, Dropout, Concat)):
        return np.arange(size)
    if isinstance(node, Pad):
        return np.pad(np.arange(size).reshape(shapes[0]), ((0, 0), *node.amounts), constant_values=-1).ravel()
    if isinstance(node, Take):
        return np.arange(size).reshape(shapes[0]).take(range(node.start, node.stop), node.axis).ravel()
    return np.arange(size).reshape(len(shapes), -1).T.ravel() if isinstance(node, Stack) else None


def _dense(node: Dense, places: int) -> Coefficients:
    rows, columns = node.weight.shape
    for o, i, place in itertools.product(range(rows), range(columns), range(places)):
        yield o * places + place, i * places + place, float(node.weight[o, i])


def _of_weights(node: Node, shapes: Sequence[Shape], output: Shape) -> Coefficients | None:
    if isinstance(node, Dense):
        return _dense(node, math.prod(output[1:]))
    if isinstance(node, Conv):
        return _conv(node, shapes[0], output)
    return _conv_transpose(node, shapes[0], output) if isinstance(node, ConvTranspose) else None


def _coefficients(node: Node, shapes: Sequence[Shape], output: Shape) -> Coefficients | None:
    size = math.prod(output)
    if isinstance(node, (Dense, Conv, ConvTranspose)):
        return _of_weights(node, shapes, output)
    if isinstance(node, AvgPool):
        return _avg_pool(node, shapes[0], output)
    if isinstance(node, GlobalAvgPool):
        area = math.prod(shapes[0][1:])
        return ((i // area, i, 1 / area) for i in range(math.prod(shapes[0])))
    if isinstance(node, Add):
        return ((i % size, i, 1.0) for i in range(size * len(shapes)))
    if isinstance(node, (BatchNorm, Scaling, Shift)):
        scale, _ = affine(node, output)
        return ((i, i, scale[i]) for i in range(size))
    index = index_map(node, shapes)
    return None if index is None else ((o, int(i), 1.0) for o, i in enumerate(index) if i >= 0)


def linear(node: Node, shapes: Sequence[Shape]) -> Linear | None:
    """Return a node as a linear operation on inputs of these shapes, or ``None`` if it is none."""
    return _linear(node, tuple(shapes))


@lru_cache(maxsize=256)
def _linear(node: Node, shapes: tuple[Shape, ...]) -> Linear | None:
    output = node.output_shape(shapes)
    coefficients = _coefficients(node, shapes, output)
    if coefficients is None:
        return None
    listed = list(coefficients)
    bias = None
    if isinstance(node, (BatchNorm, Scaling, Shift)):
        bias = affine(node, output)[1]
    elif isinstance(node, (Dense, Conv, ConvTranspose)) and node.bias is not None:
        bias = per_channel(node.bias, output)
    return Linear(
        rows=np.array([row for row, _, _ in listed], dtype=np.int64),
        columns=np.array([column for _, column, _ in listed], dtype=np.int64),
        values=np.array([value for _, _, value in listed], dtype=np.float64),
        bias=bias,
        inputs=shapes,
        output=output,
    )
