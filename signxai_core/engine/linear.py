"""One group of operations as a linear map ``z = f(x; W, b)`` with cells applied to x, W and b.

Notation as in :mod:`signxai_core.specs.rules`: ``x`` the group's input(s), ``W`` and ``b`` its folded
weight and bias, ``z`` its output before any activation, ``t`` what is pulled back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from signxai_core.engine.backend import Array, Backend
from signxai_core.engine.folding import fold, scale_behind
from signxai_core.engine.mapping import apply_mix, apply_weight_cell, scales, sign_of, without_units
from signxai_core.engine.placing import at_input
from signxai_core.engine.structure import Group, Structure, is_wide
from signxai_core.specs.cells import KEEP, ZERO, Bound, Cell, Constant, Mix, Sign, Square, WeightCell
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import Rule, Share, Term
from signxai_core.specs.values import Missing, Value

_NOTHING = (ZERO, Mix(0, 0))


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
    _outputs: dict[tuple[Term, bool, int], Array] = attrs.field(factory=dict, init=False)
    _folded: tuple[Array | None, Array | None] | None = attrs.field(default=None, init=False)
    _is_non_negative: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_non_negative = self.structure.non_negative.issuperset(self.group.inputs)

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

    def of_output(self, array: Array) -> tuple[Array, tuple[int, ...]]:
        """Return an array of the output's shape by samples; see :meth:`Structure.per_sample`."""
        return self.structure.per_sample(self.backend, self.group.outputs[0], array, self.group.core)

    def of_input(self, array: Array) -> tuple[Array, tuple[int, ...]]:
        """Return an array of the first input's shape by samples; see :meth:`Structure.per_sample`."""
        return self.structure.per_sample(self.backend, self.group.inputs[0], array, self.group.core)

    def parts(self) -> Iterator[tuple[slice, Linear]] | None:
        """Return this map by slices of the output, where the backend finds its weight too large."""
        if self.group.core.kind != "dense":
            return None
        weight, bias = self._fold()
        found = self.backend.split(self.group.core, weight)
        return None if found is None else self._restricted(found, bias)

    def _restricted(self, parts: Iterator[tuple[slice, Array]], bias: Array | None) -> Iterator[tuple[slice, Linear]]:
        for units, weight in parts:
            part = Linear(self.backend, self.structure, self.group, units, Counter(self.uses))
            part._folded = weight, bias if bias is None or bias.shape[-1] == 1 else bias[..., units]
            yield units, part

    def output(self, term: Term, rectified: Array | None, sign: int) -> Array:
        """Return ``f(x_cell(x); weight_cell(W), bias_cell(b))`` times a sign, without the term's own.

        With ``rectified``, ``max(z, 0)``, the output is wanted only where that is not 0, and z itself
        is not touched.
        """
        key = term, rectified is not None, sign
        if key in self._outputs:
            return self._outputs[key]
        output = self._compute(term, rectified, sign)
        if self._rests or self.uses[without_units(term)] > 1:
            self._outputs[key] = output
        return output

    def begin(self, rule: Rule) -> None:
        """Take note that the outputs of a rule's terms will be asked for."""
        self._rests = len(rule.shares) > 1 and is_wide(self.structure.recording, self.group.core)

    def finish(self, rule: Rule) -> None:
        """Forget outputs that no rule after this one will ask for."""
        self.uses.subtract({term for share in rule.shares for term in share.terms})
        for key in [key for key in self._outputs if self.uses[without_units(key[0])] <= 0]:
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

    def sign_of(self, share: Share) -> int:
        """Return the sign that the sum of a share's terms cannot but have, by its cells; 0 where it may have both."""
        signs = {self._sign_of(term) * term.sign for term in share.terms}
        if signs in ({1}, {-1}):  # else nobody asks for a bias, which may have to be folded
            signs |= {sign_of(term.bias) * term.sign for term in share.terms if self.has_bias(term.bias)}
        return signs.pop() if len(signs) == 1 else 0

    def _sign_of(self, term: Term) -> int:
        """Return the sign of all numbers that a term multiplies, 0 where they may have both."""
        x = 1 if isinstance(term.x, Mix) and term.x.positive > 0 and self._is_non_negative else sign_of(term.x)
        return x * sign_of(term.weight)

    def _compute(self, term: Term, rectified: Array | None, sign: int) -> Array:
        if self.is_whole(term):
            z = self.z if rectified is None else rectified
            return z if sign > 0 else -z
        rest = self._rest(term, rectified, sign) if self._is_x(term.x) else None
        if rest is not None:
            return rest
        bias = self.bias(term.bias)
        if self.vanishes(term):
            nothing = self.backend.full_like(self.z if rectified is None else rectified, 0.0)
            return nothing if bias is None else nothing + sign * bias
        mapped = [self.mapped(term.x, index) for index in range(len(self.x))]
        z = self.forward(mapped, term.weight)
        if bias is not None:
            z += bias  # a new array, whatever the framework: operations with a bias have weights
        if sign < 0:
            z *= sign
        return z

    def _rest(self, term: Term, rectified: Array | None, sign: int) -> Array | None:
        """Return what a known output leaves of z, where that is the term's: ``x W⁻ + b⁻ = z − (x W⁺ + b⁺)``."""
        if (
            not isinstance(term.weight, Mix)
            or not isinstance(term.bias, Mix)
            or not is_wide(self.structure.recording, self.group.core)
        ):
            return None
        for (known, is_partial, known_sign), output in self._outputs.items():
            if known_sign < 0 or (is_partial and rectified is None):
                continue
            if not (isinstance(known.weight, Mix) and isinstance(known.bias, Mix) and self._is_x(known.x)):
                continue
            if term.weight.added(known.weight) == KEEP:
                both = term.bias.added(known.bias)
                bias = self.bias(Mix(both.positive - 1, both.negative - 1))
                z = self.z if rectified is None else rectified
                rest = z - output if sign > 0 else output - z
                return rest if bias is None else rest + sign * bias
        return None

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

    def times(self, pulled: Array, factor: Array | float, *, is_own: bool = False) -> Array:
        """Return something that :meth:`pull` returned, and that is not used again, times a factor.

        ``is_own``: what it was pulled from is not used again either.
        """
        if isinstance(factor, float) and factor == 1:
            return pulled
        if self.makes_arrays or (is_own and pulled.shape == getattr(factor, "shape", None)):
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
        return kind(self.group.core.kind).affine or "weight" in self.group.core.parameters

    def pull(self, cell: WeightCell, t: Array) -> tuple[Array, ...]:
        """Return the vector-Jacobian product of the map with weight ``cell(W)``, one array per input."""
        core = self.group.core
        if "weight" in core.parameters:
            return self.pull_many(cell, [t])[0]
        if kind(core.kind).affine:
            return (t * self._weight(cell),)
        up, down = scales(core, cell)
        pulled = self.backend.pull(core, None, t)
        signs = core.signs or (1,) * len(pulled)
        return tuple(_scaled(p, up if sign > 0 else down) for p, sign in zip(pulled, signs, strict=True))

    def pull_many(self, cell: WeightCell, ts: Sequence[Array]) -> list[tuple[Array, ...]]:
        """Return :meth:`pull` of several arrays, where the core has a weight with channels."""
        core, weight = self.group.core, None
        folds = cell != KEEP or self.units is not None
        scale = None if folds else scale_behind(self.backend, self.structure, self.group, ts[0])
        if scale is None:
            weight = self._weight(cell)
        else:
            ts = [t * scale for t in ts]
        pulled = self.backend.pull_many(core, weight, ts) if len(ts) > 1 else [*self.backend.pull(core, weight, ts[0])]
        for operation in reversed(self.group.pre):
            if operation.padding:
                pulled = [self.backend.vjp(operation, (array,))[0] for array in pulled]
        return [(array,) for array in pulled]

    def forward(self, mapped: Sequence[Array], cell: WeightCell) -> Array:
        """Return the map with weight ``cell(W)`` of inputs, without bias."""
        core = self.group.core
        if kind(core.kind).affine:
            return mapped[0] * self._weight(cell)
        if "weight" not in core.parameters:
            up, down = scales(core, cell)
            signs = core.signs or (1,) * len(mapped)
            scaled = [_scaled(m, up if sign > 0 else down) for m, sign in zip(mapped, signs, strict=True)]
            return self.backend.linear(core, scaled, None)
        return self.backend.linear(core, [self.pad(mapped[0])], self._weight(cell))

    def pad(self, x: Array) -> Array:
        """Return an input with the group's zero padding, without its scaling."""
        for operation in self.group.pre:
            if operation.padding:
                (x,) = self.backend.apply(operation, (x,))
        return x

    def _weight(self, cell: WeightCell) -> Array:
        if cell not in self._weights:
            core, weight = self.group.core, self._fold()[0]
            if cell == KEEP or kind(core.kind).affine:
                self._weights[cell] = apply_weight_cell(self.backend, cell, weight)
            else:
                self._weights[cell] = self.backend.map_weight(core, cell, weight)
        return self._weights[cell]

    def has_bias(self, cell: WeightCell) -> bool:
        """Return whether there is a bias that a cell leaves."""
        return cell not in _NOTHING and self._fold()[1] is not None

    def bias(self, cell: WeightCell) -> Array | None:
        """Return ``cell(b)``, if :meth:`has_bias`."""
        return apply_weight_cell(self.backend, cell, self._fold()[1]) if self.has_bias(cell) else None

    def _fold(self) -> tuple[Array | None, Array | None]:
        """Return weight and bias of the whole group."""
        if self._folded is None:
            self._folded = fold(self.backend, self.structure, self.group)
        return self._folded

    def _at_input(self, value: Value | Missing, index: int, *, channels: bool = False) -> Array | float:
        return at_input(self.backend, self.structure, self.group, index, value, channels=channels)

    def _bound(self, cell: Bound, index: int) -> Array:
        return self._at_input(cell.value, index, channels=True) + self.backend.full_like(self.x[index], 0.0)
