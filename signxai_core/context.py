"""What a rule that is a Python function is given, in every framework: the contract of such rules.

    def half(context, *, share):
        t = context.arrays.divide(context.relevance, context.z)
        (pulled,) = context.pull(t)
        return share * context.x[0] * pulled

The function is registered like any rule: by a factory that returns
``FunctionRule("package.module:half", {"share": share}, name="half")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from signxai_core.errors import PluginError
from signxai_core.specs.cells import KEEP, WeightCell
from signxai_core.specs.rules import FunctionRule

Array = Any


class Arrays(Protocol):
    """Array functions that exist in every framework; Python's operators work on arrays, too."""

    def where(self, condition: Array, a: Array | float, b: Array | float, /) -> Array:
        """Elementwise choice."""

    def maximum(self, a: Array, b: Array | float, /) -> Array:
        """Elementwise maximum."""

    def minimum(self, a: Array, b: Array | float, /) -> Array:
        """Elementwise minimum."""

    def abs(self, a: Array, /) -> Array:
        """Elementwise absolute value."""

    def sign(self, a: Array, /) -> Array:
        """``+1`` where ``a >= 0``, else ``−1``."""

    def full_like(self, a: Array, value: float, /) -> Array:
        """An array of one number."""

    def divide(self, a: Array, b: Array, /) -> Array:
        """``a / b``, and 0 where ``b`` is 0."""


class Forward(Protocol):
    """``W' x``: the operation on other inputs, without its bias."""

    def __call__(self, inputs: Sequence[Array], weight: WeightCell = KEEP) -> Array:
        """Return the output; ``weight`` is a cell, applied to the operation's weight."""


class Pull(Protocol):
    """``W'ᵀ t``: the transpose of :class:`Forward`."""

    def __call__(self, t: Array, weight: WeightCell = KEEP) -> tuple[Array, ...]:
        """Return one array per input."""


class Bias(Protocol):
    """``b'``: the operation's bias, as an array of the output's shape."""

    def __call__(self, cell: WeightCell = KEEP) -> Array:
        """Return the bias with a cell applied; zeros where there is none."""


@attrs.frozen(eq=False, kw_only=True)
class Context:
    """One linear operation and the relevance at its output.

    Batch-normalisation, constant scaling and padding are folded in, as for any rule.

    Parameters
    ----------
    x
        The inputs: one, or several where activations are summed. The first axis is the batch's.
    z
        The output, bias included.
    relevance
        At the output.
    forward, pull, bias
        The operation as a linear map.
    arrays
        Array functions.
    """

    x: tuple[Array, ...]
    z: Array
    relevance: Array
    forward: Forward
    pull: Pull
    bias: Bias
    arrays: Arrays


def call(rule: FunctionRule, context: Context) -> tuple[Array, ...]:
    """Call the rule's function; return the relevance of every input.

    Raises
    ------
    PluginError
        The function cannot be imported, or returns something else than the inputs' relevance.
    """
    given = rule.load()(context, **dict(rule.parameters))
    returned = given if isinstance(given, tuple) else (given,)
    shapes = [tuple(getattr(array, "shape", ())) for array in returned]
    wanted = [tuple(x.shape) for x in context.x]
    if shapes != wanted:
        raise PluginError(
            f"the rule {rule.name!r} ({rule.path}) must return one array per input, of shapes {wanted}, and "
            f"returned {shapes if shapes != [()] else type(given).__name__}"
        )
    return returned
