"""What an executed function is to the engine: its kind, parameters and linear form."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from signxai_torch import weights
from signxai_torch.calls import Invocation, Slot, tensors_of
from signxai_torch.masks import is_zero
from signxai_torch.traits import Node, Traits, product
from signxai_torch.vocabulary import KIND, NEUTRAL

#: The rectified linear unit, however it is written.
RECTIFIER = Traits(kind="activation", function="relu")


def classify(node: Node, *, tainted: bool) -> Traits:
    """Return what the engine may do with a function; ``tainted`` if another argument varies with x."""
    function = NEUTRAL.get(node.name, node.name)
    if tainted:
        note = "another argument depends on the input in a way that has no derivative"
        return Traits(kind="other", function=function, note=note)
    traits = None
    handler = _HANDLERS.get(node.name)
    if handler is not None:
        traits = handler(node)
    elif node.name in KIND and _first_only(node):
        traits = Traits(kind=KIND[node.name])
    if traits is None:
        traits = Traits(kind="other", note=f"{function} with these arguments is no kind that has rules")
    traits.function = traits.function or function
    return traits


def _is_constant(value: Any) -> bool:
    return isinstance(value, (numbers.Real, Tensor))


def _first_only(node: Node) -> bool:
    """Whether the only argument that depends on the input is the first, or was given by name."""
    return len(node.inputs) == 1 and (not node.recorded.args or isinstance(node.recorded.args[0], Slot))


# --- arithmetic ------------------------------------------------------------------------------------


def _scaling(node: Node, scale: Any, shift: Any) -> Traits | None:
    """``scale · x + shift`` with constants, where the output keeps the input's shape."""
    x, y = node.inputs[0], node.outputs[0]
    if x.shape != y.shape:
        return None
    arrays = (
        value.to(y.device, y.dtype)
        if isinstance(value, Tensor)
        else torch.tensor(float(value), dtype=y.dtype, device=y.device)
        for value in (scale, shift)
    )
    return Traits(kind="scaling", parameters=dict(zip(("scale", "shift"), arrays, strict=True)))


def _add(node: Node) -> Traits | None:
    named = node.bound()
    left, right, alpha = named["input"], named["other"], named.get("alpha", 1)
    if node.name == "rsub":
        left, right = right, left
    factor = alpha if node.name == "add" else -alpha
    if node.name == "rsub" and alpha != 1:
        return None
    if len(node.inputs) == 2:
        sign = 1 if factor > 0 else -1
        return Traits(kind="sum", function="add" if factor == 1 else "sub", signs=(1, sign))
    if isinstance(left, Slot) and _is_constant(right):
        return _scaling(node, 1, right * factor)
    if isinstance(right, Slot) and _is_constant(left):
        return _scaling(node, factor, left)
    return None


def _mul(node: Node) -> Traits | None:
    if len(node.inputs) == 2:
        return product(node)
    named = node.bound()
    constant = named["other"] if isinstance(named["input"], Slot) else named["input"]
    return _scaling(node, constant, 0) if _is_constant(constant) else None


def _div(node: Node) -> Traits | None:
    named = node.bound()
    if named.get("rounding_mode") is not None:
        return None
    if len(node.inputs) == 2:
        return product(node)
    divisor = named["other"]
    if (
        not isinstance(named["input"], Slot)
        or not _is_constant(divisor)
        or (not isinstance(divisor, Tensor) and divisor == 0)
    ):
        return None
    return _scaling(node, 1 / divisor, 0)


def _neg(node: Node) -> Traits | None:
    return _scaling(node, -1, 0)


# --- reductions and routing ------------------------------------------------------------------------


def _keeps_batch(node: Node) -> bool:
    """Whether a reduction names its axes and leaves the first one alone."""
    dim = node.bound().get("dim")
    axes = [axis for axis in (dim if isinstance(dim, (tuple, list)) else [dim]) if isinstance(axis, int)]
    if not axes:
        return False
    return _first_only(node) and all(axis % max(node.inputs[0].dim(), 1) != 0 for axis in axes)


def _average(node: Node) -> Traits | None:
    return Traits(kind="average_pooling") if _keeps_batch(node) else None


def _maximum(node: Node) -> Traits | None:
    return Traits(kind="max_pooling") if _keeps_batch(node) else None


