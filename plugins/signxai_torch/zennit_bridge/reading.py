"""zennit's composites and hooks as ours.

zennit keeps the parameters of its rules in the closures of the functions it builds; they are read
from there, for the classes of :mod:`zennit.rules` themselves and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
import zennit.canonizers
import zennit.composites
import zennit.core
import zennit.rules

from signxai_core.errors import PlanError
from signxai_core.specs import (
    KEEP,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    AnyRule,
    Bound,
    Composite,
    Entry,
    Exact,
    Mix,
    Pass,
    Position,
    Rule,
    Share,
    Stabiliser,
    Term,
    WeightCell,
    Where,
)
from signxai_torch.zennit_bridge.hooks import RuleHook
from signxai_torch.zennit_bridge.modules import GROUPS, MODULES
from signxai_torch.zennit_bridge.writing import MethodComposite


def from_zennit(composite: Any) -> Composite:
    """Return our composite; see :func:`signxai_torch.zennit_bridge.from_zennit`."""
    if isinstance(composite, zennit.core.Hook):
        where = Where(kinds=frozenset({"dense", "convolution"}))
        return Composite((Entry(where, rule_of(composite)), Entry(Where(), Exact())))
    if isinstance(composite, MethodComposite):
        return composite.composite
    if not isinstance(composite, zennit.core.Composite):
        raise PlanError(f"expected a composite or a hook of zennit's, got {composite!r}")
    for canonizer in composite.canonizers:
        if not isinstance(canonizer, zennit.canonizers.MergeBatchNorm):
            raise _unreadable(f"the canonizer {type(canonizer).__name__}: it changes the model in ways of its own")
    entries = (*_entries(composite), Entry(Where(), Exact()))
    return Composite(entries, fold_normalisation=bool(composite.canonizers))


def _unreadable(what: str) -> PlanError:
    return PlanError(f"this zennit object cannot be read as data: {what}")


def _entries(composite: Any) -> Iterable[Entry]:
    known: tuple[tuple[type, Callable[[Any], Iterable[Entry]]], ...] = (
        (zennit.composites.MixedComposite, lambda c: (e for part in c.composites for e in _entries(part))),
        (zennit.composites.NameMapComposite, lambda c: _by_name(c.name_map or ())),
        (zennit.composites.SpecialFirstLayerMapComposite, _with_first),
        (zennit.composites.LayerMapComposite, lambda c: _by_type(c.layer_map or ())),
    )
    for cls, read in known:
        if isinstance(composite, cls) and type(composite).mapping is cls.mapping:  # type: ignore[attr-defined]
            return read(composite)
    raise _unreadable(f"{type(composite).__name__} maps modules to hooks by a function of its own")


def _with_first(composite: Any) -> Iterable[Entry]:
    return (*_by_type(composite.first_map or (), first=True), *_by_type(composite.layer_map or ()))


def _by_name(name_map: Iterable[tuple[Any, Any]]) -> Iterable[Entry]:
    for names, hook in name_map:
        for name in (names,) if isinstance(names, str) else names:
            literal = "".join(f"[{c}]" if c in "*?[" else c for c in name)
            yield Entry(Where(path=literal), rule_of(hook))


def _by_type(layer_map: Iterable[tuple[Any, Any]], *, first: bool = False) -> Iterable[Entry]:
    for types, hook in layer_map:
        for cls in types if isinstance(types, tuple) else (types,):
            position: Position | None = "first" if first else None
            if cls in GROUPS:
                where = Where(kinds=GROUPS[cls], position=position)
            elif cls in MODULES:
                kind, function = MODULES[cls]
                alone = kind in {"dense", "normalisation", "sum"}
                functions = None if alone else frozenset({function})
                where = Where(kinds=frozenset({kind}), functions=functions, position=position)
            else:
                raise _unreadable(f"a hook for modules of type {cls!r}, which is no kind of operation")
            yield Entry(where, rule_of(hook))


def rule_of(hook: Any) -> AnyRule:
    """Return the rule that a hook of zennit's stands for."""
    if isinstance(hook, RuleHook):
        return hook.rule
    if type(hook) not in _RULES:
        raise _unreadable(
            f"{type(hook).__module__}.{type(hook).__qualname__} is made of functions of its own; readable are "
            f"{', '.join(cls.__name__ for cls in _RULES)}, and what to_zennit made"
        )
    return _RULES[type(hook)](hook)


def _closure(function: Any) -> Mapping[str, Any]:
    names = function.__code__.co_freevars
    return dict(zip(names, (cell.cell_contents for cell in function.__closure__ or ()), strict=True))


