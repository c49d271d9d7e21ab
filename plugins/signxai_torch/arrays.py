"""Between NumPy and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from signxai_core.errors import InputShapeError, InputTypeError
from signxai_torch.shadow import unwrap

_NUMPY: dict[torch.dtype, type[np.floating[Any]]] = {
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
}


def _state(model: Any) -> Iterator[Tensor]:
    model = unwrap(model)
    return chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else iter(())


def floating_type(model: Any) -> torch.dtype | None:
    """Return the type of the model's first floating-point parameter or buffer, if it has one."""
    return next((tensor.dtype for tensor in _state(model) if tensor.is_floating_point()), None)


def prepare(x: Any, dtype: torch.dtype | None) -> npt.NDArray[Any]:
    """Return ``x`` as an array of ``dtype`` where NumPy has it, float32 where not.

    Raises
    ------
    InputTypeError
        If ``x`` does not hold floating-point numbers.
    InputShapeError
        If it has no axis.
    """
    try:
        array = to_numpy(x) if isinstance(x, Tensor) else np.asarray(x)
    except ValueError as error:
        raise InputTypeError(f"the input is no array: {error}; give a NumPy array or a tensor") from error
    if array.dtype.kind != "f":
        advice = "take its real part" if array.dtype.kind == "c" else "convert it with x.astype('float32')"
        raise InputTypeError(f"the input has type {array.dtype}, and relevance needs floating-point numbers: {advice}")
    if array.ndim == 0:
        raise InputShapeError("the input is a single number: it needs a batch axis, shape (batch, ...)")
    if dtype is None:
        return array if array.dtype.itemsize <= 8 else array.astype(np.float64)
    return array.astype(_NUMPY.get(dtype, np.float32), copy=False)


def to_numpy(array: Tensor) -> npt.NDArray[Any]:
    """Return a tensor's numbers; types that NumPy lacks become float32."""
    array = array.detach().cpu()
    if array.is_floating_point() and array.dtype not in _NUMPY:
        array = array.float()
    result: npt.NDArray[Any] = array.resolve_conj().resolve_neg().numpy()
    return result


def asarray(array: npt.NDArray[Any], like: Tensor) -> Tensor:
    """Return a tensor of ``like``'s type and device, sharing no memory with the array."""
    native = np.array(array, order="C")
    native = native.astype(native.dtype.newbyteorder("="), copy=False)
    with torch.inference_mode(False):
        return torch.from_numpy(native).to(like.device, like.dtype)


def to_tensor(model: Any, x: Any) -> Tensor:
    """Return a fresh tensor of ``x`` with the model's type and device."""
    dtype = floating_type(model)
    first = next(_state(model), None)
    with torch.inference_mode(False), torch.no_grad():
        if not isinstance(x, Tensor):
            array = prepare(x, dtype)
            x = torch.from_numpy(np.array(array, order="C", dtype=array.dtype.newbyteorder("=")))
        device = x.device if first is None else first.device
        fresh: Tensor = x.detach().to(device=device, dtype=dtype or x.dtype, copy=True)
        return fresh
