"""Cells: the closed vocabulary of elementwise maps that fill the slots of a rule.

A cell maps an array ``v`` (an operation's input, its weights, or its bias) to an array of the same
shape. Cells are data, so that a rule can be compared, hashed, printed, written to a file and read
by any backend.
"""

from __future__ import annotations

from typing import Literal

import attrs

from signxai_core.specs.values import MISSING, Missing, Value, to_optional_value, to_value


def _finite(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not float("-inf") < value < float("inf"):
        raise ValueError(f"{attribute.name} must be a finite number, got {value!r}")


def _factor(value: float) -> str:
    return "" if value == 1.0 else "-" if value == -1.0 else f"{value:g}·"


@attrs.frozen(cache_hash=True)
class Mix:
    """``positive · max(v, 0) + negative · min(v, 0)``; the identity is ``Mix(1, 1)``."""

    positive: float = attrs.field(converter=float, validator=_finite)
    negative: float = attrs.field(converter=float, validator=_finite)

    def added(self, other: Mix) -> Mix:
        """Return the cell that is the sum of both."""
        return Mix(self.positive + other.positive, self.negative + other.negative)

    def formula(self, v: str) -> str:
        """Return the cell as mathematics, applied to the symbol ``v``."""
        if self.positive == self.negative:
            return "0" if self.positive == 0 else f"{_factor(self.positive)}{v}"
        parts = [f"{_factor(a)}{v}{mark}" for a, mark in ((self.positive, "⁺"), (self.negative, "⁻")) if a]
        return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


@attrs.frozen(cache_hash=True)
class Square:
    """``v²``."""

    def formula(self, v: str) -> str:
        """Return the cell as mathematics, applied to the symbol ``v``."""
        return f"{v}²"


@attrs.frozen(cache_hash=True)
class Constant:
    """The same number everywhere."""

    value: float = attrs.field(converter=float, validator=_finite)

    def formula(self, v: str) -> str:
        """Return the cell as mathematics; ``v`` gives only its shape."""
        return f"{self.value:g}"


@attrs.frozen(cache_hash=True)
class Bound:
    """The lowest or highest value that the operation's input can take (zB rule).

    ``value`` is a number, or an array: one number per channel (one axis), or an array that
    broadcasts to the input's shape without its batch axis.
    """

    side: Literal["low", "high"] = attrs.field(validator=attrs.validators.in_(("low", "high")))
    value: Value | Missing = attrs.field(default=MISSING, converter=to_value)

    def formula(self, v: str) -> str:
        """Return the cell as mathematics; ``v`` gives only its shape."""
        return self.side[0]


@attrs.frozen(cache_hash=True)
class Sign:
    """``+1`` where ``v >= mu``, else ``-1``; without ``mu`` the threshold is 0, so ``sgn(0) = +1``.

    ``mu`` is a number or an array that broadcasts to the input's shape without its batch axis.
    """

    mu: Value | Missing | None = attrs.field(default=None, converter=to_optional_value)

    def formula(self, v: str) -> str:
        """Return the cell as mathematics, applied to the symbol ``v``."""
        if self.mu is None:
            return f"sgn({v})"
        return f"sgn({v} − {'μ' if not isinstance(self.mu, float) else f'{self.mu:g}'})"


Cell = Mix | Square | Constant | Bound | Sign
WeightCell = Mix | Square | Constant

KEEP = Mix(1, 1)
POSITIVE = Mix(1, 0)
NEGATIVE = Mix(0, 1)
SQUARE = Square()
ZERO = Constant(0)
ONES = Constant(1)
