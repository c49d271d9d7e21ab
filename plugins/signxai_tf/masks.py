"""ReLUs that a model writes with a comparison: ``where(x > 0, x, 0)``, ``x * cast(x > 0)``."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from signxai_tf.traits import Net, Unit, constant
from signxai_tf.values import FREE, TRACKED, Step, Value

#: Comparisons, and whether they hold for numbers above the second argument.
_COMPARISONS = {"Greater": True, "GreaterEqual": True, "Less": False, "LessEqual": False}
#: Operations that leave the zeros of a constant zero.
_KEEP_ZERO = frozenset({"Cast", "Reshape", "BroadcastTo", "ExpandDims", "Identity"})


@attrs.frozen
class _Mask:
    """``x > 0`` (``positive``) or ``x < 0``, the border on either side, and the steps that make it, last one first."""

    x: Value
    positive: bool
    steps: tuple[Step, ...]


def is_zero(value: Value) -> bool:
    """Return whether a value is 0 everywhere, whatever the input."""
    step = value.step
    if value.state != FREE:
        return False
    if step is not None and (step.op == "ZerosLike" or (step.op in _KEEP_ZERO and is_zero(step.inputs[0]))):
        return True
    if step is not None and step.op == "Fill":
        return is_zero(step.inputs[1])
    numbers = constant(value)
    return numbers is not None and bool(np.all(np.asarray(numbers) == 0))


def find(net: Net, root: Step) -> Unit | None:
    """Return the ReLU that ends with a step, if it is one written with a mask."""
    for x, mask, other, where in _readings(root):
        found = _mask(mask) if x.state == TRACKED else None
        if found is None or found.x is not x or found.positive is not where or not (other is None or is_zero(other)):
            continue
        if tuple(root.outputs[0].array.shape) != tuple(x.array.shape):
            continue
        steps = sorted((*found.steps, root), key=lambda step: net.number[id(step)])
        return Unit(steps=tuple(steps), inputs=(x,), outputs=root.outputs[:1], kind="activation", function="relu")
    return None


def _readings(root: Step) -> Iterator[tuple[Value, Value, Value | None, bool]]:
    """Yield x, mask, what stands elsewhere, and whether the mask holds where x stays."""
    if root.op in ("Select", "SelectV2"):
        mask, chosen, other = root.inputs
        yield chosen, mask, other, True
        yield other, mask, chosen, False
    elif root.op == "Mul":
        first, second = root.inputs
        yield first, second, None, True
        yield second, first, None, True


def _mask(value: Value) -> _Mask | None:
    step = value.step
    if step is None:
        return None
    if step.op in ("Cast", "LogicalNot"):
        inner = _mask(step.inputs[0])
        negates = step.op == "LogicalNot"
        return None if inner is None else _Mask(inner.x, inner.positive is not negates, (step, *inner.steps))
    if step.op not in _COMPARISONS:
        return None
    for place, is_above in enumerate((_COMPARISONS[step.op], not _COMPARISONS[step.op])):
        if is_zero(step.inputs[1 - place]):
            x, copies = _source(step.inputs[place])
            return _Mask(x, is_above, (step, *copies))
    return None


def _source(value: Value) -> tuple[Value, tuple[Step, ...]]:
    """Return what a value is a copy of without derivative, and the step that copies it."""
    if value.step is not None and value.step.op == "StopGradient":
        return value.step.inputs[0], (value.step,)
    return value, ()
