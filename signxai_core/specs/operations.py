"""The table of operations: every fact about a kind, and about a known function, stands here.

An *operation* is what a model executed: a function (``"relu"``) of a kind (``"activation"``). The
engine, the plan, the class-activation maps, the configuration and the testing package ask this table;
nobody else lists kinds or functions. Plugins add rows with the hook ``signxai_operations``.

Symbols: ``x`` or ``a, b`` operands that depend on the model's input, ``c`` constants, ``W`` weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import attrs

#: A row's name; see :data:`KINDS`. Plugins add names, so that any text may be one.
Kind = Annotated[str, "kind of operation"]


@attrs.frozen(kw_only=True)
class KindRow:
    """What is true of all operations of a kind.

    Parameters
    ----------
    name
        As a composite's entry names it.
    meaning
        One line for tables: what the operation computes.
    weighted
        It has weights or constant factors: what "a linear layer" means in the literature.
    layer
        It counts as a layer of its own: positions ``first`` and ``last`` are among these.
    affine
        ``scale · x + shift`` per channel: it may be folded into a layer beside it.
    linear
        Affine in all its inputs together, so that a :class:`~signxai_core.specs.rules.Rule` applies.
    multiplies
        Several operands, linear in each: the scheme for operations with several live inputs applies.
    routes
        Its outputs are numbers of its inputs; without an entry it gets its exact derivative.
    elementwise
        A function of each number of one tensor.
    keeps_sign
        Its outputs are not negative where no input is.
    before_first
        It may lie between the input and the first layer.
    keeps_gate
        A gate that passes through it stays a gate.
    compared
        :func:`signxai_core.compare` matches these operations of two models with each other.
    """

    name: Kind
    meaning: str
    weighted: bool = False
    layer: bool = False
    affine: bool = False
    linear: bool = False
    multiplies: bool = False
    routes: bool = False
    elementwise: bool = False
    keeps_sign: bool = False
    before_first: bool = False
    keeps_gate: bool = False
    compared: bool = False


@attrs.frozen(kw_only=True)
class FunctionRow:
    """What is true of a function, whatever the framework.

    Parameters
    ----------
    name
        Its neutral name, the same in every backend.
    kind
        Its kind, where the name alone decides it.
    non_negative
        Its values are never negative.
    even
        A function of the magnitude alone (square, absolute value): a mean of it is a statistic.
    gate
        Its values are gates (between 0 and 1): sigmoid, hard sigmoid, softmax.
    head
        At the end of a model it turns logits into probabilities.
    increasing
        A function of each number that never falls: behind a head, the class with the largest output stays that.
    in_order
        A shape operation that keeps all numbers and their order.
    identity
        Its output holds the numbers of its input, in their places.
    scales
        Of the kind ``scaling``, it multiplies and adds nothing.
    """

    name: str
    kind: Kind = ""
    non_negative: bool = False
    even: bool = False
    gate: bool = False
    head: bool = False
    increasing: bool = False
    in_order: bool = False
    identity: bool = False
    scales: bool = False


@attrs.frozen(kw_only=True)
class Reading:
    """How a backend reads a function of its framework that it does not know itself.

    Parameters
    ----------
    backend
        Name of the backend.
    function
        The function's name in that framework, as the plan of the gradient shows it (``"Quantise"``).
    kind
        What it is: a row of :data:`KINDS`, or one of the plugin's own.
    neutral
        Its name in composites and plans; the framework's where it is not given.
    formula
        Path of a function, ``"package.module:function"``, that is called instead of the model's, with
        the same arguments, and computes the same with operations that have rules. It is recorded as
        these, under the neutral name as their group.
    """

    backend: str
    function: str
    kind: Kind = "other"
    neutral: str = ""
    formula: str = ""


@attrs.frozen
class Table:
    """Rows by name; iterates over the names.

    Parameters
    ----------
    rows
        By name, in the order in which they are shown.
    """

    rows: Mapping[str, KindRow]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self.rows)

    def those(self, fact: Callable[[KindRow], bool]) -> frozenset[Kind]:
        """Return the names of the rows for which a fact holds."""
        return frozenset(name for name, row in self.rows.items() if fact(row))


_KIND_ROWS: Final = (
    KindRow(
        name="dense",
        meaning="W x + b on the last axis",
        weighted=True,
        layer=True,
        linear=True,
        compared=True,
    ),
    KindRow(
        name="convolution",
        meaning="convolution or transposed convolution with W, b",
        weighted=True,
        layer=True,
        linear=True,
        compared=True,
    ),
    KindRow(
        name="normalisation",
        meaning="batch-normalisation at inference: scale · (x − mean) + beta",
        weighted=True,
        affine=True,
        linear=True,
        before_first=True,
        keeps_gate=True,
        compared=True,
    ),
    KindRow(
        name="scaling",
        meaning="scale · x + shift with constants",
        weighted=True,
        affine=True,
        linear=True,
        before_first=True,
        keeps_gate=True,
    ),
    KindRow(
        name="average_pooling",
        meaning="mean or sum over windows or axes",
        linear=True,
        keeps_sign=True,
        keeps_gate=True,
        compared=True,
    ),
    KindRow(
        name="max_pooling",
        meaning="maximum over windows or axes",
        routes=True,
        keeps_sign=True,
        keeps_gate=True,
        compared=True,
    ),
    KindRow(
        name="interpolation",
        meaning="linear interpolation to another size",
        linear=True,
        keeps_sign=True,
        before_first=True,
        keeps_gate=True,
        compared=True,
    ),
    KindRow(name="sum", meaning="± a ± b", linear=True, keeps_gate=True, compared=True),
    KindRow(name="product", meaning="a ⊙ b", multiplies=True, compared=True),
    KindRow(name="quotient", meaning="a ⊘ b", compared=True),
    KindRow(name="matrix_product", meaning="a · b, summed over common axes", multiplies=True, compared=True),
    KindRow(name="activation", meaning="a function of each number of x", elementwise=True, compared=True),
    KindRow(
        name="dropout",
        meaning="nothing, at inference",
        routes=True,
        keeps_sign=True,
        before_first=True,
        keeps_gate=True,
    ),
    KindRow(name="softmax", meaning="softmax or log-softmax along an axis"),
    KindRow(name="logsumexp", meaning="log Σ exp(x) over axes"),
    KindRow(
        name="shape",
        meaning="an index map: reshape, permute, pad, crop, concatenate, split",
        routes=True,
        keeps_sign=True,
        before_first=True,
        keeps_gate=True,
    ),
    KindRow(
        name="selection",
        meaning="a choice among numbers: where, maximum of two, sort, top-k",
        routes=True,
        keeps_sign=True,
        keeps_gate=True,
    ),
    KindRow(name="step", meaning="a piecewise constant function: sign, floor, comparison", elementwise=True),
    KindRow(name="other", meaning="what is in no table"),
)


#: Functions that never fall.
_INCREASING: Final = (
    "relu relu6 hardsigmoid softplus exp exp2 expm1 sqrt clamp clamp_min clamp_max hardtanh log log1p log2 log10 logit"
)
#: Shape operations that keep all numbers and their order.
_IN_ORDER: Final = (
    "reshape view flatten ravel squeeze unsqueeze unflatten view_as reshape_as contiguous clone identity alias "
    "positive to float double half bfloat16 type type_as cpu cuda"
)


def _function_rows() -> Iterator[FunctionRow]:
    """Yield the known functions; those named alone have no other fact than their kind."""
    known = {
        "relu": FunctionRow(name="relu", kind="activation", non_negative=True),
        "relu6": FunctionRow(name="relu6", kind="activation", non_negative=True),
        "sigmoid": FunctionRow(name="sigmoid", kind="activation", non_negative=True, gate=True, head=True),
        "hardsigmoid": FunctionRow(name="hardsigmoid", kind="activation", non_negative=True, gate=True),
        "logsigmoid": FunctionRow(name="logsigmoid", kind="activation", head=True),
        "softplus": FunctionRow(name="softplus", kind="activation", non_negative=True),
        "exp": FunctionRow(name="exp", kind="activation", non_negative=True),
        "exp2": FunctionRow(name="exp2", kind="activation", non_negative=True),
        "sqrt": FunctionRow(name="sqrt", kind="activation", non_negative=True),
        "rsqrt": FunctionRow(name="rsqrt", kind="activation", non_negative=True),
        "abs": FunctionRow(name="abs", kind="activation", non_negative=True, even=True),
        "square": FunctionRow(name="square", kind="activation", non_negative=True, even=True),
        "softmax": FunctionRow(name="softmax", kind="softmax", non_negative=True, gate=True, head=True),
        "log_softmax": FunctionRow(name="log_softmax", kind="softmax", head=True),
    }
    names = (
        "leaky_relu prelu elu selu celu gelu silu mish hardswish hardtanh clamp tanh softsign threshold tanhshrink "
        "softshrink hardshrink sparse_plus sparse_sigmoid squareplus erf erfc expm1 log log1p log2 log10 logit pow "
        "reciprocal sin cos tan asin acos atan sinh cosh asinh acosh atanh sinc"
    )
    known |= {name: FunctionRow(name=name, kind="activation") for name in names.split()}
    for fact, those in (
        ("increasing", _INCREASING),
        ("in_order", _IN_ORDER),
        ("identity", "to clone contiguous identity alias positive"),
        ("scales", "mul div neg"),
    ):
        for name in those.split():
            row = known.get(name, FunctionRow(name=name))
            facts: dict[str, Any] = {fact: True}
            known[name] = attrs.evolve(row, **facts)
    yield from known.values()


#: What an unknown function is.
_UNKNOWN: Final = FunctionRow(name="")
_ROWS: dict[str, KindRow] = {row.name: row for row in _KIND_ROWS}
_FUNCTIONS: dict[str, FunctionRow] = {row.name: row for row in _function_rows()}

_READINGS: dict[tuple[str, str], Reading] = {}

#: All kinds, in the order of tables.
KINDS: Final = Table(_ROWS)


def kind(name: Kind) -> KindRow:
    """Return the row of a kind; a kind without a row is treated as ``other``."""
    return _ROWS.get(name, _ROWS["other"])


def function(name: str) -> FunctionRow:
    """Return the row of a function; one without a row has no facts."""
    return _FUNCTIONS.get(name, _UNKNOWN)


def activations() -> frozenset[str]:
    """Return the neutral names of the functions that are activations: elementwise functions of one tensor."""
    return frozenset(name for name, row in _FUNCTIONS.items() if row.kind == "activation")


def reading(backend: str, name: str) -> Reading | None:
    """Return how a plugin wants a function of a framework to be read."""
    return _READINGS.get((backend, name))


def add_readings(readings: Iterable[Reading]) -> None:
    """Add readings of a plugin; equal ones may be added again.

    Raises
    ------
    ValueError
        If another reading of that function is there.
    """
    for one in readings:
        if _READINGS.setdefault((one.backend, one.function), one) != one:
            raise ValueError(f"{one.backend} reads {one.function!r} already: {_READINGS[one.backend, one.function]}")


def add_rows(kinds: Iterable[KindRow] = (), functions: Iterable[FunctionRow] = ()) -> None:
    """Add rows of a plugin; equal rows may be added again.

    Raises
    ------
    ValueError
        If a row of that name says something else.
    """
    for row in kinds:
        if _ROWS.setdefault(row.name, row) != row:
            raise ValueError(f"the kind {row.name!r} is already in the table of operations: {_ROWS[row.name]}")
    for fact in functions:
        if _FUNCTIONS.setdefault(fact.name, fact) != fact:
            raise ValueError(f"the function {fact.name!r} is already in the table: {_FUNCTIONS[fact.name]}")


#: Operations with weights: what "a linear layer" means in the literature, batch-norm included.
WEIGHTED: Final = KINDS.those(lambda row: row.weighted)
#: Linear operations without weights.
UNWEIGHTED: Final = KINDS.those(lambda row: row.linear and not row.weighted)
