"""Functions that are recorded as several operations: their formulas run under the recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signxai_core.registry.entries import load
from signxai_core.specs import operations
from signxai_torch.formulas import FORMULAS, Formula

if TYPE_CHECKING:
    from signxai_torch.record import Run

#: Arithmetic that may broadcast the tensor that depends on the input to the shape of a constant.
_BROADCASTING = frozenset({"add", "sub", "rsub", "mul", "div", "rdiv"})
#: Functions that may be recorded in parts, without those of plugins.
_KNOWN = FORMULAS.keys() | _BROADCASTING


def has_parts(name: str) -> bool:
    """Return whether a function may be recorded as several operations."""
    return name in _KNOWN or _of_plugin(name) is not None


def decomposed(run: Run, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], count: int) -> Any:
    """Return what the function in progress returns, recorded in parts.

    ``NotImplemented`` where it has none. ``count`` of its arguments depend on the input, at least one.
    """
    if run.last in _BROADCASTING:
        return _grown(run, func, args, kwargs) if count == 1 else NotImplemented
    formula = FORMULAS.get(run.last) or _of_plugin(run.last)
    is_first = count == 1 and bool(args) and isinstance(args[0], Tensor) and run.ledger.is_live(args[0])
    if formula is None or (formula.behind_first and is_first):
        return NotImplemented
    return _in_parts(run, formula, args, kwargs)


def _in_parts(run: Run, formula: Formula, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a formula under the recording."""
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


def _grown(run: Run, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return arithmetic of a tensor and a larger constant: the tensor is broadcast first.

    So arithmetic with constants leaves shapes alone.
    """
    tensors = [value for value in args if isinstance(value, Tensor)]
    if len(tensors) != 2 or tensors[0].shape == tensors[1].shape:
        return NotImplemented
    live, constant = tensors if run.ledger.is_live(tensors[0]) else reversed(tensors)
    here, there = live.shape[::-1], constant.shape[::-1]
    if len(there) <= len(here) and all(n in (1, m) for m, n in zip(here, there, strict=False)):
        return NotImplemented
    shape = torch.broadcast_shapes(live.shape, constant.shape)  # type: ignore[no-untyped-call]
    with run:
        larger = live.expand(shape)
        return func(*(larger if value is live else value for value in args), **kwargs)


def _of_plugin(name: str) -> Formula | None:
    """Return the formula that a plugin gives for a function, if one does."""
    reading = operations.reading("torch", name)
    if reading is None or not reading.formula:
        return None
    return Formula(load(reading.formula, "a reading of torch"), reading.neutral or name)
