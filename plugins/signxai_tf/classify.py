"""What the steps of a run are to the engine: operations with kinds, parameters and linear forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from signxai_core.specs import operations
from signxai_tf import affine, arithmetic, batch_axis, chains, choices, logsumexp, masks, normal, patterns, sums
from signxai_tf.traits import Net, Unit, is_mask, tracked_outputs
from signxai_tf.values import FREE, TAINTED, TRACKED, Step, Value
from signxai_tf.vocabulary import KIND, NEUTRAL


def units(net: Net) -> list[Unit]:
    """Return the operations of a run, in the order of execution."""
    batch_axis.note(net.steps)
    claimed: set[int] = set()
    ends: dict[int, Unit] = {}

    def claim(unit: Unit | None) -> None:
        if unit is not None:
            claimed.update(id(step) for step in unit.steps)
            ends[id(unit.steps[-1])] = unit

    for step in net.steps:
        claim(normal.find(net, step, claimed) or affine.find(net, step, claimed) or logsumexp.find(net, step, claimed))
    for step in reversed(net.steps):
        if id(step) not in claimed:
            claim(masks.find(net, step) or patterns.find(net, step, claimed) or _clip(net, step, claimed))
    for step in net.steps:
        start = chains.core(step) if id(step) not in claimed else None
        claim(None if start is None else chains.grow(net, start, claimed))
    for step in net.steps:
        if id(step) not in claimed and tracked_outputs(step):
            ends[id(step)] = _single(step)
    return [ends[id(step)] for step in net.steps if id(step) in ends]


def _clip(net: Net, step: Step, claimed: set[int]) -> Unit | None:
    """Return two bounds in a row as one activation."""
    inner = step.arguments[0].step if step.op in ("Maximum", "Minimum") else None
    if inner is None or inner.op not in ("Maximum", "Minimum") or inner.op == step.op or id(inner) in claimed:
        return None
    if net.sole(inner.outputs[0]) is not step or step.arguments[1].state != FREE or inner.arguments[1].state != FREE:
        return None
    low, high = (s.arguments[1] for s in (step, inner)[:: 1 if step.op == "Maximum" else -1])
    return Unit(
        steps=(inner, step),
        inputs=(inner.arguments[0],),
        outputs=step.outputs,
        kind="activation",
        **choices.clamped(low, high),
    )


def _single(step: Step) -> Unit:
    """Return one step as an operation."""
    inputs: list[Value] = []

    def distinct(argument: Any) -> Any:
        """Give every tracked argument a value of its own: ``x + x`` has two inputs."""
        if isinstance(argument, tuple):
            return tuple(distinct(item) for item in argument)
        if argument.state != TRACKED:
            return argument
        inputs.append(attrs.evolve(argument))
        return inputs[-1]

    originals = tuple(step.tracked)
    own = attrs.evolve(step, arguments=tuple(distinct(argument) for argument in step.arguments))
    function = NEUTRAL.get(step.op, KIND.get(step.op, ("other", step.op.lower()))[1])
    unit = Unit(steps=(own,), inputs=tuple(inputs), outputs=tracked_outputs(step), kind="other", function=function)
    if not all(value.state != TAINTED or is_mask(value) for value in step.inputs):
        note = "another argument depends on the input in a way that has no derivative"
        return _restored(attrs.evolve(unit, note=note), step, originals)
    handler = _HANDLERS.get(step.op, choices.plain)
    note = f"{function} with these arguments is no kind that has rules"
    found = handler(unit, own) or attrs.evolve(unit, note=note)
    reading = operations.reading("tensorflow", step.op)
    if reading is not None and not reading.formula:
        found = attrs.evolve(found, kind=reading.kind, function=reading.neutral or found.function, note="")
    return _restored(found, step, originals)


@attrs.frozen(eq=False, kw_only=True)
class Single(Unit):
    """One step, with the values that the run knows in place of its own."""

    shown: tuple[Value, ...]


def _restored(unit: Unit, step: Step, originals: tuple[Value, ...]) -> Unit:
    """Name the values of the run as the inputs; the programs have been made from distinct ones."""
    fields = {field.name: getattr(unit, field.name) for field in attrs.fields(Unit)}
    return Single(**fields, shown=originals)


_HANDLERS: dict[str, Callable[[Unit, Step], Unit | None]] = {
    **arithmetic.HANDLERS,
    **choices.HANDLERS,
    **sums.HANDLERS,
}
