"""What an executed function is to the engine: its kind, parameters and linear form."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable

from signxai_core.specs import operations
from signxai_torch import arithmetic, reductions, routing, weights
from signxai_torch.arithmetic import is_constant
from signxai_torch.calls import Slot
from signxai_torch.masks import is_zero
from signxai_torch.traits import RECTIFIER, Node, Traits
from signxai_torch.vocabulary import KIND, NEUTRAL


def classify(node: Node) -> Traits:
    """Return what the engine may do with a function."""
    function = NEUTRAL.get(node.name, node.name)
    if node.taint == "hidden":
        note = "another argument depends on the input in a way that has no derivative"
        return Traits(kind="other", function=function, note=note)
    if node.outputs[0].is_complex() or node.inputs[0].is_complex():
        return Traits(kind="other", function=function, note="its numbers are complex")
    traits = None
    handler = _HANDLERS.get(node.name)
    if handler is not None:
        traits = handler(node)
    elif node.first_only():
        kind = KIND.get(node.name) or operations.function(function).kind
        traits = Traits(kind=kind) if kind else None
    if traits is None:
        traits = Traits(kind="other", note=f"{function} with these arguments is no kind that has rules")
    traits.function = traits.function or function
    return as_read(traits)


def as_read(traits: Traits) -> Traits:
    """Return what a plugin says of a function that is on no list, if one does."""
    reading = operations.reading("torch", traits.function) if traits.kind == "other" else None
    if reading is not None and not reading.formula:
        traits.kind, traits.function, traits.note = reading.kind, reading.neutral or traits.function, ""
    return traits


def _clamp(node: Node) -> Traits | None:
    named = node.bound()
    low = named.get("min", named.get("min_val", -1.0 if node.name == "hardtanh" else None))
    high = named.get("max", named.get("max_val", 1.0 if node.name == "hardtanh" else None))
    if len(node.inputs) != 1 or not isinstance(named.get("input"), Slot):
        return None
    if not node.keeps_shape:
        return None
    high = None if isinstance(high, numbers.Real) and high == math.inf else high
    is_rectified = low is not None and is_zero(low)
    if is_rectified and high is None:
        return RECTIFIER
    if is_rectified and isinstance(high, numbers.Real) and high == 6:
        return Traits(kind="activation", function="relu6")
    bounds = {"low": low, "high": high}
    attributes = {name: float(bound) for name, bound in bounds.items() if isinstance(bound, numbers.Real)}
    function = "hardtanh" if node.name == "hardtanh" else "clamp"
    return Traits(kind="activation", function=function, attributes=attributes)


def _below(node: Node) -> Traits | None:
    """An activation whose second argument is what it does below 0: nothing, then it is a ReLU."""
    below = list(node.bound().values())[1:2]
    if not node.first_only():
        return None
    is_relu = bool(below) and is_constant(below[0]) and is_zero(below[0])
    return RECTIFIER if is_relu and node.keeps_shape else Traits(kind="activation")


def _threshold(node: Node) -> Traits | None:
    named = node.bound()
    plain = named.get("threshold") == 0 and named.get("value") == 0
    return Traits(kind="activation", function="relu" if plain else "threshold")


_HANDLERS: dict[str, Callable[[Node], Traits | None]] = {
    "linear": weights.dense_linear,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), weights.dense_matmul),
    "addmm": weights.dense_addmm,
    "einsum": weights.dense_einsum,
    **{f"conv{t}{n}d": weights.convolution for t in ("", "_transpose") for n in (1, 2, 3)},
    "batch_norm": weights.normalisation,
    **dict.fromkeys(("leaky_relu", "prelu", "elu"), _below),
    **dict.fromkeys(("clamp", "hardtanh", "clamp_min", "clamp_max"), _clamp),
    "threshold": _threshold,
    **arithmetic.HANDLERS,
    **reductions.HANDLERS,
    **routing.HANDLERS,
}
