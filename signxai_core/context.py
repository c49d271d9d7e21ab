"""What a rule that is a Python function is given, in every framework: the contract of such rules.

    def half(context, *, share):
        t = context.arrays.divide(context.relevance, context.z)
        (pulled,) = context.pull(t)
        return share * context.x[0] * pulled

The function is registered like any rule: by a factory that returns
``FunctionRule("package.module:half", {"share": share}, name="half")``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from signxai_core.errors import PlanError, PluginError, SignxaiError
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


def _not_linear(*_: Any, **__: Any) -> Any:
    raise PlanError(
        "the operation is not linear, so that context.forward, context.pull and context.bias say nothing about it; "
        "use context.apply and context.vjp"
    )


def _only_linear(*_: Any, **__: Any) -> Any:
    raise PlanError(
        "linear operations have context.forward and context.pull; context.apply and context.vjp are for others"
    )


@attrs.frozen(eq=False, kw_only=True)
class Context:
    """One operation and the relevance at its outputs.

    Batch-normalisation, constant scaling and padding are folded into linear operations, as for any rule.

    Parameters
    ----------
    x
        The inputs that depend on the model's input, in the order of the operation.
    z
        The output, bias included; the first one where there are several.
    relevance
        At ``z``.
    forward, pull, bias
        A linear operation as a linear map; an error elsewhere.
    arrays
        Array functions.
    kind, function, path
        Of the operation.
    outputs, relevances
        All outputs, and the relevance at each; ``None`` where none arrived.
    apply, vjp
        Operations that are not linear: the operation on other inputs (a tuple of outputs), and its
        derivative at the recorded point (from one array or ``None`` per output to one array per input).
    attributes, parameters
        What else is recorded of the operation; see :class:`signxai_core.engine.backend.Operation`.
    """

    x: tuple[Array, ...]
    z: Array
    relevance: Array
    forward: Forward = _not_linear
    pull: Pull = _not_linear
    bias: Bias = _not_linear
    arrays: Arrays
    kind: str = ""
    function: str = ""
    path: str = ""
    outputs: tuple[Array, ...] = ()
    relevances: tuple[Array | None, ...] = ()
    apply: Callable[[Sequence[Array]], tuple[Array, ...]] = _only_linear
    vjp: Callable[[Sequence[Array | None]], tuple[Array, ...]] = _only_linear
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    parameters: Mapping[str, Array] = attrs.field(factory=dict)

    @property
    def place(self) -> str:
        """The operation in words."""
        return f"{self.function} at {self.path or '(the model itself)'!r}" if self.function else "the operation"


def call(rule: FunctionRule, context: Context) -> tuple[Array, ...]:
    """Call the rule's function; return the relevance of every input.

    Raises
    ------
    PluginError
        The function cannot be imported, raises something, or returns something else than the inputs'
        relevance.
    """
    function = rule.load()
    try:
        given = function(context, **dict(rule.parameters))
    except SignxaiError:
        raise
    except Exception as error:
        raise PluginError(
            f"the rule {rule.name!r} ({rule.path}) failed at {context.place}: {type(error).__name__}: {error}"
        ) from error
    returned = given if isinstance(given, tuple) else (given,)
    shapes = [tuple(getattr(array, "shape", ())) for array in returned]
    wanted = [tuple(x.shape) for x in context.x]
    if shapes != wanted:
        raise PluginError(
            f"the rule {rule.name!r} ({rule.path}) must return one array per input, of shapes {wanted}, and "
            f"returned {shapes if shapes != [()] else type(given).__name__}"
        )
    return returned
