"""Our methods as zennit's composites, zennit's composites as ours, and zennit as a second engine.

    with zennit.attribution.Gradient(model, to_zennit("lrp_epsilon_plus")) as attributor:
        output, relevance = attributor(x, seed)

zennit is imported when one of these functions is called, never before: it imports torchvision,
which the PyTorch backend does without.
"""

from __future__ import annotations

from typing import Any

from signxai_core.explanation import Explanation
from signxai_core.specs import Composite, MethodSpec
from signxai_torch.zennit_bridge.guard import need_zennit
from signxai_torch.zennit_bridge.limits import CANNOT

__all__ = ["CANNOT", "explain_with_zennit", "from_zennit", "to_zennit"]


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
    ``MethodSpec(family="lrp", composite=from_zennit(EpsilonPlus()), seed="logit")`` is a method for
    :func:`signxai_core.explain`.
    """
    need_zennit()
    from signxai_torch.zennit_bridge import reading  # noqa: PLC0415 - imports zennit

    return reading.from_zennit(composite)


def explain_with_zennit(
    model: Any, x: Any, method: str | MethodSpec, target: Any = None, **parameters: Any
) -> Explanation:
    """Explain with zennit's engine: the same plan, carried out by zennit's hooks.

    This is a function and not a backend: a backend differentiates one operation at a time and
    knows no rule, while zennit hands rules to modules and runs PyTorch's backward pass through
    them. Two engines that share nothing but the plan check each other.

    Parameters
    ----------
    model
        A module in evaluation mode. zennit hooks it, and merges batch-normalisation, while this
        function runs; both are undone.
    x, method, target, **parameters
        As for :func:`signxai_core.explain`.

    Raises
    ------
    PlanError
        With every reason, when zennit cannot carry the plan out on this model.
    BackendError
        When zennit cannot be imported.
    """
    need_zennit()
    from signxai_torch.zennit_bridge import running  # noqa: PLC0415 - imports zennit

    explanation: Explanation = running.explain(model, x, method, target, parameters)
    return explanation