def _stabiliser(hook: Any) -> Stabiliser:
    found = _closure(hook.gradient_mapper)["stabilizer_fn"]
    if not isinstance(found, zennit.core.Stabilizer):
        raise _unreadable(f"the stabiliser {found!r} of {type(hook).__name__} is a function")
    if found.clip or found.norm_scale:
        raise _unreadable(f"a stabiliser of {type(hook).__name__} that clips or scales by a norm has no cell here")
    return Stabiliser(found.epsilon)


def _bias(hook: Any, cell: WeightCell) -> WeightCell:
    """Return the bias cell: 0 where the hook sets the bias to zero."""
    given = hook.param_modifiers[0].zero_params or ()
    names = {given} if isinstance(given, str) else set(given)
    if names - {"bias"}:
        raise _unreadable(f"{type(hook).__name__} with zero_params={given!r}: only the bias can be left out")
    return ZERO if names else cell


def _plain(hook: Any) -> Rule:
    rule = Rule((Share((Term(KEEP, KEEP, _bias(hook, KEEP)),)),), _stabiliser(hook))
    return _named(rule, f"epsilon {rule.stabiliser.epsilon:g}")


def _named(rule: Rule, name: str) -> Rule:
    return Rule(rule.shares, rule.stabiliser, rule.times, name=f"{name} (zennit)")


def _parts(hook: Any) -> tuple[tuple[Term, Term], tuple[Term, Term]]:
    up = (Term(POSITIVE, POSITIVE, _bias(hook, POSITIVE)), Term(NEGATIVE, NEGATIVE, ZERO))
    down = (Term(POSITIVE, NEGATIVE, _bias(hook, NEGATIVE)), Term(NEGATIVE, POSITIVE, ZERO))
    return up, down


def _z_plus(hook: Any) -> Rule:
    return _named(Rule((Share(_parts(hook)[0]),), _stabiliser(hook)), "z⁺")


def _alpha_beta(hook: Any) -> Rule:
    found = _closure(hook.reducer)
    up, down = _parts(hook)
    shares = [Share(up, found["alpha"])] + ([Share(down, -found["beta"])] if found["beta"] else [])
    return _named(Rule(shares, _stabiliser(hook)), f"alpha {found['alpha']:g}, beta {found['beta']:g}")


def _gamma(hook: Any) -> Rule:
    gamma = _closure(hook.param_modifiers[0].modifier)["gamma"]
    up, down = Mix(1 + gamma, 1), Mix(1, 1 + gamma)
    shares = (
        Share((Term(POSITIVE, up, _bias(hook, up)), Term(NEGATIVE, down, ZERO)), gate="positive"),
        Share((Term(POSITIVE, down, _bias(hook, down)), Term(NEGATIVE, up, ZERO)), gate="negative"),
    )
    return _named(Rule(shares, _stabiliser(hook)), f"gamma {gamma:g}")


def _z_box(hook: Any) -> Rule:
    # zennit keeps the biases of all three terms; b − b⁺ − b⁻ is 0.
    low = Bound("low", _bound(_closure(hook.input_modifiers[1])["low"]))
    high = Bound("high", _bound(_closure(hook.input_modifiers[2])["high"]))
    terms = (Term(KEEP, KEEP, ZERO), Term(low, POSITIVE, ZERO, -1), Term(high, NEGATIVE, ZERO, -1))
    return _named(Rule((Share(terms),), _stabiliser(hook)), "zB")


def _bound(value: Any) -> Any:
    array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value, dtype=np.float64)
    if array.ndim > 1 and array.shape[0] != 1:
        raise _unreadable(f"a bound of shape {array.shape}: one per sample of a batch")
    return array[0] if array.ndim > 1 else array


def _w_square(hook: Any) -> Rule:
    return _named(Rule((Share((Term(ONES, SQUARE, _bias(hook, SQUARE)),)),), _stabiliser(hook)), "w² with bias")


def _flat(hook: Any) -> Rule:
    return _named(Rule((Share((Term(ONES, ONES, ZERO),)),), _stabiliser(hook)), "flat")


_RULES: Mapping[type, Callable[[Any], AnyRule]] = {
    zennit.rules.Epsilon: _plain,
    zennit.rules.Norm: _plain,
    zennit.rules.ZPlus: _z_plus,
    zennit.rules.AlphaBeta: _alpha_beta,
    zennit.rules.Gamma: _gamma,
    zennit.rules.ZBox: _z_box,
    zennit.rules.WSquare: _w_square,
    zennit.rules.Flat: _flat,
    zennit.rules.Pass: lambda _: Pass(),
    zennit.rules.ReLUGuidedBackprop: lambda _: Exact(clip=True),
    zennit.rules.ReLUDeconvNet: lambda _: Exact(clip=True, mask=False),
}
