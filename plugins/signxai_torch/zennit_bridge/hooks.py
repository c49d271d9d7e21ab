"""One hook of zennit's per rule, made from the rule's cells.

A term is one branch of a ``BasicHook``: its input cell modifies the input, its weight and bias
cells modify the parameters. The gradient mapper forms the quotient of every share, the reducer the
sum over terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import zennit.core
import zennit.rules
from torch import Tensor

from signxai_core.errors import PlanError
from signxai_core.specs import (
    KEEP,
    AnyRule,
    ArrayValue,
    Cell,
    Constant,
    Exact,
    FunctionRule,
    Mix,
    NormalisationRule,
    Pass,
    Rule,
    Share,
    Sign,
    Square,
    Stabiliser,
    Term,
    Value,
)
from signxai_torch.zennit_bridge.limits import refuse

Branch = tuple[Share, Term]


def apply_cell(cell: Cell, v: Tensor) -> Tensor:
    """Return a cell of an array, as a new array."""
    if isinstance(cell, Mix):
        if cell.positive == cell.negative:
            return v.clone() if cell.positive == 1 else cell.positive * v
        return cell.positive * v.clamp(min=0) + cell.negative * v.clamp(max=0)
    if isinstance(cell, Square):
        return v * v
    if isinstance(cell, Constant):
        return torch.full_like(v, cell.value)
    if isinstance(cell, Sign):
        return torch.where(v >= (0.0 if cell.mu is None else _value(cell.mu, v, channels=False)), 1.0, -1.0).to(v)
    return (_value(cell.value, v, channels=True) + torch.zeros_like(v)).clone()


def _value(value: Value | Any, like: Tensor, *, channels: bool) -> Tensor | float:
    """Return a number or array of a cell; ``channels``: one axis means one number per channel."""
    if isinstance(value, ArrayValue):
        array = torch.as_tensor(value.array.copy()).to(like)
        return array.reshape(-1, *(1,) * (like.dim() - 2)) if channels and array.dim() == 1 else array
    if not isinstance(value, float):
        raise PlanError("a parameter of the method is missing: give mu, low or high before handing it to zennit")
    return value


def _slope(cell: Cell, x: Tensor) -> Tensor | float:
    assert isinstance(cell, Mix), "a rule with a factor of its own has no other input cells"
    return cell.positive if cell.positive == cell.negative else torch.where(x >= 0, cell.positive, cell.negative).to(x)


def stabilised(stabiliser: Stabiliser, z: Tensor) -> Tensor:
    """Return the denominator kept away from 0; where it still is 0 it becomes infinite."""
    sign = torch.where(z >= 0, 1.0, -1.0).to(z)
    if stabiliser.scale == "relative" and stabiliser.epsilon:
        largest = z.abs().amax(dim=tuple(range(1, z.dim())), keepdim=True)
        z = sign * torch.maximum(z.abs(), stabiliser.epsilon * largest)
    else:
        z = z + sign * stabiliser.epsilon
    return torch.where(z == 0, torch.inf, z)


class _Cells(zennit.core.ParamMod):  # type: ignore[misc] # zennit is untyped
    """The weight and bias cells of a term."""

    def __init__(self, term: Term) -> None:
        def modify(parameter: Tensor, name: str) -> Tensor:
            return apply_cell(term.bias if name == "bias" else term.weight, parameter)

        super().__init__(modify, param_keys=["weight", "bias"], require_params=False)


class RuleHook(zennit.core.BasicHook):  # type: ignore[misc] # zennit is untyped
    """A rule at a module that is one linear operation.

    Parameters
    ----------
    rule
        What it stands for; :func:`~signxai_torch.zennit_bridge.from_zennit` reads it back.
    weighted
        The module has weights. Else (pooling) its coefficients are positive constants.
    """

    def __init__(self, rule: Rule, *, weighted: bool = True) -> None:
        self.rule = rule
        self.weighted = weighted
        self._branches: list[Branch] = [(share, term) for share in rule.shares for term in share.terms]
        terms = [term for _, term in self._branches]
        plain = Term(KEEP, KEEP, KEEP)  # a last branch: the operation as it is, for gates and factors
        super().__init__(
            input_modifiers=[_input(term.x) for term in (*terms, plain)],
            param_modifiers=[_Cells(term) for term in (*terms, plain)] if weighted else [_none()] * (len(terms) + 1),
            output_modifiers=[_output(1.0 if weighted else _coefficient(term)) for term in (*terms, plain)],
            gradient_mapper=self._quotients,
            reducer=self._total,
        )

    def copy(self) -> RuleHook:
        """Return a hook for another module."""
        return RuleHook(self.rule, weighted=self.weighted)

    def _quotients(self, relevance: Tensor, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Return ``gate(z) · R / stabilise(Σ_term sign · z_term)`` for every branch."""
        rest, z = iter(outputs), outputs[-1]
        found: list[Tensor] = []
        for share in self.rule.shares:
            total = torch.stack([term.sign * next(rest) for term in share.terms]).sum(dim=0)
            gated = relevance
            if share.gate != "all":
                gated = torch.where(z > 0 if share.gate == "positive" else z < 0, relevance, 0.0)
            found += [gated / stabilised(self.rule.stabiliser, total)] * len(share.terms)
        return [*found, torch.zeros_like(z)]

    def _total(self, inputs: Sequence[Tensor], pulled: Sequence[Tensor]) -> Tensor:
        """Return ``Σ_share weight · Σ_term sign · times(x) ⊙ pulled``."""
        x = inputs[-1]
        total = torch.zeros_like(x)
        for (share, term), mapped, part in zip(self._branches, inputs[:-1], pulled[:-1], strict=True):
            times = self.rule.times
            factor = mapped if times is None else apply_cell(times, x) * _slope(term.x, x)
            total = total + share.weight * term.sign * factor * part
        return total


