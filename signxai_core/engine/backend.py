"""The contract between the engine and a framework: what a backend records and computes.

A backend never sees a rule, a composite or a method. It runs a model once and hands over the
operations that were executed; the engine walks them. Arrays are the framework's own (``Array``);
the engine uses Python's operators on them and the functions of :class:`Backend`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs
import numpy.typing as npt

from signxai_core.engine.mapping import apply_weight_cell
from signxai_core.specs.cells import WeightCell
from signxai_core.specs.operations import Kind

Array = Any
Derived = TypeVar("Derived")
#: Entries of :attr:`Recording.known`.
_MOST_KNOWN = 256


def _read_only(mapping: Mapping[str, Array]) -> Mapping[str, Array]:
    return MappingProxyType(dict(mapping))


@attrs.frozen(eq=False, kw_only=True)
class Operation:
    """One operation that a model executed on tensors that depend on the input.

    Parameters
    ----------
    index
        Position in :attr:`Recording.operations`.
    kind
        What the engine may do with it: a row of :mod:`signxai_core.specs.operations`.
    function
        Its name (``"conv2d"``, ``"relu"``), neutral where frameworks have the same function.
    path
        Path of the layer in which it ran (``"features.0"``); empty in the model's own body.
    inputs, outputs
        Ids of the tensors, keys of :attr:`Recording.values`. Only inputs that depend on the
        model's input are listed.
    parameters
        Native arrays that do not depend on the input:

        * ``dense``, ``convolution``: ``weight`` in the framework's layout; ``bias``, broadcastable to
          the output, where there is one.
        * ``scaling``: ``scale`` and ``shift``, broadcastable to the output: ``y = scale · x + shift``.
        * ``normalisation`` (batch-norm at inference): the same, and ``mean`` and ``beta`` with
          ``y = scale · (x − mean) + beta``.
    signs
        ``sum`` only: sign of each input's coefficient.
    channel_axis
        Axis of the channels (units) of the output, for ``dense``, ``convolution`` and
        ``normalisation``; ``None`` where the weight cannot be scaled per channel, so that nothing is
        folded into the operation.
    padding
        ``shape`` only: the operation pads with zeros, nothing else.
    constants
        ``shape``: some of its numbers are constants of its own (concatenation with a constant, padding
        with a number), ``interpolation``: some of its weights are negative (bicubic); so that its numbers
        may be negative whatever the input is.
    attributes
        What else is known about the function, as plain values; every backend uses the same words:

        * ``axes``, ``keepdims``: reductions (``mean``, ``sum``, ``amax``), axes counted from 0;
        * ``axis``: ``softmax``, ``log_softmax``, ``concat``;
        * ``order``: transpositions, the axes of the input in their new order;
        * ``exponent``: ``pow`` with a constant exponent;
        * ``increasing``: ``scaling`` by one positive number, and a shift by one number if any.
    group
        Name and number of the function that was recorded as several operations (``("layer_norm", 3)``);
        ``None`` for an operation of its own.
    note
        ``other`` only: why it has no better kind.
    call
        The backend's own handle.
    """

    index: int
    kind: Kind
    function: str
    path: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: Mapping[str, Array] = attrs.field(factory=dict, converter=_read_only)
    signs: tuple[int, ...] = ()
    channel_axis: int | None = None
    padding: bool = False
    constants: bool = False
    attributes: Mapping[str, Any] = attrs.field(factory=dict, converter=_read_only)
    group: tuple[str, int] | None = None
    note: str = ""
    call: Any = attrs.field(default=None, repr=False)

    @property
    def label(self) -> str:
        """``"features.0 (conv2d)"``, or the function alone in the model's own body."""
        return f"{self.path} ({self.function})" if self.path else self.function


@attrs.frozen(eq=False)
class Released:
    """What stands in :attr:`Recording.values` for an array that no walk needs any more."""

    shape: tuple[int, ...]


