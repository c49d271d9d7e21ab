"""ReLUs that a model writes with a comparison: ``where(x > 0, x, 0)``, ``x * (x > 0)``, ``x[x < 0] = 0``.

A comparison has no derivative, so the recording does not see what it compares. Here every mask ``x > 0``
that a run makes is noted with the id of ``x``, through conversions and negations. A mask may be changed
in place afterwards, so its numbers are compared with ``x`` again where it is used.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from torch import Tensor

from signxai_torch.ledger import Ledger

#: Comparisons, and whether they hold for numbers above the second argument.
_COMPARISONS = {"gt": True, "ge": True, "lt": False, "le": False}
_CONVERSIONS = frozenset({"to", "type", "type_as", "float", "double", "half", "bfloat16", "clone", "contiguous"})
#: Copies of a tensor without its derivative.
_COPIES = frozenset({"detach", "data"})
_NEGATIONS = frozenset({"logical_not", "bitwise_not", "invert"})


@attrs.frozen
class _Mask:
    """``x > 0`` (``positive``) or ``x < 0``, the border on either side."""

    x: int
    positive: bool


def is_zero(value: Any) -> bool:
    """Return whether a constant is 0 everywhere."""
    return not bool(value.any()) if isinstance(value, Tensor) else isinstance(value, numbers.Real) and value == 0


@attrs.define(eq=False)
class Masks:
    """The masks of a run, by the ``id`` of their tensor; the ledger keeps these tensors alive."""

    ledger: Ledger
    _known: dict[int, _Mask] = attrs.field(factory=dict, init=False)
    _copies: dict[int, int | None] = attrs.field(factory=dict, init=False)

    def note(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Note what a call has made, if it is a mask."""
        if name in _COMPARISONS and len(args) == 2:
            for place, is_above in enumerate((_COMPARISONS[name], not _COMPARISONS[name])):
                x = self._compared(args[place])
                if x is not None and self._is_zero(args[1 - place]):
                    self._known[id(result)] = _Mask(x, positive=is_above)
        elif name in _COPIES and self._compared(args[0]) is not None:
            self._copies[id(result)] = self._compared(args[0])
        elif name in _CONVERSIONS | _NEGATIONS and args:
            known = self._mask(args[0])
            if known is not None:
                self._known[id(result)] = _Mask(known.x, positive=known.positive is (name in _CONVERSIONS))

    def rectifies(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether a call is ``max(x, 0)`` of one tracked tensor, by a mask of that tensor."""
        if not self._known or name not in _FORMS:
            return False
        names, form = _FORMS[name]
        args = (*args, *(kwargs[key] for key in names[len(args) :] if key in kwargs))
        return len(args) == len(names) and any(self._keeps(*reading) for reading in form(*args))

    def _keeps(self, x: Any, mask: Any, other: Any, where: bool) -> bool:  # noqa: FBT001 - a reading, in its order
        """Return whether a call is ``max(x, 0)`` that keeps ``x`` where the mask is ``where``."""
        known = self._mask(mask)
        if known is None or known.x != self._id(x) or known.positive is not where or not self._is_zero(other):
            return False
        z, chosen = self.ledger.value(self._own(x)), self._own(mask).bool()
        return chosen.shape == z.shape and not bool((((z > 0) == chosen) != where)[z != 0].any())

    def _own(self, tensor: Tensor) -> Tensor:
        return self.ledger.aliases.get(id(tensor), tensor)

    def _id(self, value: Any) -> int | None:
        return self.ledger.ids.get(id(self._own(value))) if isinstance(value, Tensor) else None

    def _compared(self, value: Any) -> int | None:
        """Return the id of a tracked tensor or of its copy without derivative."""
        identity = self._id(value)
        return self._copies.get(id(self._own(value))) if identity is None and isinstance(value, Tensor) else identity

    def _mask(self, value: Any) -> _Mask | None:
        return self._known.get(id(self._own(value))) if isinstance(value, Tensor) else None

    def _is_zero(self, value: Any) -> bool:
        depends = isinstance(value, Tensor) and (self._id(value) is not None or self.ledger.is_tainted([value]))
        return not depends and is_zero(value)


#: x, mask, what stands elsewhere, and whether the mask holds where x stays: one way to read a call.
_Reading = tuple[Any, Any, Any, bool]


def _where(first: Any, second: Any, third: Any) -> Iterator[_Reading]:
    yield second, first, third, True
    yield third, first, second, False
    yield first, second, third, True  # x.where(mask, other)
    yield third, second, first, False


def _times(first: Any, second: Any) -> Iterator[_Reading]:
    yield first, second, 0, True
    yield second, first, 0, True


def _filled(x: Any, mask: Any, value: Any) -> Iterator[_Reading]:
    yield x, mask, value, False


#: Functions that take a mask: names of their arguments, and how they are read.
_FORMS: dict[str, tuple[tuple[str, ...], Callable[..., Iterator[_Reading]]]] = {
    "where": (("condition", "input", "other"), _where),
    "mul": (("input", "other"), _times),
    "masked_fill": (("input", "mask", "value"), _filled),
    "setitem": (("input", "mask", "value"), _filled),
}
#: Functions whose results :meth:`Masks.note` looks at.
MASKS = frozenset(_COMPARISONS) | _COPIES | _CONVERSIONS | _NEGATIONS