def _input(cell: Cell) -> Callable[[Tensor], Tensor]:
    return lambda x: apply_cell(cell, x.detach())


def _output(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda z: z if factor == 1 else factor * z


def _none() -> Any:
    return zennit.core.ParamMod(lambda parameter, _: parameter, param_keys=[])


def _coefficient(term: Term) -> float:
    """Return what a term's weight cell makes of positive coefficients that are no weights."""
    if not isinstance(term.weight, Mix):
        raise PlanError(
            f"a rule that replaces the weights by {term.weight.formula('W')!r} cannot be applied to a module "
            "without weights"
        )
    return term.weight.positive


def hook_of(rule: AnyRule, *, kind: str, weighted: bool) -> Any:
    """Return the hook for a rule at a module of some kind; ``None`` is the exact derivative.

    Raises
    ------
    PlanError
        When zennit cannot express the rule.
    """
    check_rule(rule)
    if isinstance(rule, Rule):
        return RuleHook(rule, weighted=weighted)
    if isinstance(rule, Pass) or (rule == Exact(mask=False) and kind == "activation"):
        return zennit.rules.Pass()
    assert isinstance(rule, Exact), "check_rule refuses all others"
    if rule == Exact():
        return None
    if kind != "activation":
        raise refuse("exact", f"{rule.name} at an operation of kind {kind!r}")
    return zennit.rules.ReLUGuidedBackprop() if rule.mask else zennit.rules.ReLUDeconvNet()


def check_rule(rule: AnyRule) -> None:
    """Refuse a rule that zennit cannot express anywhere."""
    if isinstance(rule, FunctionRule):
        raise refuse("function", f"{rule.name} ({rule.path})")
    if isinstance(rule, NormalisationRule):
        raise refuse("normalisation", rule.name)
    if isinstance(rule, Rule) and rule.stabiliser.scale == "std" and rule.stabiliser.epsilon:
        raise refuse("std", rule.name)


__all__ = ["RuleHook", "apply_cell", "check_rule", "hook_of", "stabilised"]
