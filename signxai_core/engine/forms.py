"""Functions that models write out: sigmoid, hard sigmoid and softmax, recognised by what they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from signxai_core.engine.backend import Operation
from signxai_core.engine.facts import Facts, is_index, place_of, see


def note_numbers(facts: Facts, operation: Operation) -> None:
    """Note ``factor · base + shift`` where both are single numbers that the backend knows."""
    factor, shift = operation.attributes.get("scale"), operation.attributes.get("shift")
    if operation.kind != "scaling" or factor is None or shift is None:
        return
    base, before, offset = facts.affine.get(operation.inputs[0], (operation.inputs[0], 1.0, 0.0))
    facts.affine[operation.outputs[0]] = (base, factor * before, factor * offset + shift)


def note_forms(facts: Facts, operation: Operation) -> None:
    """Recognise sigmoid, hard sigmoid and softmax where a model writes them out."""
    if operation.kind == "scaling":
        _scaled_tanh(facts, operation)
        _clipped(facts, operation)
    elif operation.function == "reciprocal":
        _reciprocal_of_exp(facts, operation)
    elif operation.function in _CLIPS:
        _clipped(facts, operation)
    elif operation.kind == "quotient":
        _exp_over_sum(facts, operation)


def _made_by(facts: Facts, tensor: int, name: str) -> Operation | None:
    """Return the operation that made a tensor, if it is of that function."""
    operation = facts.producer.get(tensor)
    return operation if operation is not None and operation.function == name else None


def _is_gate(facts: Facts, operation: Operation, name: str, tensor: int) -> None:
    """Note that an operation is the last one of a written-out gate."""
    see(facts, operation, "activation", name, tensor)
    facts.ancestors[operation.outputs[0]] = (operation.outputs[0], *facts.lineage(tensor))
    facts.gates[operation.outputs[0]] = place_of(facts.views[operation.index])


def _unscaled(facts: Facts, tensor: int) -> int:
    """Return what a tensor is a multiple of."""
    base, _, shift = facts.affine.get(tensor, (tensor, 1.0, 0.0))
    return tensor if shift else base


def _scaled_tanh(facts: Facts, operation: Operation) -> None:
    """``(1 + tanh(x / 2)) / 2`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (0, 0.0, 0.0))
    tanh = _made_by(facts, base, "tanh") if (factor, shift) == (0.5, 0.5) else None
    if tanh is not None:
        _is_gate(facts, operation, "sigmoid", _unscaled(facts, tanh.inputs[0]))


def _reciprocal_of_exp(facts: Facts, operation: Operation) -> None:
    """``1 / (1 + exp(−x))`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.inputs[0], (0, 0.0, 0.0))
    exp = _made_by(facts, base, "exp") if (factor, shift) == (1.0, 1.0) else None
    if exp is not None:
        _is_gate(facts, operation, "sigmoid", _unscaled(facts, exp.inputs[0]))


#: Functions that clip, and their bounds where these are not attributes.
_CLIPS: Final[Mapping[str, tuple[float, float] | None]] = {"clamp": None, "hardtanh": None, "relu6": (0.0, 6.0)}


def _clipped(facts: Facts, operation: Operation) -> None:
    """An affine function that is clipped, and scaled to [0, 1], is a hard sigmoid: ``relu6(x + 3) / 6``."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (operation.outputs[0], 1.0, 0.0))
    clip = facts.producer.get(base, operation if base == operation.outputs[0] else None)
    if clip is None or clip.function not in _CLIPS:
        return
    low, high = _CLIPS[clip.function] or (clip.attributes.get("low"), clip.attributes.get("high"))
    if low is None or high is None or not _is_unit(factor * low + shift, factor * high + shift):
        return
    inside = clip.inputs[0]
    _is_gate(facts, operation, "hardsigmoid", facts.affine.get(inside, (inside, 1.0, 0.0))[0])


def _is_unit(low: float, high: float) -> bool:
    """Return whether bounds are 0 and 1, to the rounding of constants in single precision."""
    return math.isclose(low, 0, abs_tol=1e-6) and math.isclose(high, 1, rel_tol=1e-6)


def _exp_over_sum(facts: Facts, operation: Operation) -> None:
    """``exp(x − m) / Σ exp(x − m)`` is a softmax of x."""
    top, bottom = operation.inputs
    exp = _made_by(facts, top, "exp")
    total = facts.producer.get(facts.through(bottom, is_index))
    if exp is None or total is None or total.function != "sum":
        return
    summed = _made_by(facts, total.inputs[0], "exp")
    if summed is None or summed.inputs != exp.inputs:
        return
    axes = total.attributes.get("axes", ())
    if len(axes) == 1:
        logits = _without_largest(facts, exp.inputs[0])
        see(facts, operation, "softmax", "softmax", logits, axis=axes[0])
        facts.gates[operation.outputs[0]] = place_of(facts.views[operation.index])


def _without_largest(facts: Facts, tensor: int) -> int:
    """Return x where a tensor is x minus its maximum, which softmax does not see."""
    operation = facts.producer.get(tensor)
    if operation is None or operation.kind != "sum" or operation.signs != (1, -1):
        return tensor
    largest = facts.producer.get(facts.through(operation.inputs[1], is_index))
    is_maximum = largest is not None and largest.kind == "max_pooling" and largest.inputs == operation.inputs[:1]
    return operation.inputs[0] if is_maximum else tensor
