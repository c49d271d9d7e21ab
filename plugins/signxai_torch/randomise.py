"""Copies of models whose parameters can be set: what ``signxai_core.metrics.randomised`` asks of PyTorch."""

from __future__ import annotations

import copy as copying
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from signxai_core.errors import ModelError


def copy(model: Any) -> nn.Module:
    """Return a copy of the model that shares nothing with it, for inference."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"only a torch.nn.Module has parameters to randomise, got {type(model).__qualname__}")
    try:
        return copying.deepcopy(model).eval()
    except Exception as error:
        raise ModelError(f"the model cannot be copied: {type(error).__name__}: {error}") from error


def layers(model: nn.Module) -> list[tuple[str, list[Tensor]]]:
    """Return path and parameters of the layers that have any, in the order of ``named_modules``."""
    found = ((path, list(module.parameters(recurse=False))) for path, module in model.named_modules())
    return [(path, list(parameters)) for path, parameters in found if parameters]


def read(parameter: Tensor) -> npt.NDArray[Any]:
    """Return a parameter as a NumPy array."""
    values: npt.NDArray[Any] = parameter.detach().cpu().numpy()
    return values


def write(parameter: Tensor, values: npt.NDArray[Any]) -> None:
    """Set a parameter."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))
