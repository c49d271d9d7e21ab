"""Methods to names."""

from __future__ import annotations

from signxai_core.errors import NameSyntaxError, PlanError
from signxai_core.grammar.numbers import number_to_text
from signxai_core.grammar.parse import parse
from signxai_core.registry import Registry
from signxai_core.specs import CONVENTIONS, KEEP, MISSING, MethodSpec, Sign
from signxai_core.specs.fill import thresholds


def unparse(spec: MethodSpec, registry: Registry) -> str:
    """Return the canonical name of a method: the grammar's, else the one under which a file declares it.

    The name is made from the words that the method came from and checked by parsing it: a method
    that was changed into something the grammar cannot say has no name.

    Raises
    ------
    PlanError
        When the method has no name in the grammar.
    """
    text = _text(spec)
    if text is not None and spec.convention in CONVENTIONS:
        try:
            if parse(text, registry, CONVENTIONS[spec.convention]) == spec:
                return text
        except NameSyntaxError:
            pass
    declared = next((name for name, known in registry.declared.items() if known == spec), None)
    if declared is not None:
        return declared
    raise PlanError(
        "this method has no name in the grammar: it was built or changed by hand, or a parameter was given "
        f"that a name does not hold (the closest name would be {text!r}). Use the MethodSpec itself."
    )


def _text(spec: MethodSpec) -> str | None:
    if spec.phrase is None:
        return None
    numbers = iter(spec.phrase.numbers)
    parts = [number_to_text(next(numbers)) if part.startswith("{") else part for part in spec.phrase.word.split("_")]
    if spec.prefix is not None:
        parts.insert(0, spec.prefix)
    if spec.modifier == KEEP:
        parts.append("x_input")
    if isinstance(spec.modifier, Sign):
        parts.append("x_sign")
        parts += ["mu"] if spec.modifier.mu is MISSING else []
    parts += [f"mu_{number_to_text(mu)}" for mu in dict.fromkeys(thresholds(spec)) if isinstance(mu, float)]
    parts += [spec.preset.name] if spec.preset is not None else []
    return "_".join(parts)


def describe(spec: MethodSpec, registry: Registry) -> str:
    """Return the canonical name, or a short description where there is none."""
    try:
        return unparse(spec, registry)
    except PlanError:
        base = _text(spec)
        return f"{base} (with parameters)" if base else f"{spec.family} method without a name"


__all__ = ["describe", "unparse"]
