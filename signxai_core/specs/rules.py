"""Rules as values.

For a linear operation ``z = f(x; W, b)`` with output relevance ``R`` a :class:`Rule` stands for

    R_in = Σ_share weight · Σ_term sign · times(x) ⊙ pull_term( gate(z) · R / stabilise(Σ_term sign · z_term) )
    z_term, pull_term = linearise(f, weight_cell(W), bias_cell(b), x_cell(x))

``pull_term`` is the vector-Jacobian product of the term's operation with respect to its input. By
default ``times`` is the term's own ``x_cell(x)``. The share weights must sum to 1 on each side of
the gate: that is the one invariant of every rule, ours and users'.

:class:`FunctionRule` is the way out where the formula does not suffice. :class:`Pass`,
:class:`Exact` and :class:`NormalisationRule` say what happens at operations that are not linear in
this sense.
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
from signxai_core.specs.texts import listed

Gate = Literal["all", "positive", "negative"]


def _non_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a finite number >= 0, got {value!r}")


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

    epsilon: float = attrs.field(default=0.0, converter=float, validator=_non_negative)
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

    def formula(self) -> str:
        """Return the rule as mathematics, as far as it is known."""
        parameters = "".join(f", {key}={value:g}" for key, value in self.parameters)
        return f"R_in = {self.path}(x, z, R{parameters})"


@attrs.frozen(cache_hash=True)
class Pass:
    """Relevance goes through unchanged: activations, dropout at inference."""

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "pass"

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_in = R"


@attrs.frozen(cache_hash=True)
class Exact:
    """The exact vector-Jacobian product: shape operations, max-pooling, and the gradient family.

    Parameters
    ----------
    clip
        Clip what comes in from above at 0 (guided backpropagation, Springenberg et al. 2015, and
        the deconvnet, Zeiler & Fergus 2014).
    mask
        Multiply by the operation's own derivative; the deconvnet leaves that out at ReLUs.
    """

    clip: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    mask: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))

    @property
    def name(self) -> str:
        """Short text for tables."""
        return f"{'clip, then ' if self.clip else ''}{'exact' if self.mask else 'unmasked'} VJP"

    def formula(self) -> str:
        """Return the rule as mathematics."""
        g = "max(g, 0)" if self.clip else "g"
        return f"g_in = Jᵀ {g}" if self.mask else f"g_in = {g}"


@attrs.frozen(cache_hash=True)
class NormalisationRule:
    """Batch-normalisation as iNNvestigate and signxai 1.x treat it, not folded.

    ``R_in = x·(y − beta)·R / stabilised((x − mean)·y)`` with ``stabilised(d) = d + s(d)·epsilon``.
    """

    epsilon: float = attrs.field(default=1e-7, converter=float, validator=_non_negative)

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "reference batch-norm"

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return f"R_in = x·(y − β)·R / (d + s(d)·{self.epsilon:g}),  d = (x − mean)·y"


LinearRule = Rule | FunctionRule
AnyRule = Rule | FunctionRule | Pass | Exact | NormalisationRule
