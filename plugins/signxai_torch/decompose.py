"""Functions that are recorded as several operations: their formulas run under the recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from signxai_torch.calls import tensors_of
from signxai_torch.formulas import FORMULAS

if TYPE_CHECKING:
    from signxai_torch.record import Run


def decomposed(run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what the function in progress returns, recorded by its formula.

    ``NotImplemented`` where it has none, or none for these arguments, or nothing of it is recorded.
    """
    formula = FORMULAS.get(run.last)
    if formula is None or not torch.is_grad_enabled() or not any(map(run.ledger.is_live, tensors_of((args, kwargs)))):
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
