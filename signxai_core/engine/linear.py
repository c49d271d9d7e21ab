"""One group of operations as a linear map ``z = f(x; W, b)`` with cells applied to x, W and b.

Notation as in
:mod:`signxai_core.specs.rules`: ``x`` the group's input(s), ``W`` and ``b`` its folded weight and
bias, ``z`` its output before any activation, ``t`` what is pulled back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from signxai_core.engine.backend import Array, Backend, Operation
from signxai_core.engine.mapping import apply_mix, apply_weight_cell
from signxai_core.engine.structure import Group, Structure, channel_vector
from signxai_core.errors import PlanError
from signxai_core.specs.cells import KEEP, ZERO, Bound, Cell, Constant, Mix, Sign, Square, WeightCell
from signxai_core.specs.rules import Rule, Share, Term
from signxai_core.specs.values import Missing, Value

_DIAGONAL = frozenset({"normalisation", "scaling"})
#: An output may be taken as the difference of two others where each sums this many products or more
#: (with few, one of them can be so small that the difference is rounding) with this rounding or less.
_WIDE, _PRECISE = 64, 2.0**-23


def _sign(cell: Cell) -> int:
    """Return the sign of all numbers that a cell makes, 0 where they may have both."""
    if isinstance(cell, Mix):
        up, down = cell.positive >= 0 >= cell.negative, cell.positive <= 0 <= cell.negative
        return 1 if up else -1 if down else 0
    if isinstance(cell, Constant):
        return 1 if cell.value >= 0 else -1
    return 1 if isinstance(cell, Square) else 0


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1 else array * factor


@attrs.define(eq=False)
class Linear:
    """A group as a linear map; caches mapped weights, and outputs of terms as long as another rule needs them.

    Parameters
    ----------
    backend, structure, group
        What is computed, and how.
    units
        Slice of the last axis of the output, where the map is restricted to that.
    uses
        How often rules will be applied that have a term; without an entry, once.
    """

    backend: Backend
    structure: Structure
    group: Group
    units: slice | None = None
    uses: Counter[Term] = attrs.field(factory=Counter)
    _z: Array | None = attrs.field(default=None, init=False)
    _rests: bool = attrs.field(default=False, init=False)
    _weights: dict[WeightCell, Array] = attrs.field(factory=dict, init=False)
    _outputs: dict[tuple[Term, bool], Array] = attrs.field(factory=dict, init=False)
    _folded: tuple[Array | None, Array | None] | None = attrs.field(default=None, init=False)

    @property
    def x(self) -> tuple[Array, ...]:
        """The inputs."""
        return tuple(self.structure.recording.values[tensor] for tensor in self.group.inputs)

    @property
    def z(self) -> Array:
        """The output, as recorded."""
        if self._z is None:
            z = self.structure.recording.values[self.group.outputs[0]]
            self._z = z if self.units is None else z[..., self.units]
        return self._z

    @property
    def padded_x(self) -> tuple[Array, ...]:
        """The inputs with the group's zero padding, without its scaling."""
        return tuple(self._pad(x) for x in self.x)

    def parts(self) -> Iterator[tuple[slice, Linear]] | None:
        """Return this map by slices of the output, where the backend finds its weight too large."""
        if self.group.core.kind != "dense":
            return None
        weight, bias = self._fold()
        found = self.backend.split(self.group.core, weight)
        return None if found is None else self._restricted(found, bias)

    def _restricted(self, parts: Iterator[tuple[slice, Array]], bias: Array | None) -> Iterator[tuple[slice, Linear]]:
        for units, weight in parts:
            part = Linear(self.backend, self.structure, self.group, units)
            part._folded = weight, bias if bias is None or bias.shape[-1] == 1 else bias[..., units]
            yield units, part

    def output(self, term: Term, rectified: Array | None = None) -> Array:
        """Return ``f(x_cell(x); weight_cell(W), bias_cell(b))``, without the term's sign.

        With ``rectified``, ``max(z, 0)``, the output is wanted only where that is not 0, and z itself
        is not touched.
        """
        key = term, rectified is not None
        if key in self._outputs:
            return self._outputs[key]
        output = self._compute(term, rectified)
        if self._rests or self.uses[term] > 1:
            self._outputs[key] = output
        return output

    def begin(self, rule: Rule) -> None:
        """Take note that the outputs of a rule's terms will be asked for."""
        self._rests = len(rule.shares) > 1 and self._is_wide()

    def finish(self, rule: Rule) -> None:
        """Forget outputs that no rule after this one will ask for."""
        self.uses.subtract({term for share in rule.shares for term in share.terms})
        for key in [key for key in self._outputs if self.uses[key[0]] <= 0]:
            del self._outputs[key]

    def keeps(self, array: Array) -> bool:
        """Return whether an array is an output that is kept."""
        return any(array is output for output in self._outputs.values())

    def is_whole(self, term: Term) -> bool:
        """Return whether a term's output is z."""
        return self._is_x(term.x) and term.weight == KEEP and term.bias == KEEP

    def vanishes(self, term: Term) -> bool:
        """Return whether the term's mapped input is known to be 0, whatever the data."""
        return term.x == ZERO or (isinstance(term.x, Mix) and term.x.positive == 0 and self._is_non_negative)

    def is_positive(self, share: Share) -> bool:
        """Return whether the outputs of a share's terms sum to no negative number, by its cells."""
        return all(
            self._sign_of(term) * term.sign > 0 and (self.bias(term.bias) is None or _sign(term.bias) * term.sign > 0)
            for term in share.terms
        )

    def _sign_of(self, term: Term) -> int:
        """Return the sign of all numbers that a term multiplies, 0 where they may have both."""
        x = 1 if isinstance(term.x, Mix) and term.x.positive > 0 and self._is_non_negative else _sign(term.x)
        return x * _sign(term.weight)

    @property
    def _is_non_negative(self) -> bool:
        return self.structure.non_negative.issuperset(self.group.inputs)

    def _compute(self, term: Term, rectified: Array | None) -> Array:
        if self.is_whole(term):
            return self.z if rectified is None else rectified
        rest = self._rest(term, rectified) if self._is_x(term.x) else None
        if rest is not None:
            return rest
        bias = self.bias(term.bias)
        if self.vanishes(term):
            nothing = self.backend.full_like(self.z if rectified is None else rectified, 0.0)
            return nothing if bias is None else nothing + bias
        mapped = [self.mapped(term.x, index) for index in range(len(self.x))]
        z = self.forward(mapped, term.weight)
        if bias is not None:
            z += bias  # a new array, whatever the framework: operations with a bias have weights
        return z

    def _rest(self, term: Term, rectified: Array | None) -> Array | None:
        """Return what a known output leaves of z, where that is the term's: ``x W⁻ + b⁻ = z − (x W⁺ + b⁺)``."""
        if not isinstance(term.weight, Mix) or not isinstance(term.bias, Mix) or not self._is_wide():
            return None
        for (known, is_partial), output in self._outputs.items():
            if is_partial and rectified is None:
                continue
            if not (isinstance(known.weight, Mix) and isinstance(known.bias, Mix) and self._is_x(known.x)):
                continue
            if term.weight.added(known.weight) == KEEP:
                both = term.bias.added(known.bias)
                bias = self.bias(Mix(both.positive - 1, both.negative - 1))
                z = self.z if rectified is None else rectified
                return z - output if bias is None else z - output + bias
        return None

    def _is_wide(self) -> bool:
        """Return whether an output may be taken as a difference; see :data:`_WIDE`."""
        core = self.group.core
        weight = core.parameters.get("weight")
        if weight is None or core.channel_axis is None or self.structure.recording.rounding > _PRECISE:
            return False
        outputs = self.structure.recording.shape(core.outputs[0])[core.channel_axis]
        return bool(math.prod(weight.shape) >= _WIDE * outputs)

    def _is_x(self, cell: Cell) -> bool:
        """Return whether a cell is the identity on the inputs."""
        return isinstance(cell, Mix) and cell.positive == 1 and (cell.negative == 1 or self._is_non_negative)

    def mapped(self, cell: Cell, index: int) -> Array:
        """Return a cell of input number ``index``."""
        x = self.x[index]
        if isinstance(cell, Mix):
            return x if self._is_x(cell) else apply_mix(self.backend, cell, x)
        if isinstance(cell, Square):
            return x * x
        if isinstance(cell, Constant):
            return self.backend.full_like(x, cell.value)
        if isinstance(cell, Sign):
            mu = 0.0 if cell.mu is None else self._at_input(cell.mu, index)
            plus, minus = (self.backend.asarray(np.asarray(one), x) for one in (1.0, -1.0))
            return self.backend.where(x >= mu, plus, minus)
        return self._bound(cell, index)

    def slope(self, cell: Cell, index: int) -> Array | float:
        """Return the derivative of a term's input cell; at 0 that of the positive side."""
        if not isinstance(cell, Mix) or cell.positive == cell.negative:
            return cell.positive if isinstance(cell, Mix) else 1.0
        x = self.x[index]
        up, down = (self.backend.asarray(np.asarray(slope), x) for slope in (cell.positive, cell.negative))
        return self.backend.where(x >= 0, up, down)

    def times(self, pulled: Array, factor: Array | float) -> Array:
        """Return something that :meth:`pull` returned, and that is not used again, times a factor."""
        if isinstance(factor, float) and factor == 1:
            return pulled
        if self.makes_arrays:
            pulled *= factor
            return pulled
        return pulled * factor

    def added(self, pulled: Array, other: Array) -> Array:
        """Return something that :meth:`pull` returned, and that is not used again, plus another array."""
        if self.makes_arrays:
            pulled += other
            return pulled
        return pulled + other

    @property
    def makes_arrays(self) -> bool:
        """Whether what is computed are arrays of its own: an addition pulls what it is given."""
        return self.group.core.kind in _DIAGONAL or "weight" in self.group.core.parameters

    def pull(self, cell: WeightCell, t: Array, factor: float = 1.0) -> tuple[Array, ...]:
        """Return ``factor`` times the vector-Jacobian product of the map with weight ``cell(W)``, per input."""
        return tuple(self.times(pulled, factor) for pulled in self._pull(cell, t))

    def _pull(self, cell: WeightCell, t: Array) -> tuple[Array, ...]:
        core = self.group.core
        if core.kind in _DIAGONAL:
            return (t * self._weight(cell),)
        if "weight" not in core.parameters:
            up, down = self._scales(cell)
            pulled = self.backend.pull(core, None, t)
            signs = core.signs or (1,) * len(pulled)
            return tuple(_scaled(p, up if sign > 0 else down) for p, sign in zip(pulled, signs, strict=True))
        scale = self._output_scale(t) if cell == KEEP and self.units is None else None
        if scale is None:
            (pulled_one,) = self.backend.pull(core, self._weight(cell), t)
        else:
            (pulled_one,) = self.backend.pull(core, None, t * scale)
        for operation in reversed(self.group.pre):
            if operation.padding:
                (pulled_one,) = self.backend.vjp(operation, (pulled_one,))
        return (pulled_one,)

    def _output_scale(self, t: Array) -> Array | None:
        """Return the scale behind the core, where it is cheaper to scale ``t`` than the weight."""
        core = self.group.core
        if self._scale_vector(self.group.pre) is not None or math.prod(t.shape) >= math.prod(
            core.parameters["weight"].shape
        ):
            return None
        scale = self._scale_vector(self.group.post)
        if scale is None or core.channel_axis is None or len(scale.shape) == 0:
            return scale
        places = [1] * len(t.shape)
        places[core.channel_axis] = -1
        return self.backend.reshape(scale, tuple(places))

    def forward(self, mapped: Sequence[Array], cell: WeightCell) -> Array:
        """Return the map with weight ``cell(W)`` of inputs, without bias."""
        core = self.group.core
        if core.kind in _DIAGONAL:
            return mapped[0] * self._weight(cell)
        if "weight" not in core.parameters:
            up, down = self._scales(cell)
            signs = core.signs or (1,) * len(mapped)
            scaled = [_scaled(m, up if sign > 0 else down) for m, sign in zip(mapped, signs, strict=True)]
            return self.backend.linear(core, scaled, None)
        return self.backend.linear(core, [self._pad(mapped[0])], self._weight(cell))

    def _pad(self, x: Array) -> Array:
        for operation in self.group.pre:
            if operation.padding:
                (x,) = self.backend.apply(operation, (x,))
        return x

    def _scales(self, cell: WeightCell) -> tuple[float, float]:
        """Return factors of positive and negative coefficients of an operation without weights."""
        if not isinstance(cell, Mix):
            raise PlanError(
                f"a rule that replaces the weights by {cell.formula('W')!r} cannot be applied to "
                f"{self.group.core.label}, which has no weights; give operations of kind "
                f"{self.group.core.kind!r} another rule"
            )
        return cell.positive, cell.negative

    def _weight(self, cell: WeightCell) -> Array:
        if cell not in self._weights:
            self._weights[cell] = self._map(cell, self._folded_weight())
        return self._weights[cell]

    def _map(self, cell: WeightCell, weight: Array) -> Array:
        core = self.group.core
        if cell == KEEP or core.kind in _DIAGONAL:
            return apply_weight_cell(self.backend, cell, weight)
        return self.backend.map_weight(core, cell, weight)

    def bias(self, cell: WeightCell) -> Array | None:
        """Return ``cell(b)``, if there is a bias that it leaves."""
        bias = self._fold()[1]
        if bias is None or cell in (ZERO, Mix(0, 0)):
            return None
        return apply_weight_cell(self.backend, cell, bias)

    def _folded_weight(self) -> Array | None:
        return self._fold()[0]

    def _fold(self) -> tuple[Array | None, Array | None]:
        """Return weight and bias of the whole group."""
        if self._folded is None:
            core = self.group.core
            if core.kind in _DIAGONAL:
                self._folded = core.parameters["scale"], core.parameters["shift"]
            else:
                self._folded = self._group_weight(), self._group_bias()
        return self._folded

    def _group_weight(self) -> Array | None:
        core = self.group.core
        inner = self._scale_vector(self.group.pre)
        outer = self._scale_vector(self.group.post)
        weight: Array | None = core.parameters.get("weight")
        channels = [None if scale is None or len(scale.shape) == 0 else scale for scale in (inner, outer)]
        if any(scale is not None for scale in channels):
            weight = self.backend.scale_weight(core, channels[0], channels[1])
        for scale in (inner, outer):
            weight = weight * scale if scale is not None and len(scale.shape) == 0 else weight
        return weight

    def _scale_vector(self, operations: tuple[Operation, ...]) -> Array | None:
        """Return the product of the scales, one number per channel or one in all."""
        product: Array | None = None
        axis = self.group.core.channel_axis
        for operation in operations:
            if operation.kind in _DIAGONAL and axis is not None:
                rank = len(self.structure.recording.shape(operation.outputs[0]))
                scale = operation.parameters["scale"]
                shape = channel_vector(scale, rank, axis)
                assert shape is not None, "groups hold channel-wise scales only"
                vector = self.backend.reshape(scale, shape)
                product = vector if product is None else product * vector
        return product

    def _group_bias(self) -> Array | None:
        if any(operation.kind in _DIAGONAL for operation in self.group.pre):
            values: tuple[Array, ...] = (self.backend.full_like(self.x[0], 0.0),)
            for operation in self.group.operations:
                values = self.backend.apply(operation, values)
            return values[0]
        bias: Array | None = self.group.core.parameters.get("bias")
        for operation in (one for one in self.group.post if one.kind in _DIAGONAL):
            scale, shift = operation.parameters["scale"], operation.parameters["shift"]
            bias = shift if bias is None else scale * bias + shift
        return bias

    def _bound(self, cell: Bound, index: int) -> Array:
        return self._at_input(cell.value, index, channels=True) + self.backend.full_like(self.x[index], 0.0)

    def _at_input(self, value: Value | Missing, index: int, *, channels: bool = False) -> Array | float:
        """Return a user's number, or a user's array of the model input's shape, at this group's input."""
        assert not isinstance(value, Missing), "missing parameters are refused before"
        tensor = self.group.inputs[index]
        if isinstance(value, float):
            return value
        recording = self.structure.recording
        x = recording.values[recording.input]
        array = _spread(value.array, x.shape, recording.channel_axis, channels=channels)
        return self._carry(tensor, self.backend.asarray(array, x))

    def _carry(self, tensor: int, array: Array) -> Array:
        """Bring an array of the input's shape into a later tensor's, through shape operations.

        Numbers stay as they are: they are compared with what the group reads, like a single number.
        """
        recording = self.structure.recording
        if tensor == recording.input:
            return array
        operation = self.structure.producer[tensor]
        if operation.kind in _DIAGONAL:
            return self._carry(operation.inputs[0], array)
        if operation.kind not in ("shape", "dropout"):
            raise PlanError(
                f"an array of the input's shape was given, but {self.group.core.label} does not read the "
                f"input: {operation.label} lies before it. Give a single number for this operation"
            )
        outputs = self.backend.apply(operation, [self._carry(i, array) for i in operation.inputs])
        return outputs[operation.outputs.index(tensor)]


def _spread(array: Any, shape: tuple[int, ...], channel_axis: int, *, channels: bool) -> Any:
    """Broadcast numbers that a user gave to the input's shape."""
    if channels and array.ndim == 1:
        array = array.reshape([-1 if axis == channel_axis else 1 for axis in range(len(shape))])
    try:
        return np.broadcast_to(array, shape)
    except ValueError as error:
        raise PlanError(
            f"an array of shape {array.shape} was given where one of the input's shape {tuple(shape)}, with or "
            "without its batch axis, was expected (bounds: or one number per channel)"
        ) from error
