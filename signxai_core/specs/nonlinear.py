"""Rules for operations that are not linear in the sense of :mod:`signxai_core.specs.rules`.

``R`` is the relevance at the output ``y``, ``a_k`` an operand, ``J_k`` the derivative with respect to
it at the recorded point, ``N(y)`` the output moved away from 0 by a part of the sample's largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import attrs

from signxai_core.specs.operations import kind
from signxai_core.specs.texts import listed


class Described(Protocol):
    """What a rule may ask about an operation; see :class:`signxai_core.engine.backend.Operation`."""

    @property
    def kind(self) -> str:
        """Row of the table of operations."""

    @property
    def function(self) -> str:
        """Neutral name."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Ids of the tensors that go in."""

    @property
    def outputs(self) -> tuple[int, ...]:
        """Ids of the tensors that come out."""


#: From a tensor's id to its shape.
Shapes = Callable[[int], tuple[int, ...]]


@runtime_checkable
class AnyRule(Protocol):
    """What every rule answers, of whatever class.

    A class of rules is a frozen, hashable value with these four; the engine propagates it by the
    function that is registered for the class (hook ``signxai_rule_classes``).
    """

    def __hash__(self) -> int:
        """Return a hash: rules are compared and kept as keys."""

    @property
    def name(self) -> str:
        """Short text for tables."""

    @property
    def conserves(self) -> bool:
        """Whether relevance is conserved where no denominator is 0 and nothing goes to a bias."""

    def formula(self) -> str:
        """Return the rule as mathematics."""

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""