@attrs.frozen(eq=False, kw_only=True)
class Recording:
    """What a model did with one batch.

    Parameters
    ----------
    operations
        In the order of execution; those that the output does not depend on may be among them.
    values
        Native arrays by tensor id: every input and output of every operation. A mapping of a backend's
        own may compute an array when it is asked for; its shape is read by :meth:`shape`. The last walk
        puts :class:`Released` in the place of those that it is done with.
    input, output
        Ids of the model's input and output. The engine takes the logits for the output where a class is
        explained.
    batch
        Number of samples: the length of the first axis of input and output.
    channel_axis
        Axis of the input's channels in the model's layout (1, or the last).
    rounding
        Relative rounding error of the products in linear operations: ``2**-24`` in float32, ``2**-11``
        where the hardware computes them in TF32. Unknown is infinite; then the engine computes outputs
        that it could take as differences of others.
    warnings
        What users should know about this run, such as random numbers that were drawn; a plan prints them.
    compiled
        A compiling backend's own handle; see :class:`Compiler`.
    returned
        Set by the engine: id of what the model returns, where the output is in front of that.
    known
        What the engine has derived from the operations and shapes alone. A compiling backend hands the
        same mapping on with every run of a compiled model.
    """

    operations: tuple[Operation, ...]
    values: dict[int, Array]
    input: int
    output: int
    batch: int
    channel_axis: int
    rounding: float = math.inf
    warnings: tuple[str, ...] = ()
    compiled: Any = attrs.field(default=None, repr=False)
    returned: int | None = None
    known: dict[Hashable, Any] = attrs.field(factory=dict, repr=False)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a value, which is not computed for that."""
        return tuple(dict.__getitem__(self.values, tensor).shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of what the model returns; logits in front of it have as many numbers."""
        return self.shape(self.output if self.returned is None else self.returned)

    def derive(self, key: Hashable, function: Callable[[], Derived]) -> Derived:
        """Return ``function()``, from :attr:`known` where it is there."""
        if key not in self.known:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known[key] = function()
        found: Derived = self.known[key]
        return found


