"""Functions that formulas are written with, where PyTorch has none: each is recorded as one operation.

Inside a recording they are handed to it under their own names, like PyTorch's functions; there and
outside they compute what their bodies say.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function


def sqrt(x: Tensor) -> Tensor:
    """Return the square root, with the derivative 0 at 0 that norms and deviations have there."""
    if has_torch_function((x,)):
        result: Tensor = handle_torch_function(sqrt, (x,), x)
        return result
    inside = torch.where(x > 0, x, torch.ones_like(x))
    return torch.where(x > 0, torch.sqrt(inside), x)


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return ``scale · x + shift`` with constants, as one scaling."""
    if has_torch_function((x, scale, shift)):
        result: Tensor = handle_torch_function(affine, (x, scale, shift), x, scale, shift)
        return result
    return x * scale + shift


def scaled(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """Return ``scale · x + shift`` with what there is of them, as at most one operation."""
    if scale is None:
        return x if shift is None else x + shift
    return x * scale if shift is None else affine(x, scale, shift)


def wide(x: Tensor) -> Tensor:
    """Return half types in float32, in which PyTorch computes norms of them."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def axes_of(dim: Any, rank: int) -> tuple[int, ...]:
    """Return axes counted from 0; none where all axes are meant."""
    axes = dim if isinstance(dim, (tuple, list)) else () if dim is None else (dim,)
    return tuple(axis % max(rank, 1) for axis in axes)
