"""Functions that are recorded as several operations: their formulas run under the recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signxai_core.registry.entries import load
from signxai_core.specs import operations
from signxai_torch.calls import tensors_of
from signxai_torch.formulas import FORMULAS, Formula

if TYPE_CHECKING:
    from signxai_torch.record import Run

#: Arithmetic that may broadcast the tensor that depends on the input to the shape of a constant.
BROADCASTING = frozenset({"add", "sub", "rsub", "mul", "div", "rdiv"})


def decomposed(run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what the function in progress returns, recorded by its formula.

    ``NotImplemented`` where it has none, or none for these arguments, or nothing of it is recorded.
    """
    formula = FORMULAS.get(run.last) or _of_plugin(run.last)
    if formula is None or not torch.is_grad_enabled():
        return NotImplemented
    read = (args[1:] if formula.behind_first else args, kwargs)
    if not any(map(run.ledger.is_live, tensors_of(read))):
        return NotImplemented
    asked: dict[str, Any] = {"live": run.ledger.is_live} if formula.asks else {}
    last, group = run.last, run.group
    if formula.group and group is None:
        run.groups += 1
        run.group = (formula.group, run.groups)
    try:
        with run:
            return formula.function(*args, **kwargs, **asked)
    finally:
        run.last, run.group = last, group


def grown(run: Run, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return arithmetic of a tensor and a larger constant: the tensor is broadcast first.

    ``NotImplemented`` where nothing is to be broadcast. So arithmetic with constants leaves shapes alone.
    """
    tensors = [value for value in args if isinstance(value, Tensor)]
    live = [tensor for tensor in tensors if run.ledger.is_live(tensor)]
    if len(tensors) != 2 or len(live) != 1 or tensors[0].shape == tensors[1].shape:
        return NotImplemented
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]
    if live[0].shape == shape:
        return NotImplemented
    with run:
        larger = live[0].expand(shape)
        return func(*(larger if value is live[0] else value for value in args), **kwargs)


def _of_plugin(name: str) -> Formula | None:
    """Return the formula that a plugin gives for a function, if one does."""
    reading = operations.reading("torch", name)
    if reading is None or not reading.formula:
        return None
    return Formula(load(reading.formula, "a reading of torch"), reading.neutral or name)