@runtime_checkable
class Backend(Protocol):
    """A framework, as the engine sees it.

    Linear kinds (``dense``, ``convolution``, ``average_pooling``, ``interpolation``, ``sum``, ``shape``)
    are affine in their inputs; ``linear`` and ``pull`` leave out every bias.
    """

    name: str

    def record(self, model: Any, x: Any) -> Recording:
        """Run ``model`` on ``x`` once, at inference, and leave both as they were."""

    def prepare(self, model: Any, x: Any) -> npt.NDArray[Any]:
        """Return ``x`` as a NumPy array of the model's floating-point type where NumPy has it."""

    def linear(self, operation: Operation, inputs: Sequence[Array], weight: Array | None) -> Array:
        """Return the operation of other inputs with another weight, and without bias.

        With a weight, it is a new array, which the engine may write to.
        """

    def pull(self, operation: Operation, weight: Array | None, relevance: Array) -> tuple[Array, ...]:
        """Return the vector-Jacobian product of :meth:`linear`, one array per input.

        Of an operation with a weight it is a new array, which the engine may write to.
        """

    def pull_many(self, operation: Operation, weight: Array | None, relevances: Sequence[Array]) -> list[Array]:
        """Return what :meth:`pull` returns for each of several arrays, of an operation with a weight.

        The engine asks for it where the weight is much larger than the arrays.
        """

    def vjp(self, operation: Operation, cotangents: Sequence[Array | None]) -> tuple[Array, ...]:
        """Return the exact vector-Jacobian product at the recorded point, one array per input.

        ``cotangents`` has one entry per output, ``None`` where nothing arrived.
        """

    def apply(self, operation: Operation, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run the operation, as recorded (with its bias), on other inputs."""

    def forget(self, operation: Operation) -> None:
        """Drop the arrays that the operation's handle keeps; only ``apply`` may be asked of it from now on."""

    def map_weight(self, operation: Operation, cell: WeightCell, weight: Array) -> Array:
        """Return a cell of a weight; it is only handed to :meth:`linear` and :meth:`pull`.

        So a backend is free to return a stand-in of its own that maps a large weight part by part.
        """

    def split(self, operation: Operation, weight: Array) -> Iterator[tuple[slice, Array]] | None:
        """Return a weight by slices of the output units, if it is large, and they are the output's last axis.

        Then a rule that maps the weight is applied to a slice at a time, which is read once.
        """

    def scale_weight(self, operation: Operation, inner: Array | None, outer: Array | None) -> Array:
        """Return the weight with input channels times ``inner`` and output channels times ``outer``.

        Both are one-dimensional, one number per channel, or ``None``.
        """

    def select(self, output: Array, target: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return ``target(output)``, one number per sample, and its gradient at ``output``."""

    def asarray(self, array: npt.NDArray[Any], like: Array) -> Array:
        """Return a native array of ``like``'s type and device."""

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Return a NumPy array; types that NumPy lacks become float32."""

    def where(self, condition: Array, a: Array, b: Array) -> Array:
        """Elementwise choice; ``a`` and ``b`` may be numbers."""

    def maximum(self, a: Array, b: Array | float) -> Array:
        """Elementwise maximum."""

    def minimum(self, a: Array, b: Array | float) -> Array:
        """Elementwise minimum."""

    def abs(self, a: Array) -> Array:
        """Elementwise absolute value."""

    def copysign(self, magnitude: Array, sign: Array) -> Array:
        """``|magnitude|`` with the sign of ``sign``, and ``+|magnitude|`` where that is 0 (or −0)."""

    def quotient(self, a: Array, b: Array, epsilon: float, *, positive: bool = False, is_free: bool = False) -> Array:
        """``a / (b + s(b)·epsilon)`` with ``s(b) = 1`` where ``b >= 0``, else −1; 0 where the divisor is 0.

        ``positive``: no number in ``b`` is negative, so that a backend need not look. ``is_free``: a
        backend may write to ``b``.
        """

    def full_like(self, a: Array, value: float) -> Array:
        """An array of one number."""

    def broadcast_to(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Broadcast to a shape."""

    def reshape(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Reshape."""

    def sum_to(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Sum over the axes along which an array of ``shape`` would be broadcast to ``a``'s."""

    def std(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Population standard deviation along one or several axes, which stay with length 1."""

    def largest(self, a: Array, axis: int | tuple[int, ...]) -> Array:
        """Largest absolute value along one or several axes, which stay with length 1."""


class BackendDefaults:
    """What a backend may inherit: entries that need speed only where the framework has it to give."""

    def pull_many(self: Any, operation: Operation, weight: Array | None, relevances: Sequence[Array]) -> list[Array]:
        """Pull one array after the other."""
        return [self.pull(operation, weight, relevance)[0] for relevance in relevances]

    def forget(self, operation: Operation) -> None:
        """Drop nothing: a handle that keeps no arrays has none to drop."""

    def map_weight(self: Any, operation: Operation, cell: WeightCell, weight: Array) -> Array:
        """Return a cell of a weight."""
        return apply_weight_cell(self, cell, weight)

    def split(self, operation: Operation, weight: Array) -> Iterator[tuple[slice, Array]] | None:
        """Take the weight as a whole."""
        return None

    def sum_to(self: Any, a: Array, shape: tuple[int, ...]) -> Array:
        """Sum over the axes along which an array of ``shape`` would be broadcast to ``a``'s."""
        if tuple(a.shape) == tuple(shape):
            return a
        padded = (1,) * (len(a.shape) - len(shape)) + tuple(shape)
        axes = tuple(i for i, (n, m) in enumerate(zip(a.shape, padded, strict=True)) if m == 1 and n != 1)
        return self.asarray(self.to_numpy(a).sum(axis=axes, keepdims=True).reshape(shape), a)

    def copysign(self: Any, magnitude: Array, sign: Array) -> Array:
        """``|magnitude|`` with the sign of ``sign``, and ``+|magnitude|`` where that is 0 (or −0)."""
        size = self.abs(magnitude)
        return self.where(sign >= 0, size, -size)

    def quotient(
        self: Any, a: Array, b: Array, epsilon: float, *, positive: bool = False, is_free: bool = False
    ) -> Array:
        """``a / (b + s(b)·epsilon)`` with ``s(b) = 1`` where ``b >= 0``, else −1; 0 where the divisor is 0."""
        divisor = b + self.copysign(self.full_like(b, epsilon), b) if epsilon else b
        return a / self.where(divisor == 0, self.full_like(divisor, math.inf), divisor)
