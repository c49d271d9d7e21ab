"""Normalisations, norms and deviations as means, squares, roots and quotients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from signxai_torch.formulas.primitives import axes_of, scaled, sqrt, wide


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``(x − mean) / sqrt(var + eps)``, the mean and what the numbers were multiplied by."""
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    factor = torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps)
    return centred * factor, mean, factor


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    """Normalisation over the last axes."""
    found = native_layer_norm(input, normalized_shape, weight, bias, eps)
    return NotImplemented if found is NotImplemented else found[0]


def _last(x: Tensor, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return the last axes, if their lengths are those of ``shape``."""
    start = x.dim() - len(shape)
    return tuple(range(start, x.dim())) if start >= 0 and tuple(x.shape[start:]) == tuple(shape) else None


def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Any:
    """Normalisation over the last axes, with the mean and the inverse deviation."""
    axes = _last(input, normalized_shape)
    if axes is None:
        return NotImplemented
    y, mean, factor = _standardised(wide(input), axes, eps)
    return scaled(y, weight, bias).to(input.dtype), mean, factor


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    """Normalisation over the channels of a group and all places."""
    if input.shape[1] % num_groups:
        return NotImplemented
    groups = wide(input).reshape(input.shape[0], num_groups, -1)
    y, _, _ = _standardised(groups, (2,), eps)
    return _per_channel(y.reshape(input.shape), weight, bias).to(input.dtype)


def _per_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1, *[1] * (y.dim() - 2))
    weight, bias = (None if vector is None else vector.reshape(shape) for vector in (weight, bias))
    return scaled(y, weight, bias)


def instance_norm(*args: Any, **kwargs: Any) -> Tensor:
    """Normalisation over the places of each channel, or, with running statistics, by constants.

    ``torch.instance_norm`` takes nine arguments, and its parameters in another order.
    """
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    if len(args) + len(kwargs) > len(names):
        names = ("input", "weight", "bias", "running_mean", "running_var", "use_input_stats", "momentum", "eps")
    named = dict(zip(names, args, strict=False)) | kwargs
    x, weight, bias, eps = named["input"], named.get("weight"), named.get("bias"), named.get("eps", 1e-5)
    if not named.get("use_input_stats", True):
        mean, variance = named["running_mean"], named["running_var"]
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
    y, _, _ = _standardised(wide(x), tuple(range(2, x.dim())), eps)
    return _per_channel(y, weight, bias).to(x.dtype)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Any:
    """Division by the root of the mean square over the last axes."""
    x, axes = wide(input), _last(input, normalized_shape)
    if axes is None:
        return NotImplemented
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return scaled(x * torch.rsqrt(x.square().mean(axes, keepdim=True) + eps), weight, None).to(input.dtype)


def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: Any = 1,
    eps: float = 1e-12,
    out: None = None,
) -> Any:
    """Division by the norm along an axis."""
    size = _norm(input, p, axes_of(dim, input.dim()), keepdim=True)
    return NotImplemented if size is NotImplemented else input / size.clamp(min=eps)


def _norm(x: Tensor, order: Any, axes: tuple[int, ...], *, keepdim: bool) -> Any:
    """Return the norm of an order over axes."""
    if not axes or not isinstance(order, (int, float)) or order == 0:
        return NotImplemented
    if order == 2:
        return sqrt(x.square().sum(axes, keepdim=keepdim))
    if order == 1:
        return x.abs().sum(axes, keepdim=keepdim)
    if math.isinf(order):
        return x.abs().amax(axes, keepdim=keepdim) if order > 0 else x.abs().amin(axes, keepdim=keepdim)
    return x.abs().pow(order).sum(axes, keepdim=keepdim).pow(1 / order)


def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: None = None,
    dtype: Any = None,
) -> Any:
    """A vector norm over axes (``torch.norm``)."""
    x = input if dtype is None else input.to(dtype)
    return _norm(x, 2 if p in (None, "fro") else p, axes_of(dim, x.dim()), keepdim=keepdim)


def linalg_norm(
    input: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Any:
    """A vector norm over axes, or the Frobenius norm over two (``torch.linalg.norm``)."""
    axes = axes_of(dim, input.dim())
    if len(axes) > 1 and ord not in (None, "fro"):
        return NotImplemented
    return norm(input, ord, dim, keepdim, dtype=dtype)


def linalg_vector_norm(
    input: Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Any:
    """A vector norm over axes (``torch.linalg.vector_norm``)."""
    return norm(input, ord, dim, keepdim, dtype=dtype)


def _moments(
    x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> Any:
    """Return variance and mean over axes, the mean with these; as a rule the divisor is one less than the count."""
    axes = axes_of(None if isinstance(dim, bool) else dim, x.dim())
    if not axes:
        return NotImplemented
    less = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    mean = x.mean(axes, keepdim=True)
    variance = (x - mean).square().mean(axes, keepdim=keepdim)
    count = math.prod(x.shape[axis] for axis in axes)
    if less:
        variance = variance * (count / (count - less) if count > less else math.nan)
    return variance, mean


def var(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Variance over axes."""
    found = _moments(input, *args, **kwargs)
    return NotImplemented if found is NotImplemented else found[0]


def std(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return the standard deviation over axes."""
    found = _moments(input, *args, **kwargs)
    return NotImplemented if found is NotImplemented else sqrt(found[0])


def var_mean(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Variance and mean over axes."""
    found = _moments(input, *args, **kwargs)
    return NotImplemented if found is NotImplemented else (found[0], found[1].reshape(found[0].shape))


def std_mean(input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Standard deviation and mean over axes."""
    found = var_mean(input, *args, **kwargs)
    return NotImplemented if found is NotImplemented else (sqrt(found[0]), found[1])


def local_response_norm(
    input: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Tensor:
    """Division by a power of the mean square over neighbouring channels."""
    squares = input.square().flatten(2).unsqueeze(1)
    padded = functional.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = functional.avg_pool2d(padded, (size, 1), stride=1).squeeze(1).reshape(input.shape)
    scale, shift = (torch.full((), number, dtype=input.dtype, device=input.device) for number in (alpha, k))
    return input / scaled(means, scale, shift).pow(beta)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Sum of the products of two normalised tensors."""
    shape = torch.broadcast_shapes(x1.shape, x2.shape)  # type: ignore[no-untyped-call]
    first, second = (normalize(x if x.shape == shape else x.expand(shape), 2, dim, eps) for x in (x1, x2))
    product: Tensor = first * second
    return product.sum(dim)
