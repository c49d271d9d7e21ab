"""Arrays of layers that multiply by tensors of several axes: ``EinsumDense`` and attention in several heads."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.errors import ModelError
from signxai_tf.porting_slots import Slot

FloatArray = npt.NDArray[Any]


def einsum_dense(layer: Any, module: Any) -> Iterator[Slot]:
    """Yield the arrays of an ``EinsumDense`` whose equation is a dense layer on the last axes."""
    inner, outer = _sizes(layer)
    shape = tuple(layer.kernel.shape)
    yield Slot(
        name="kernel",
        keras=layer.kernel,
        torch=module.weight,
        to_torch=lambda kernel: kernel.reshape(inner, outer).T,
        to_keras=lambda weight: weight.T.reshape(shape) if weight.size == math.prod(shape) else weight.T,
    )
    yield _bias(layer.bias, module.bias, outer)


def _sizes(layer: Any) -> tuple[int, int]:
    """Return the number of features that go in and come out."""
    terms, _, result = layer.equation.replace(" ", "").replace("...", "").partition("->")
    given, kernel = terms.split(",")
    summed = "".join(letter for letter in kernel if letter not in result)
    made = kernel[len(summed) :]
    if kernel != summed + made or not given.endswith(summed) or not result.endswith(made) or set(made) & set(given):
        raise ModelError(f"the equation {layer.equation!r} is no dense layer on the last axes")
    lengths = [int(length) for length in layer.kernel.shape]
    return math.prod(lengths[: len(summed)]), math.prod(lengths[len(summed) :])


def _bias(bias: Any, twin: Any, count: int) -> Slot:
    shape = None if bias is None else tuple(bias.shape)
    if shape is not None and math.prod(shape) != count:
        raise ModelError(f"the bias of shape {shape} is not one for each of {count} features")
    return Slot(
        name="bias",
        keras=bias,
        torch=twin,
        neutral=0.0,
        to_torch=np.ravel,
        to_keras=lambda array: array.reshape(shape) if array.size == count else array,
    )


def attention(layer: Any, module: Any) -> Iterator[Slot]:
    """Yield the arrays of attention in several heads; PyTorch may keep three weights in one array."""
    _same_attention(layer, module)
    sublayers = [layer.query_dense, layer.key_dense, layer.value_dense]
    size = module.embed_dim
    weights = [module.in_proj_weight] * 3
    if module.in_proj_weight is None:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    kernels = [one.kernel for one in sublayers]
    biases = [one.bias for one in sublayers]
    joined = module.in_proj_weight is not None
    for place, (name, kernel) in enumerate(zip(("query", "key", "value"), kernels, strict=True)):
        shape = tuple(kernel.shape)
        yield Slot(
            name=f"{name}'s kernel",
            keras=kernel,
            torch=weights[place],
            to_torch=functools.partial(_rows, kernels if joined else [kernel], size),
            to_keras=functools.partial(_kernel, shape, slice(place * size, (place + 1) * size) if joined else None),
        )
    for place, (name, bias) in enumerate(zip(("query", "key", "value"), biases, strict=True)):
        shape = () if bias is None else tuple(bias.shape)
        yield Slot(
            name=f"{name}'s bias",
            keras=bias,
            torch=module.in_proj_bias,
            neutral=0.0,
            to_torch=lambda _: np.concatenate([np.ravel(one.numpy()) for one in biases]),
            to_keras=functools.partial(_part, shape, slice(place * size, (place + 1) * size)),
        )
    yield from einsum_dense(layer.output_dense, module.out_proj)


def _kernel(shape: tuple[int, ...], rows: slice | None, weight: FloatArray) -> FloatArray:
    """Return some rows of a weight as Keras has them."""
    return np.transpose(weight if rows is None else weight[rows]).reshape(shape)


def _part(shape: tuple[int, ...], rows: slice, bias: FloatArray) -> FloatArray:
    return bias[rows].reshape(shape)


def _matrix(kernel: FloatArray, size: int) -> FloatArray:
    """Return a kernel (features, heads, width of a head) as PyTorch has it."""
    return np.transpose(kernel.reshape(-1, size))


def _rows(kernels: list[Any], size: int, _: FloatArray) -> FloatArray:
    """Return kernels as PyTorch has them, one below the other."""
    return np.concatenate([_matrix(kernel.numpy(), size) for kernel in kernels])


def _same_attention(layer: Any, module: Any) -> None:
    """Refuse attention that computes something else with the same weights."""
    facts = (
        ("numbers of heads", layer.num_heads, module.num_heads),
        ("widths", layer.num_heads * layer.key_dim, module.embed_dim),
        ("widths of values", layer.num_heads * layer.value_dim, module.embed_dim),
        ("keys of their own", False, module.bias_k is not None or module.add_zero_attn),
    )
    for name, ours, theirs in facts:
        if ours != theirs:
            raise ModelError(f"their {name} differ: {ours} in Keras, {theirs} in PyTorch")
