"""Attention as matrix products and a softmax."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Softmax of scaled and masked products of queries and keys, times the values."""
    if enable_gqa:
        key = _shared(key, query)
        value = _shared(value, query)
    bias = None if attn_mask is None else _added(attn_mask, query.dtype)
    if is_causal:
        causal = query.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        bias = _sum(bias, _added(causal, query.dtype))
    return _attended(query, key, value, bias, scale)[0]


def _shared(heads: Tensor, query: Tensor) -> Tensor:
    """Return keys or values repeated for the groups of queries that share them."""
    times = query.shape[-3] // heads.shape[-3]
    return heads if times == 1 else heads.repeat_interleave(times, -3)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask as what is added to the logits: 0 where it is true, −∞ elsewhere."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask.logical_not(), -math.inf)


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first + second


def _attended(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Return outputs and weights; a query that may look at no key gets zeros."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query * scale) @ key.transpose(-2, -1)
    blind = None
    if bias is not None:
        blind = torch.isneginf(bias).all(-1, keepdim=True)
        if not bool(blind.any()):
            blind = None
        else:
            bias = bias.masked_fill(blind, 0.0)
        logits = logits + bias
    weights = logits.softmax(-1)
    if blind is not None:
        weights = weights * blind.logical_not()
    return weights @ value, weights


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return outputs and weights of attention, as one group."""
    given = (query, key, value) if bias is None else (query, key, value, bias)
    if has_torch_function(given):
        result: tuple[Tensor, Tensor] = handle_torch_function(attention, given, query, key, value, bias)
        return result
    return _attended(query, key, value, bias, None)


def attention_group(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return what :func:`attention` does, operation by operation."""
    return _attended(query, key, value, bias, None)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,  # a hint: the mask is given with it
) -> Any:
    """Project, attend in several heads, and project back; sequence first, as PyTorch calls it."""
    if static_k is not None or static_v is not None or query.shape[-1] != embed_dim_to_check:
        return NotImplemented
    single = query.dim() == 2
    if single:
        query, key, value = _with_batch(query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    bias = _masks(attn_mask, key_padding_mask, query, num_heads)
    if bias_k is not None and bias_v is not None:
        k, v = (torch.cat([x, extra.expand(1, x.shape[1], -1)]) for x, extra in ((k, bias_k), (v, bias_v)))
        bias = _grown(bias)
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    if add_zero_attn:
        k, v = (functional.pad(x, (0, 0, 0, 1)) for x in (k, v))
        bias = _grown(bias)
    outputs, weights = attention(q, k, v, bias)
    joined = outputs.permute(2, 0, 1, 3).flatten(2)
    result = functional.linear(joined, out_proj_weight, out_proj_bias)
    shown = (weights.mean(1) if average_attn_weights else weights) if need_weights else None
    if single:
        return result.squeeze(1), None if shown is None else shown.squeeze(0)
    return result, shown


def _with_batch(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors with a batch of one behind the sequence; what was one tensor stays one."""
    made = {id(tensor): tensor.unsqueeze(1) for tensor in tensors}
    return tuple(made[id(tensor)] for tensor in tensors)


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None, separate: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values; in one product where they are made of one tensor."""
    if weight is not None and query is key and key is value and separate is None:
        q, k, v = functional.linear(query, weight, bias).chunk(3, -1)
        return q, k, v
    weights = separate if separate is not None else cast("Tensor", weight).chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    q, k, v = (functional.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
    return q, k, v


def _heads(x: Tensor, count: int) -> Tensor:
    """Return (sequence, batch, width) as (batch, heads, sequence, width of a head)."""
    return x.reshape(*x.shape[:2], count, -1).permute(1, 2, 0, 3)


def _masks(attn_mask: Tensor | None, padding: Tensor | None, query: Tensor, heads: int) -> Tensor | None:
    """Return both masks, in which true means left out, as what is added to (batch, heads, target, source)."""
    bias = None
    if attn_mask is not None:
        inverted = attn_mask.logical_not() if attn_mask.dtype == torch.bool else attn_mask
        bias = _added(inverted, query.dtype)
        if bias.dim() == 3:
            bias = bias.reshape(query.shape[1], heads, *bias.shape[1:])
    if padding is not None:
        inverted = padding.logical_not() if padding.dtype == torch.bool else padding
        bias = _sum(bias, _added(inverted, query.dtype)[:, None, None])
    return bias


def _grown(bias: Tensor | None) -> Tensor | None:
    """Return masks with one more key that every query may look at."""
    return None if bias is None else functional.pad(bias, (0, 1))