def _interpolation(node: Node) -> Traits | None:
    mode = node.bound().get("mode", "nearest")
    if mode in ("nearest", "nearest-exact"):
        return Traits(kind="shape")
    return Traits(kind="interpolation") if mode in ("linear", "bilinear", "trilinear", "area") else None


def _pad(node: Node) -> Traits | None:
    named = node.bound()
    constant = named.get("mode", "constant") == "constant"
    zero = constant and not named.get("value")
    grows = all(amount >= 0 for amount in named["pad"])
    options = {k: v for k, v in named.items() if k not in ("input", "pad", "value")}
    linear = Invocation(node.recorded.function, (Slot(0), named["pad"]), options)
    return Traits(kind="shape", padding=zero and grows, constants=constant and not zero, linear=linear)


def _join(node: Node) -> Traits | None:
    """Concatenation; constants among its parts are its bias."""
    recorded = node.recorded
    if not any(tensors_of(value) for value in (*recorded.args, *recorded.kwargs.values())):
        return Traits(kind="shape")
    kwargs = {key: _zeroed(value) for key, value in recorded.kwargs.items()}
    return Traits(kind="shape", constants=True, linear=Invocation(recorded.function, _zeroed(recorded.args), kwargs))


def _zeroed(value: Any) -> Any:
    """Return arguments with zeros for the constant tensors."""
    if isinstance(value, Tensor):
        return torch.zeros_like(value)
    return type(value)(_zeroed(item) for item in value) if isinstance(value, (list, tuple)) else value


def _setitem(node: Node) -> Traits | None:
    """Assignment to constant places: every number comes from the one tensor or the other."""
    target, index, value = node.recorded.args
    if _has_slot(index):
        return None
    value = value if isinstance(value, Slot) else 0.0
    linear = Invocation(node.recorded.function, (_zeroed(target), index, value))
    return Traits(kind="shape", constants=True, linear=linear)


def _has_slot(value: Any) -> bool:
    return isinstance(value, Slot) or (isinstance(value, (list, tuple)) and any(map(_has_slot, value)))


def _clamp(node: Node) -> Traits | None:
    named = node.bound()
    low = named.get("min", named.get("min_val", -1.0 if node.name == "hardtanh" else None))
    high = named.get("max", named.get("max_val", 1.0 if node.name == "hardtanh" else None))
    if len(node.inputs) != 1 or not isinstance(named.get("input"), Slot):
        return None
    function = node.name
    if low is not None and is_zero(low) and node.keeps_shape:
        unbounded = high is None or (isinstance(high, numbers.Real) and high == math.inf)
        function = "relu" if unbounded else "relu6" if isinstance(high, numbers.Real) and high == 6 else function
    return Traits(kind="activation", function=function)


def _bound(node: Node) -> Traits | None:
    """``max(x, c)`` or ``min(x, c)`` with a constant."""
    named = node.bound()
    operands = named.get("input"), named.get("other", named.get("dim"))
    constants = [value for value in operands if isinstance(value, Tensor)]
    if len(constants) != 1 or not node.keeps_shape:
        return None
    return RECTIFIER if "max" in node.name and is_zero(constants[0]) else Traits(kind="activation", function="clamp")


def _largest(node: Node) -> Traits | None:
    named = node.bound()
    of_two = isinstance(named.get("other", named.get("dim")), (Slot, Tensor))
    return _bound(node) if of_two else _maximum(node)


def _below(node: Node) -> Traits | None:
    """An activation whose second argument is what it does below 0: nothing, then it is a ReLU."""
    below = list(node.bound().values())[1:2]
    if not _first_only(node):
        return None
    is_relu = bool(below) and _is_constant(below[0]) and is_zero(below[0])
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
    **dict.fromkeys(("add", "sub", "rsub"), _add),
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    **dict.fromkeys(("mean", "sum"), _average),
    "max": _largest,
    "amax": _maximum,
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "min"), _bound),
    **dict.fromkeys(("leaky_relu", "prelu", "elu"), _below),
    "interpolate": _interpolation,
    "pad": _pad,
    **dict.fromkeys(("cat", "stack", "hstack", "vstack", "dstack", "column_stack"), _join),
    **dict.fromkeys(("clamp", "hardtanh", "clamp_min", "clamp_max"), _clamp),
    "threshold": _threshold,
    "setitem": _setitem,
    "overwrite": lambda _: Traits(kind="shape", constants=True),
}
