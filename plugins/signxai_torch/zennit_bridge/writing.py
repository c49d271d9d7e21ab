"""Methods as zennit's composites."""

from __future__ import annotations

from typing import Any

import attrs
import zennit.canonizers
import zennit.core
from torch import nn

import signxai_core as sx
from signxai_core.specs import AnyRule, Composite, Entry, MethodSpec, Position, Rule, Where
from signxai_torch.zennit_bridge.hooks import check_rule, hook_of
from signxai_torch.zennit_bridge.limits import refuse
from signxai_torch.zennit_bridge.modules import WITH_WEIGHTS, described, positions


class MergeBatchNorm(zennit.canonizers.SequentialMergeBatchNorm):  # type: ignore[misc] # zennit is untyped
    """zennit's canonizer, made exact.

    The batch-normalisation that it leaves behind divides by ``sqrt(1 + eps)``, which changes every
    output by 5e-6; here ``eps`` is 0 as long as it is merged.
    """

    def register(self, linears: Any, batch_norm: Any) -> None:
        """Merge."""
        super().register(linears, batch_norm)
        self._eps = batch_norm.eps
        batch_norm.eps = 0.0

    def remove(self) -> None:
        """Undo the merge."""
        super().remove()
        self.batch_norm.eps = self._eps


class MethodComposite(zennit.core.Composite):  # type: ignore[misc] # zennit is untyped
    """A composite of ours, on whatever model it is registered with.

    Parameters
    ----------
    composite
        Its entries are matched with modules: kind and function by class, path by name, position by
        the order of modules.
    """

    def __init__(self, composite: Composite) -> None:
        self.composite = composite
        self._positions: dict[str, frozenset[Position]] = {}
        canonizers = [MergeBatchNorm()] if composite.fold_normalisation else []
        super().__init__(module_map=self._hook, canonizers=canonizers)

    def register(self, module: nn.Module) -> None:
        """Apply the canonizer and hook the modules."""
        self._positions = positions(module)
        try:
            super().register(module)
            self._check_normalisation(module)
        except BaseException:
            self.remove()
            raise

    def rule_of(self, name: str, module: nn.Module) -> AnyRule | None:
        """Return the rule of a module; ``None`` where no entry fits or its class is unknown."""
        found = described(module)
        if found is None:
            return None
        kind, function = found
        place = self._positions.get(name, frozenset())
        for entry in self.composite.entries:
            if entry.where.matches(kind=kind, function=function, positions=place, path=name):
                return entry.rule
        return None

    def _hook(self, _: Any, name: str, module: nn.Module) -> Any:
        rule, found = self.rule_of(name, module), described(module)
        if rule is None or found is None or (found[0] == "normalisation" and isinstance(rule, Rule)):
            return None
        return hook_of(rule, kind=found[0], weighted=found[0] in WITH_WEIGHTS)

    def _check_normalisation(self, model: nn.Module) -> None:
        merged = {id(getattr(handle, "batch_norm", None)) for handle in self.handles}
        for name, module in model.named_modules():
            found = described(module)
            alone = found is not None and found[0] == "normalisation" and id(module) not in merged
            if alone and isinstance(self.rule_of(name, module), Rule):
                raise refuse("normalisation", f"{name} ({type(module).__name__}), not directly behind a linear module")


def to_zennit(method: str | MethodSpec | Composite) -> MethodComposite:
    """Return a composite of zennit's; see :func:`signxai_torch.zennit_bridge.to_zennit`."""
    if isinstance(method, Composite):
        return _checked(method)
    spec = sx.parse(method) if isinstance(method, str) else method
    if spec.sampling is not None:
        raise refuse("sampling", repr(spec.sampling))
    if spec.cam is not None:
        raise refuse("cam", repr(spec.cam))
    if spec.modifier is not None:
        raise refuse("modifier", f"times {spec.modifier.formula('x')}")
    return _checked(whole(spec))


def whole(spec: MethodSpec) -> Composite:
    """Return the composite with the input layer's rule as its first entry."""
    if spec.input_layer is None:
        return spec.composite
    first = Entry(Where(position="first"), spec.input_layer)
    return attrs.evolve(spec.composite, entries=(first, *spec.composite.entries))


def _checked(composite: Composite) -> MethodComposite:
    for entry in composite.entries:
        check_rule(entry.rule)
    return MethodComposite(composite)
