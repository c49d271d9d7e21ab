"""Nodes that frameworks have as one layer: normalisation within a sample, attention, recurrence.

The last two are made of plainer nodes, which :mod:`signxai_core.testing.lowering` puts in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import attrs

from signxai_core.testing.nodes import Array, Node, SameShape, Shape, as_array, require, single

Cell = Literal["lstm", "gru", "rnn"]
#: Gates and candidates of a cell, each of the state's size; in PyTorch's order.
PARTS: Final[dict[str, int]] = {"lstm": 4, "gru": 3, "rnn": 1}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Norm(Node):
    r"""``(x − mean) / sqrt(var + eps) · weight + bias`` within one sample.

    Parameters
    ----------
    weight, bias
        One number per channel.
    groups
        Mean and variance are those of each group of channels over all places (group norm; with as many
        groups as channels, instance norm). ``None``: of the channels at each place (layer norm).
    centred
        The mean is taken away; otherwise the root of the mean square divides (RMS norm).

    Its kind is that of its last operation on activations, which takes the statistic for a constant.
    """

    type = "norm"
    kind = "product"
    weight: Array = attrs.field(converter=as_array)
    bias: Array | None = attrs.field(default=None, converter=attrs.converters.optional(as_array))
    groups: int | None = None
    centred: bool = True
    eps: float = 1e-3

    @property
    def function(self) -> str:
        """Name of the function that the node calls."""
        if self.groups is not None:
            return "group_norm"
        return "layer_norm" if self.centred else "rms_norm"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        for name in ("weight", "bias"):
            values = getattr(self, name)
            require(values is None or values.shape == shape[:1], f"{name} must have shape {shape[:1]}")
        require(self.eps > 0, "eps must be positive")
        fits = self.groups is None or (self.centred and self.groups >= 1 and shape[0] % self.groups == 0)
        require(fits, f"{self.groups} groups do not fit an input of shape {shape}")
        return shape


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Attention(Node):
    """Self-attention among the places of a series (channels, places).

    Parameters
    ----------
    query, key, value, out
        Weights (channels, channels).
    biases
        (4, channels), in that order.
    heads
        How many parts the channels have.
    """

    type = "attention"
    kind = "matrix_product"
    query: Array = attrs.field(converter=as_array)
    key: Array = attrs.field(converter=as_array)
    value: Array = attrs.field(converter=as_array)
    out: Array = attrs.field(converter=as_array)
    biases: Array = attrs.field(converter=as_array)
    heads: int = 1

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        require(len(shape) == 2, f"expected a series (channels, places), got {shape}")
        size = shape[0]
        for name in ("query", "key", "value", "out"):
            require(getattr(self, name).shape == (size, size), f"{name} must have shape {(size, size)}")
        require(self.biases.shape == (4, size), f"biases must have shape {(4, size)}, got {self.biases.shape}")
        require(size % self.heads == 0, f"{size} channels cannot be divided into {self.heads} heads")
        return shape


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Recurrent(Node):
    """A recurrent layer over the places of a series (channels, places), to (state, places).

    Parameters
    ----------
    cell
        ``lstm`` (input, forget, candidate, output), ``gru`` (reset, update, candidate; the reset gate
        behind the product) or ``rnn`` (tanh).
    weight, recurrent
        (parts · state, channels) and (parts · state, state).
    biases
        (2, parts · state): of the input and of the state.
    reverse
        The last place comes first.
    """

    type = "recurrent"
    kind = "product"
    cell: Cell = attrs.field(validator=attrs.validators.in_(PARTS))
    weight: Array = attrs.field(converter=as_array)
    recurrent: Array = attrs.field(converter=as_array)
    biases: Array = attrs.field(converter=as_array)
    reverse: bool = False

    @property
    def size(self) -> int:
        """Size of the state."""
        return int(self.recurrent.shape[1])

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output, or raise ``ValueError`` where the inputs do not fit."""
        shape = single(shapes)
        require(len(shape) == 2, f"expected a series (channels, places), got {shape}")
        rows = PARTS[self.cell] * self.size
        for name, wanted in (("weight", (rows, shape[0])), ("recurrent", (rows, self.size)), ("biases", (2, rows))):
            got = getattr(self, name).shape
            require(got == wanted, f"{name} must have shape {wanted}, got {got}")
        return (self.size, shape[1])


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Shift(SameShape):
    """Constants added by a layer's own definition, one per channel: they are never folded into a neighbour."""

    type = "shift"
    kind = "scaling"
    shift: Array = attrs.field(converter=as_array)
