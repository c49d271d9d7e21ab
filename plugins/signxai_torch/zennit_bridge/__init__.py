"""Our methods as zennit's composites, zennit's composites as ours, and zennit as a second engine.

    with zennit.attribution.Gradient(model, to_zennit("lrp_epsilon_plus")) as attributor:
        output, relevance = attributor(x, seed)

    sx.explain(model, x, zennit.composites.EpsilonPlusFlat())          # zennit's definition, our engine
    sx.explain(model, x, "lrp_epsilon_plus", backend="zennit")         # our definition, zennit's engine

zennit is imported when one of these functions is called, never before: it imports torchvision,
which the PyTorch backend does without.
"""

from __future__ import annotations

from typing import Any

from signxai_core.registry import BackendEntry, Conversion, hookimpl
from signxai_core.specs import Composite, MethodSpec
from signxai_torch.zennit_bridge.guard import need_zennit
from signxai_torch.zennit_bridge.limits import CANNOT

__all__ = ["CANNOT", "from_zennit", "method_of", "signxai_backends", "signxai_conversions", "to_zennit"]


def to_zennit(method: str | MethodSpec | Composite) -> Any:
    """Return a ``zennit.core.Composite`` that does what a method does, on any model made of modules.

    It carries its own canonizer where the method folds batch-normalisation. Stabilisers are ours:
    zennit's own composites add 1e-6 to every denominator, these do not.

    Parameters
    ----------
    method
        Name, specification, or composite. What stands around the composite (sampling, a factor on
        the finished map) has no place in zennit's composites.

    Raises
    ------
    PlanError
        With the reason, when zennit cannot express the method; see :data:`CANNOT`.
    BackendError
        When zennit cannot be imported.
    """
    need_zennit()
    from signxai_torch.zennit_bridge import writing  # noqa: PLC0415 - imports zennit

    return writing.to_zennit(method)


def from_zennit(composite: Any) -> Composite:
    """Return what a zennit composite, or a hook for every layer with weights, does, as a composite of ours.

    Stabilisers are kept as they are, and operations without a hook get their exact derivative, as
    zennit gives them.

    Raises
    ------
    PlanError
        Naming the part that is a function and cannot be read: a ``BasicHook`` of one's own, a
        ``module_map`` of one's own, a callable stabiliser.
    BackendError
        When zennit cannot be imported.

    Examples
    --------
    ``from_zennit(EpsilonPlus())`` is what ``signxai_core.explain(model, x, EpsilonPlus())`` puts into
    its method.
    """
    need_zennit()
    from signxai_torch.zennit_bridge import reading  # noqa: PLC0415 - imports zennit

    return reading.from_zennit(composite)


def method_of(*, given: Any) -> MethodSpec:
    """Return the method that :func:`signxai_core.explain` makes of a composite or hook of zennit's.

    Relevance starts from the logit. zennit leaves the start to whoever calls it: ``seed="one"`` of
    ``explain`` gives the other usual one.
    """
    return MethodSpec(family="lrp", composite=from_zennit(given), seed="logit")


@hookimpl
def signxai_backends() -> list[BackendEntry]:
    """Register zennit as an engine of its own; it claims no model, and is asked for by name."""
    return [BackendEntry(name="zennit", factory="signxai_torch.with_zennit:WithZennit", packages=(), executor=True)]


@hookimpl
def signxai_conversions() -> list[Conversion]:
    """Composites and hooks of zennit's are methods too."""
    return [Conversion(name="zennit", factory="signxai_torch.zennit_bridge:method_of", packages=("zennit",))]