def non_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    """Validate a finite number that is not negative."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a finite number >= 0, got {value!r}")


def _changes_shape(operation: Described, shapes: Shapes) -> str:
    """Return why relevance cannot stay as it is."""
    given, made = [shapes(one) for one in operation.inputs], [shapes(one) for one in operation.outputs]
    if len(given) == len(made) == 1 and given == made:
        return ""
    return (
        "relevance can stay as it is only where one input and one output have the same shape, and here "
        f"{given} becomes {made}; give it a rule for its kind ({operation.kind})"
    )


@attrs.frozen(cache_hash=True)
class Pass:
    """Relevance goes through unchanged: activations, dropout at inference."""

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "pass"

    @property
    def conserves(self) -> bool:
        """Always."""
        return True

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_in = R"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        return _changes_shape(operation, shapes)


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

    @property
    def conserves(self) -> bool:
        """No: a derivative is no share. Where an operation only moves numbers, it does."""
        return False

    def formula(self) -> str:
        """Return the rule as mathematics."""
        g = "max(g, 0)" if self.clip else "g"
        return f"g_in = Jᵀ {g}" if self.mask else f"g_in = {g}"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        return "" if self.mask else _changes_shape(operation, shapes)


@attrs.frozen(cache_hash=True)
class NormalisationRule:
    """Batch-normalisation as iNNvestigate and signxai 1.x treat it, not folded.

    ``R_in = x·(y − beta)·R / stabilised((x − mean)·y)`` with ``stabilised(d) = d + s(d)·epsilon``.
    """

    epsilon: float = attrs.field(default=1e-7, converter=float, validator=non_negative)

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "reference batch-norm"

    @property
    def conserves(self) -> bool:
        """No."""
        return False

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return f"R_in = x·(y − β)·R / (d + s(d)·{self.epsilon:g}),  d = (x − mean)·y"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        if operation.kind == "normalisation":
            return ""
        return f"it needs mean and beta of a batch-normalisation, and this one is of kind {operation.kind!r}"


#: What a product's rule may take for constants, besides the denominators of quotients.
FREEZABLE = ("gate", "statistic", "activated")


def _roles(value: Iterable[str]) -> frozenset[str]:
    return frozenset(value)


def _known_roles(_: object, __: attrs.Attribute[frozenset[str]], roles: frozenset[str]) -> None:
    unknown = sorted(roles - {*FREEZABLE})
    if unknown:
        raise ValueError(f"unknown role {unknown[0]!r}; roles that can be frozen: {', '.join(FREEZABLE)}")


#: Roles of operands that a user may give.
ROLES = ("signal", "gate", "statistic", "denominator", "frozen")


def _in_order(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else listed("roles", value)


def _roles_of_operands(_: object, __: attrs.Attribute[Any], roles: tuple[str, ...] | None) -> None:
    unknown = [role for role in roles or () if role not in ROLES]
    if unknown:
        raise ValueError(f"unknown role {unknown[0]!r}; roles of operands: {', '.join(ROLES)}")


@attrs.frozen(cache_hash=True)
class Shared:
    """Operations with several live operands: products, quotients, matrix products.

    ``R_k = w_k · a_k ⊙ J_kᵀ(R ⊘ N(y))``; an elementwise product hands on ``w_k · R`` itself. Frozen
    operands have ``w_k = 0``, the others equal shares, counted by their factors. Denominators are
    always frozen, and the last live operand never is.

    Parameters
    ----------
    frozen
        Roles that are constants: ``"gate"`` (the signal takes all, Arras et al. 2017), ``"statistic"``,
        ``"activated"`` (in a product without a gate, the one operand that an activation function made;
        Ali et al. 2022).
    epsilon
        ``N(y) = s(y)·max(|y|, epsilon · max|y|)``, the maximum of finite numbers per sample.
    roles
        Role of each operand, in place of those that were found in the graph: ``"signal"``, ``"gate"``,
        ``"statistic"``, ``"denominator"``, or ``"frozen"`` for what is a constant to every rule.
    """

    frozen: frozenset[str] = attrs.field(
        default=frozenset({"gate", "statistic"}), converter=_roles, validator=_known_roles
    )
    epsilon: float = attrs.field(default=1e-9, converter=float, validator=non_negative)
    roles: tuple[str, ...] | None = attrs.field(default=None, converter=_in_order, validator=_roles_of_operands)

    @property
    def name(self) -> str:
        """Short text for tables."""
        if "activated" in self.frozen:
            return "signal takes all, activations frozen"
        return "signal takes all" if "gate" in self.frozen else "equal shares"

    @property
    def conserves(self) -> bool:
        """Yes: the shares sum to 1."""
        return True

    def formula(self) -> str:
        """Return the rule as mathematics."""
        constants = ", ".join([*sorted(self.frozen), "denominator"])
        return f"R_k = w_k · a_k ⊙ J_kᵀ(R ⊘ N(y)),  Σ w_k = 1,  w_k = 0: {constants}"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        if kind(operation.kind).multiplies or operation.kind == "quotient":
            if self.roles is not None and len(self.roles) != len(operation.inputs):
                return f"it gives {len(self.roles)} roles, and the operation has {len(operation.inputs)} operands"
            return ""
        return f"it is for products and quotients of several operands, and this one is of kind {operation.kind!r}"


@attrs.frozen(cache_hash=True)
class SoftmaxRule:
    """Softmax and log-softmax inside a network (Deep Taylor; Achtibat et al. 2024).

    Softmax ``s``: ``R_i = x_i (R_i − s_i Σ_j R_j)``, with ``x`` the logits as the model has them.
    Log-softmax ``y``: ``R_i = x_i R_i ⊘ N(y_i)``, with its log-sum-exp for a constant.
    """

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "softmax"

    @property
    def conserves(self) -> bool:
        """No; what is lost is ``Σ_j R_j (1 − x_j + Σ_i s_i x_i)``."""
        return False

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_i = x_i (R_i − s_i Σ_j R_j)"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        if operation.kind == "softmax":
            return ""
        return f"it is for softmax and log-softmax, and this one is of kind {operation.kind!r}"


@attrs.frozen(cache_hash=True)
class Stop:
    """Relevance ends: at piecewise constant functions, which are constants."""

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "stop"

    @property
    def conserves(self) -> bool:
        """No."""
        return False

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_in = 0"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        return ""
