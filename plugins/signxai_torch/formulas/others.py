"""Gates, differences, distances and scattered sums, as the operations that they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from signxai_torch.formulas.norms import linalg_vector_norm

Live = Callable[[Tensor], bool]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """One half times the sigmoid of the other."""
    signal, gate = input.chunk(2, dim)
    return signal * gate.sigmoid()


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """Softmax of the negative."""
    if dim is None:
        return NotImplemented
    x = -input
    return functional.softmax(x if dtype is None else x.to(dtype), dim)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """Logarithm of the sum of two exponentials."""
    return torch.stack(list(broadcast_tensors(input, other))).logsumexp(0)


def broadcast_tensors(*tensors: Any) -> list[Tensor]:
    """Tensors expanded to their common shape."""
    given: Sequence[Tensor] = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in given))  # type: ignore[no-untyped-call]
    return [tensor.expand(shape) for tensor in given]


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Differences of neighbours along an axis."""
    parts = [part for part in (prepend, input, append) if part is not None]
    x = torch.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(min(n, x.shape[dim])):
        x = x.narrow(dim, 1, x.shape[dim] - 1) - x.narrow(dim, 0, x.shape[dim] - 1)
    return x


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """Norm of a difference."""
    return linalg_vector_norm(x1 - x2 + eps, p, -1, keepdim)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Any:
    """Norms of all differences of rows."""
    return linalg_vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1) if p else NotImplemented


def _lp_pool(pool: Callable[..., Tensor], axes: int) -> Callable[..., Tensor]:
    """Return the pooling that takes norms of windows."""

    def run(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
        """Norms of windows."""
        kernel = kernel_size if isinstance(kernel_size, (tuple, list)) else [kernel_size] * axes
        means = pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        return (means * math.prod(kernel)).pow(1 / norm_type)

    return run


lp_pool1d = _lp_pool(functional.avg_pool1d, 1)
lp_pool2d = _lp_pool(functional.avg_pool2d, 2)
lp_pool3d = _lp_pool(functional.avg_pool3d, 3)


def _is_empty(x: Tensor, live: Live) -> bool:
    """Return whether a tensor is a constant 0, to which something is added."""
    return not live(x) and not bool(x.any())


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, live: Live) -> Any:
    """A tensor plus numbers at places."""
    if _is_empty(input, live):
        return NotImplemented
    return input + torch.zeros_like(input).scatter_add(dim, index, src)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, live: Live) -> Any:
    """A tensor plus slices at places."""
    if _is_empty(input, live) and alpha == 1:
        return NotImplemented
    added = torch.zeros_like(input).index_add(dim, index, source if alpha == 1 else source * alpha)
    return added if _is_empty(input, live) else input + added


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, live: Live
) -> Any:
    """Sums, as :func:`scatter_add`; other reductions stay whole."""
    if reduce != "sum" or not (include_self or _is_empty(input, live)):
        return NotImplemented
    return input.scatter_add(dim, index, src)
