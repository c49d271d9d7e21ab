"""What a name stands for, as text: the spec, and per rule the formula and its reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

import signxai_core as sx
from signxai_core.cli.selection import canonical
from signxai_core.grammar import parameters
from signxai_core.registry import registry
from signxai_core.specs import MISSING, AnyRule, Bound, Cam, Composite, MethodSpec, Missing, Sign


def render(given: str, convention: str) -> RenderableType:
    """Return everything that a name stands for in a convention."""
    spec = sx.parse(given, convention=convention)
    name = canonical(given)
    facts = Table.grid(padding=(0, 2))
    for label, text in _facts(given, name, spec):
        facts.add_row(Text(label, style="bold"), Text(text, overflow="fold"))
    return Group(Text(name, style="bold cyan"), Padding(facts, (0, 2)), *_rules(spec))


def _facts(given: str, name: str, spec: MethodSpec) -> Iterator[tuple[str, str]]:
    if given != name:
        yield "given as", f"{given}, another spelling"
    yield "family", spec.family
    yield "convention", spec.convention
    yield "starts from", {"one": "1 at the explained output", "logit": "the explained logit"}[spec.seed]
    if spec.sampling is not None:
        yield "sampling", _fields(spec.sampling)
    if spec.cam is not None:
        yield "class map", _cam(spec.cam)
    if spec.modifier is not None:
        yield "finished map", f"times {spec.modifier.formula('x')} of the input x"
    if spec.preset is not None:
        yield "preset", _fields(spec.preset)
    for key, parameter in parameters(spec, registry()).items():
        value = "has to be given" if parameter.value is MISSING else repr(parameter.value)
        yield "parameter", f"{key}: {value}"
    for text, reference in _references(spec):
        yield f"word '{text}'", reference


def _fields(value: Any) -> str:
    shown = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    inner = ", ".join(f"{key}={item!r}" for key, item in shown.items() if item not in (None, ""))
    return f"{type(value).__name__}({inner})"


def _cam(cam: Cam) -> str:
    layer = "the last convolution with its activation" if cam.last_conv is None else f"the layer {cam.last_conv!r}"
    text = f"Σ_k w_k A_k clipped at 0, A the output of {layer}, w_k the mean gradient over A_k"
    return f"{text}; times the map below" if cam.guided else text


def _references(spec: MethodSpec) -> Iterator[tuple[str, str]]:
    words = registry().words
    for text in (spec.prefix, spec.phrase.word if spec.phrase is not None else None):
        if text is not None and text in words and words[text].entry.reference:
            yield text, words[text].entry.reference


def _rules(spec: MethodSpec) -> Iterator[RenderableType]:
    if spec.input_layer is not None:
        yield Text("\nfirst linear operation(s) reached from the input", style="bold")
        yield Padding(_rule(spec.input_layer), (0, 2))
    yield Text(
        "\nevery operation, the first line that fits" + (" (after those)" if spec.input_layer else ""), style="bold"
    )
    yield Padding(_composite(spec.composite), (0, 2))
    if not spec.composite.fold_normalisation:
        yield Text("  batch-normalisation is not folded into its neighbour")


def _composite(composite: Composite) -> RenderableType:
    parts: list[RenderableType] = []
    for entry in composite.entries:
        parts += [Text(str(entry.where), style="cyan"), Padding(_rule(entry.rule), (0, 0, 0, 2))]
    return Group(*parts)


def _rule(rule: AnyRule) -> RenderableType:
    formula = Text(rule.formula(), overflow="fold")
    found = _registered(rule)
    return Group(formula, Text(f"{found[0]} — {found[1]}", style="dim")) if found is not None else formula


def _registered(rule: AnyRule) -> tuple[str, str] | None:
    """Return name and reference of the registered rule that ``rule`` is, its numbers aside."""
    made = {name: owned.make(**owned.entry.example) for name, owned in registry().rules.items()}
    same = [name for name, example in made.items() if example == rule]
    alike = [name for name, example in made.items() if _form(example) == _form(rule)]
    for name in (*same, *alike):
        return name, registry().rules[name].entry.reference
    return None


def _form(value: Any) -> Any:
    """What is left of a rule when only the sign of each number counts."""
    if isinstance(value, Sign):
        return "sign"
    if isinstance(value, (Bound, Missing)):
        return getattr(value, "side", "missing")
    if isinstance(value, float):
        return (value > 0) - (value < 0)
    if isinstance(value, tuple):
        return tuple(_form(item) for item in value)
    if attrs.has(type(value)):
        compared = [field.name for field in attrs.fields(type(value)) if field.eq]
        return type(value).__name__, *(_form(getattr(value, name)) for name in compared)
    return value
