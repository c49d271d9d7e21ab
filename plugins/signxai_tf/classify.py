"""What the steps of a run are to the engine: operations with kinds, parameters and linear forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_tf import chains, masks, normal, patterns
from signxai_tf.calls import compose
from signxai_tf.convolutions import channel_axis
from signxai_tf.traits import Net, Unit, constant, is_tainted, tracked_outputs
from signxai_tf.values import FREE, TRACKED, Step, Value
from signxai_tf.vocabulary import KIND, MATMULS, NEUTRAL


def units(net: Net) -> list[Unit]:
    """Return the operations of a run, in the order of execution."""
    claimed: set[int] = set()
    ends: dict[int, Unit] = {}

    def claim(unit: Unit | None) -> None:
        if unit is not None:
            claimed.update(id(step) for step in unit.steps)
            ends[id(unit.steps[-1])] = unit

    for step in net.steps:
        claim(normal.find(net, step, claimed))
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
    function = "clamp"
    if masks.is_zero(low):
        function = "relu" if _is_number(high, math.inf) else "relu6" if _is_number(high, 6) else function
    return Unit(
        steps=(inner, step), inputs=(inner.arguments[0],), outputs=step.outputs, kind="activation", function=function
    )


def _is_number(value: Value, number: float) -> bool:
    found = constant(value)
    return found is not None and bool(np.all(np.asarray(found) == number))


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
    if is_tainted(step):
        note = "another argument depends on the input in a way that has no derivative"
        return _restored(attrs.evolve(unit, note=note), step, originals)
    handler = _HANDLERS.get(step.op, _plain)
    note = f"{function} with these arguments is no kind that has rules"
    found = handler(unit, own) or attrs.evolve(unit, note=note)
    return _restored(found, step, originals)


@attrs.frozen(eq=False, kw_only=True)
class Single(Unit):
    """One step, with the values that the run knows in place of its own."""

    shown: tuple[Value, ...]


def _restored(unit: Unit, step: Step, originals: tuple[Value, ...]) -> Unit:
    """Name the values of the run as the inputs; the programs have been made from distinct ones."""
    fields = {field.name: getattr(unit, field.name) for field in attrs.fields(Unit)}
    return Single(**fields, shown=originals)


def _plain(unit: Unit, step: Step) -> Unit | None:
    if step.op not in KIND or (
        any(value.state == TRACKED for value in step.inputs[1:]) and KIND[step.op][0] != "shape"
    ):
        return None
    kind = KIND[step.op][0]
    constants = [v for v in step.inputs if v.state == FREE and v.array.dtype.is_floating]
    if kind == "shape" and constants:
        linear = compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like)
        return attrs.evolve(unit, kind=kind, constants=True, linear=linear)
    return attrs.evolve(unit, kind=kind)


# --- arithmetic ------------------------------------------------------------------------------------


def _scaling(unit: Unit, scale: Any, shift: Any) -> Unit | None:
    """``scale · x + shift`` with constants, where the output keeps the input's shape."""
    x, y = unit.inputs[0].array, unit.outputs[0].array
    if tuple(x.shape) != tuple(y.shape):
        return None
    parameters = {"scale": tf.cast(scale, y.dtype), "shift": tf.cast(shift, y.dtype)}
    return attrs.evolve(unit, kind="scaling", parameters=parameters)


def _named(unit: Unit, name: str) -> Unit:
    return attrs.evolve(unit, function=name)


def _add(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "add")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="sum", signs=(1, 1))
    other = next(value for value in step.inputs if value.state == FREE)
    if step.op == "BiasAdd":
        rank = len(unit.outputs[0].array.shape)
        axis = channel_axis(step.attributes, rank)
        shape = [-1 if place == axis else 1 for place in range(rank)]
        return _scaling(unit, 1, tf.reshape(other.array, shape)) if step.arguments[1] is other else None
    return _scaling(unit, 1, other.array)


def _sub(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "sub")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="sum", signs=(1, -1))
    left, right = step.arguments
    return _scaling(unit, 1, -right.array) if right.state == FREE else _scaling(unit, -1, left.array)


def _add_all(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "add")
    linear = None
    if len(unit.inputs) != len(step.inputs):
        linear = compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like)
    return attrs.evolve(unit, kind="sum", signs=(1,) * len(unit.inputs), linear=linear)


def _mul(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "mul")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="product")
    return _scaling(unit, next(value for value in step.inputs if value.state == FREE).array, 0)


def _div(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "div")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="product")
    divisor = step.arguments[1]
    return _scaling(unit, 1 / divisor.array, 0) if divisor.state == FREE else None


def _neg(unit: Unit, step: Step) -> Unit | None:
    return _scaling(_named(unit, "neg"), -1, 0)


def _product(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "matmul" if step.op in MATMULS else step.op.lower())
    return attrs.evolve(unit, kind="product") if len(unit.inputs) == 2 else None


# --- reductions and bounds -------------------------------------------------------------------------


def _keeps_batch(step: Step) -> bool:
    """Whether a reduction leaves the first axis alone."""
    axes, rank = constant(step.arguments[1]), len(step.arguments[0].array.shape)
    return axes is not None and all(int(axis) % max(rank, 1) != 0 for axis in np.ravel(axes))


def _average(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, step.op.lower())
    return attrs.evolve(unit, kind="average_pooling") if _keeps_batch(step) else None


def _maximum(unit: Unit, step: Step) -> Unit | None:
    unit = _named(unit, "amax")
    return attrs.evolve(unit, kind="max_pooling") if _keeps_batch(step) else None


def _bound(unit: Unit, step: Step) -> Unit | None:
    """``max(x, c)`` or ``min(x, c)``."""
    if len(unit.inputs) != 1:
        return _named(unit, step.op.lower())
    other = next(value for value in step.inputs if value.state == FREE)
    relu = step.op == "Maximum" and masks.is_zero(other) and unit.inputs[0].array.shape == unit.outputs[0].array.shape
    return attrs.evolve(unit, kind="activation", function="relu" if relu else "clamp")


def _leaky(unit: Unit, step: Step) -> Unit | None:
    slope = step.attributes.get("alpha", 0.2)
    return attrs.evolve(unit, kind="activation", function="leaky_relu" if slope else "relu")


def _pad(unit: Unit, step: Step) -> Unit | None:
    zero = step.op == "Pad" or _is_number(step.arguments[2], 0)
    found = _plain(unit, step)
    return None if found is None else attrs.evolve(found, padding=zero)


_HANDLERS: dict[str, Callable[[Unit, Step], Unit | None]] = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), _add),
    "Sub": _sub,
    **dict.fromkeys(("AddN", "AccumulateNV2"), _add_all),
    "Mul": _mul,
    **dict.fromkeys(("RealDiv", "Div"), _div),
    "Neg": _neg,
    **dict.fromkeys((*MATMULS, "Einsum"), _product),
    **dict.fromkeys(("Mean", "Sum"), _average),
    "Max": _maximum,
    **dict.fromkeys(("Maximum", "Minimum"), _bound),
    **dict.fromkeys(("Pad", "PadV2"), _pad),
    "LeakyRelu": _leaky,
}
