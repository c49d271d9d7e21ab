"""Checks of shapes before a layer runs: errors that name the layer instead of a kernel's message."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from signxai_core.errors import InputShapeError
from signxai_torch.calls import Invocation, Slot
from signxai_torch.vocabulary import bind


def check_shapes(name: str, recorded: Invocation, inputs: Sequence[Tensor], path: str) -> None:
    """Check the input of a convolution or dense layer against its weight.

    Raises
    ------
    InputShapeError
        Naming the layer, both shapes and what was expected.
    """
    if name not in _CHECKED:
        return
    named = bind(name, recorded.args, recorded.kwargs)
    slot, weight = named.get("input"), named.get("weight")
    if not isinstance(slot, Slot) or not isinstance(weight, Tensor):
        return
    shape = tuple(inputs[slot.index].shape)
    where = f"{path} ({name})" if path else name
    if name == "linear":
        if weight.dim() == 2 and (not shape or shape[-1] != weight.shape[1]):
            raise InputShapeError(
                f"{where} takes (batch, ..., {weight.shape[1]}) and got {shape}: its last axis must have "
                f"{weight.shape[1]} features; check the size and the axes of the model's input"
            )
        return
    channels = weight.shape[0] if "transpose" in name else weight.shape[1] * named.get("groups", 1)
    axes = "channels, " + ", ".join(("depth", "height", "width")[3 - (weight.dim() - 2) :])
    expected = f"(batch, {axes}) with {channels} channels"
    if len(shape) == weight.dim() - 1:
        raise InputShapeError(
            f"{where} takes {expected} and got {shape}: the batch axis is missing; "
            "give the model a batch, x[None] for one sample"
        )
    if len(shape) != weight.dim():
        raise InputShapeError(f"{where} takes {expected} and got {shape}: it needs {weight.dim()} axes")
    if shape[1] != channels:
        hint = "; its channels seem to be last: move that axis to place 1" if shape[-1] == channels else ""
        raise InputShapeError(f"{where} takes {expected} and got {shape} with {shape[1]} channels{hint}")


_CHECKED = frozenset({"linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3))})
