"""Rules as values.

For a linear operation ``z = f(x; W, b)`` with output relevance ``R`` a :class:`Rule` stands for

    R_in = Σ_share weight · Σ_term sign · times(x) ⊙ pull_term( gate(z) · R / stabilise(Σ_term sign · z_term) )
    z_term, pull_term = linearise(f, weight_cell(W), bias_cell(b), x_cell(x))

``pull_term`` is the vector-Jacobian product of the term's operation with respect to its input. By
default ``times`` is the term's own ``x_cell(x)``. The share weights must sum to 1 on each side of
the gate: that is the one invariant of every rule, ours and users'.

:class:`FunctionRule` is the way out where the formula does not suffice. What happens at operations
that are not linear in this sense stands in :mod:`signxai_core.specs.nonlinear`.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs

from signxai_core.errors import PluginError
from signxai_core.specs.cells import Bound, Cell, Constant, Mix, Sign, Square, WeightCell
from signxai_core.specs.nonlinear import Described, Shapes, non_negative
from signxai_core.specs.operations import kind
from signxai_core.specs.texts import listed

Gate = Literal["all", "positive", "negative"]


@attrs.frozen(cache_hash=True)
class Term:
    """One linear operation inside a share: ``sign · f(x_cell(x); weight_cell(W), bias_cell(b))``."""

    x: Cell = attrs.field(validator=attrs.validators.instance_of((Mix, Square, Constant, Bound)))
    weight: WeightCell = attrs.field(validator=attrs.validators.instance_of((Mix, Square, Constant)))
    bias: WeightCell = attrs.field(validator=attrs.validators.instance_of((Mix, Square, Constant)))
    sign: int = attrs.field(default=1, validator=attrs.validators.in_((1, -1)))

    def formula(self) -> str:
        """Return ``W x + b`` with the cells filled in."""
        bias = self.bias.formula("b")
        tail = "" if bias == "0" else f" + {bias}"
        return f"{self.weight.formula('W')} {self.x.formula('x')}{tail}"


def _terms(terms: Iterable[Term]) -> tuple[Term, ...]:
    return listed("terms", terms)


@attrs.frozen(cache_hash=True)
class Share:
    """A weighted part of the relevance; ``gate`` restricts it to outputs ``z > 0`` or ``z < 0``."""

    terms: tuple[Term, ...] = attrs.field(
        converter=_terms,
        validator=[attrs.validators.min_len(1), attrs.validators.deep_iterable(attrs.validators.instance_of(Term))],
    )
    weight: float = attrs.field(default=1.0, converter=float)
    gate: Gate = attrs.field(default="all", validator=attrs.validators.in_(("all", "positive", "negative")))


@attrs.frozen(cache_hash=True)
class Stabiliser:
    """What keeps the denominator ``z`` away from 0; ``s(z)`` is +1 for ``z >= 0``, else −1.

    ``absolute``: ``z + s(z)·epsilon``. ``std``: the same with ``epsilon`` times the population
    standard deviation of the operation's input, per sample. ``relative``: ``s(z)·max(|z|, epsilon ·
    max|z|)``, the maximum taken per sample: only outputs that cancelled almost completely change.
    Where the denominator is still 0, the quotient is 0.
    """

    epsilon: float = attrs.field(default=0.0, converter=float, validator=non_negative)
    scale: Literal["absolute", "std", "relative"] = attrs.field(
        default="absolute", validator=attrs.validators.in_(("absolute", "std", "relative"))
    )

    def formula(self) -> str:
        """Return the stabilised denominator as mathematics."""
        if self.epsilon == 0:
            return "z"
        if self.scale == "relative":
            return f"s(z)·max(|z|, {self.epsilon:g}·max|z|)"
        std = "·std(x)" if self.scale == "std" else ""
        return f"z + s(z)·{self.epsilon:g}{std}"


def _shares(shares: Iterable[Share]) -> tuple[Share, ...]:
    return listed("shares", shares)


def _shares_sum_to_one(_: object, __: attrs.Attribute[tuple[Share, ...]], shares: tuple[Share, ...]) -> None:
    for side in ("positive", "negative"):
        total = math.fsum(share.weight for share in shares if share.gate in ("all", side))
        # 1e-9: alpha − beta written in decimals (1.4 − 0.4) is not exactly 1.
        if not math.isclose(total, 1.0, rel_tol=0, abs_tol=1e-9):
            weights = [(share.weight, share.gate) for share in shares]
            raise ValueError(
                f"the share weights of a rule must sum to 1 on each side of the gate, but sum to {total:g} "
                f"where z is {side}; got (weight, gate) = {weights}"
            )


@attrs.frozen(cache_hash=True)
class Rule:
    """A relevance-propagation rule for linear operations; the formula stands in the module's head.

    Parameters
    ----------
    shares
        Their weights sum to 1 on each side of the gate.
    stabiliser
        Applied to every share's denominator.
    times
        Factor in front of the pulled relevance. ``None``: every term's own mapped input. A cell
        (``Sign`` for the SIGN rules) replaces that factor for all terms; the slope of the term's
        input cell then stays in ``pull`` (1 for the identity), so that every input cell has to be a
        :class:`Mix`: the others have no slope that keeps relevance in proportion.
    name
        Short text for tables; not compared.
    """

    shares: tuple[Share, ...] = attrs.field(
        converter=_shares,
        validator=[
            attrs.validators.min_len(1),
            attrs.validators.deep_iterable(attrs.validators.instance_of(Share)),
            _shares_sum_to_one,
        ],
    )
    stabiliser: Stabiliser = attrs.field(default=Stabiliser(), validator=attrs.validators.instance_of(Stabiliser))
    times: Sign | Mix | Constant | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of((Sign, Mix, Constant)))
    )
    name: str = attrs.field(default="rule", eq=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        wrong = [term.x for share in self.shares for term in share.terms if not isinstance(term.x, Mix)]
        if self.times is not None and wrong:
            raise ValueError(
                f"'times' replaces the factor {wrong[0].formula('x')}, which has no slope to leave behind: with times, "
                "the input cell x of every term must be a Mix (keep, positive, negative or positive and negative)"
            )

    @property
    def conserves(self) -> bool:
        """Whether relevance is conserved where no denominator is 0, computed from the cells.

        True when no term lets relevance flow into a bias, nothing is added to the denominator, and
        every factor in front of a pull is the input that the term's own output was made of.
        """
        no_bias = all(term.bias in (Constant(0), Mix(0, 0)) for share in self.shares for term in share.terms)
        exact = self.stabiliser.epsilon == 0 or self.stabiliser.scale == "relative"
        return no_bias and exact and self.times is None

    @property
    def is_plain(self) -> bool:
        """Whether it shares out by contributions alone: the z and epsilon rules."""
        terms = [term for share in self.shares for term in share.terms]
        return self.times is None and all(term.x == term.weight == Mix(1, 1) for term in terms)

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        if not kind(operation.kind).linear:
            return _not_linear(operation)
        if self.stabiliser.scale == "std" and len(operation.inputs) > 1:
            inputs = len(operation.inputs)
            return f"there is no one input to take the deviation of, but {inputs}; use another stabiliser"
        return ""

    def formula(self) -> str:
        """Return the rule as mathematics, one line per share."""
        lines = []
        for share in self.shares:
            z = " ".join(f"{'−' if term.sign < 0 else '+'} ({term.formula()})" for term in share.terms)
            gate = "" if share.gate == "all" else f"[z {'>' if share.gate == 'positive' else '<'} 0]·"
            pulls = " ".join(
                f"{'−' if term.sign < 0 else '+'} {(self.times or term.x).formula('x')} ⊙ {term.weight.formula('W')}ᵀ t"
                for term in share.terms
            )
            lines.append(
                f"{share.weight:g} · [ {pulls.removeprefix('+ ')} ],  t = {gate}R / ({self.stabiliser.formula()}),  "
                f"z = {z.removeprefix('+ ')}"
            )
        return "R_in = " + "\n     + ".join(lines)


def _not_linear(operation: Described) -> str:
    return f"it is for linear operations, and this one is of kind {operation.kind!r}; give it a rule for that kind"


_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _numbers(parameters: Mapping[str, float] | Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((str(key), float(value)) for key, value in dict(parameters).items()))


@attrs.frozen(cache_hash=True)
class FunctionRule:
    """A rule that no cell can say, as a Python function over array operations.

    ``function(context, **parameters)`` is called with a
    :class:`~signxai_core.engine.function.Context` and returns the relevance of the input, or a
    tuple with that of every input. Use a :class:`Rule` where its cells suffice: nothing can be
    computed about a function, not even whether it conserves relevance.

    Parameters
    ----------
    path
        Where the function is: ``"package.module:function"``.
    parameters
        Numbers that it is called with, by name.
    name
        Name under which the rule is registered, its factory taking the same parameters. It is what
        files hold instead of ``path``, so that a file cannot name code; not compared.
    """

    path: str = attrs.field(validator=attrs.validators.matches_re(_IMPORT_PATH))
    parameters: tuple[tuple[str, float], ...] = attrs.field(default=(), converter=_numbers)
    name: str = attrs.field(default="function", eq=False, kw_only=True)

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        module, _, attribute = self.path.partition(":")
        try:
            function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(f"the rule {self.name!r} is the function {self.path!r}: {error}") from error
        return function

    @property
    def conserves(self) -> bool:
        """Not known, so no."""
        return False

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return nothing: a function may be applied to any operation."""
        return ""

    def formula(self) -> str:
        """Return the rule as mathematics, as far as it is known."""
        parameters = "".join(f", {key}={value:g}" for key, value in self.parameters)
        return f"R_in = {self.path}(x, z, R{parameters})"


LinearRule = Rule | FunctionRule
