"""Parameters of methods: which a method has, and how they are filled in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from signxai_core.errors import ParameterError
from signxai_core.grammar.parse import make
from signxai_core.registry import Registry
from signxai_core.specs import CONVENTIONS, MISSING, Composite, Control, Integrate, MethodSpec, Phrase, Smooth
from signxai_core.specs.fill import bounds, thresholds, with_bound, with_mu
from signxai_core.specs.values import to_value

_Setter = Callable[[MethodSpec, Any], MethodSpec]


@attrs.frozen
class Parameter:
    """A parameter that a method has, with its present value.

    ``set`` returns the method with another value; ``None`` for a number of the method's words,
    which are set together. ``stated``: the method's name says the value.
    """

    value: Any
    set: _Setter | None = None
    stated: bool = False


def parameters(spec: MethodSpec, registry: Registry) -> dict[str, Parameter]:
    """Return the parameters that a method has, by name."""
    found: dict[str, Parameter] = {}
    if thresholds(spec):
        mu = thresholds(spec)[0]
        found["mu"] = Parameter(mu, _set_mu, stated=mu is not MISSING)
    for side in ("low", "high"):
        if bounds(spec, side):
            bound = bounds(spec, side)[0]
            found[side] = Parameter(bound, functools.partial(_set_bound, side), stated=bound is not MISSING)
    if spec.phrase is not None and spec.phrase.word in registry.words:
        slots = registry.words[spec.phrase.word].entry.slots if _is_from_words(spec, registry) else ()
        for slot, value in zip(slots, spec.phrase.numbers, strict=bool(slots)):
            found[slot] = Parameter(value, stated=True)
    if spec.sampling is not None:
        for name in _SAMPLING[type(spec.sampling)]:
            found[name] = Parameter(getattr(spec.sampling, name), functools.partial(_set_field, "sampling", name))
    if spec.cam is not None:
        found["last_conv"] = Parameter(spec.cam.last_conv, functools.partial(_set_field, "cam", "last_conv"))
    return found


def _is_from_words(spec: MethodSpec, registry: Registry) -> bool:
    """Return whether the composite is still the one that the method's words made."""
    assert spec.phrase is not None, "asked only for methods with words"
    part = make(registry.words[spec.phrase.word], spec.phrase.numbers, CONVENTIONS[spec.convention])
    return bool(part == spec.composite) if isinstance(part, Composite) else True


_SAMPLING: Mapping[type, tuple[str, ...]] = {
    Smooth: ("samples", "noise", "random_state"),
    Integrate: ("steps", "baseline"),
    Control: ("random_state",),
}


def _value(value: Any) -> Any:
    result = to_value(value)
    if result is MISSING:
        raise ValueError("expected a number or an array")
    return result


def _set_mu(spec: MethodSpec, value: Any) -> MethodSpec:
    return with_mu(spec, _value(value))


def _set_bound(side: str, spec: MethodSpec, value: Any) -> MethodSpec:
    return with_bound(spec, side, _value(value))


def _set_field(part: str, name: str, spec: MethodSpec, value: Any) -> MethodSpec:
    return attrs.evolve(spec, **{part: attrs.evolve(getattr(spec, part), **{name: value})})


def _with_slots(spec: MethodSpec, given: Mapping[str, Any], registry: Registry) -> MethodSpec:
    """Rebuild the composite that the method's words made, with other numbers."""
    assert spec.phrase is not None, "only words have slots"
    owned = registry.words[spec.phrase.word]
    present = dict(zip(owned.entry.slots, spec.phrase.numbers, strict=True))
    numbers = tuple(_number(given[slot]) if slot in given else present[slot] for slot in owned.entry.slots)
    part = make(owned, numbers, CONVENTIONS[spec.convention])
    composite = part if isinstance(part, Composite) else part.composite
    return attrs.evolve(spec, composite=composite, phrase=Phrase(owned.entry.text, numbers))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def configure(spec: MethodSpec, given: Mapping[str, Any], registry: Registry, label: str) -> MethodSpec:
    """Return the method with parameters filled in.

    Parameters
    ----------
    spec
        The method.
    given
        Parameters by name.
    registry
        For the words that the method came from.
    label
        The method's name, for errors.

    Raises
    ------
    ParameterError
        For a parameter that the method does not have, a value it cannot take, or a missing one.
    """
    known = parameters(spec, registry)
    for name in given:
        if name not in known:
            listed = ", ".join(f"{key} = {p.value!r}" for key, p in known.items()) or "none"
            raise ParameterError(f"method {label!r} has no parameter {name!r}; parameters it has: {listed}")
    slots = {name: value for name, value in given.items() if known[name].set is None}
    try:
        spec = _with_slots(spec, slots, registry) if slots else spec
        for name, value in given.items():
            change = known[name].set
            spec = spec if change is None else change(spec, value)
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{name} = {value!r}" for name, value in given.items())
        raise ParameterError(f"method {label!r} cannot take {shown}: {error}") from error
    known = parameters(spec, registry) if given else known
    missing = [name for name, p in known.items() if p.value is MISSING]
    if missing:
        example = ", ".join(f"{name}=..." for name in missing)
        raise ParameterError(
            f"method {label!r} needs the parameter{'s' if len(missing) > 1 else ''} {', '.join(missing)}: "
            f"its name does not say the value. Give {example}"
        )
    return spec
