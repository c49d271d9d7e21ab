"""Weights from files: safetensors, or a state dict; never by running code that the file holds."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from signxai_core.errors import FileError, ModelError, SignxaiError, nearest_names
from signxai_core.extras import is_older
from signxai_torch import formats

#: Weights that torchvision fetches.
_PRETRAINED = "imagenet"


def load_model(text: str, weights: Path | None) -> Any:
    """Return a model of torchvision.

    Parameters
    ----------
    text
        ``torchvision:NAME``, such as ``torchvision:resnet50``.
    weights
        File for :func:`load_weights`, or ``imagenet``: torchvision's own, from its folder or downloaded.
        Without it, weights are random.

    Raises
    ------
    ModelError
        For names that torchvision does not have, or without torchvision.
    FileError
        When weights can be neither read nor downloaded.
    """
    models, name = _torchvision(), text.removeprefix(formats.TORCHVISION)
    known = models.list_models()
    if name not in known:
        near = nearest_names(name, known)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"torchvision has no {name!r}{hint} It has {_listed(known)}")
    if weights is None or str(weights) != _PRETRAINED:
        model = models.get_model(name, weights=None)
        if weights is not None:
            load_weights(model, weights)
        return model.eval()
    try:
        return models.get_model(name, weights="DEFAULT").eval()
    except Exception as error:
        raise FileError(
            f"the weights {_PRETRAINED!r} of {name} are neither stored in PyTorch's folder nor could they be "
            f"downloaded: {error}. Give a file of weights with --weights FILE, or leave --weights out for random ones"
        ) from error


def class_names(text: str) -> tuple[str, ...]:
    """Return the names of the classes that torchvision's own weights tell apart."""
    found = _torchvision().get_model_weights(text.removeprefix(formats.TORCHVISION)).DEFAULT.meta.get("categories", ())
    return tuple(found)


def _torchvision() -> Any:
    try:
        return importlib.import_module("torchvision.models")
    except SignxaiError:
        raise  # Triton after TensorFlow
    except ImportError as error:
        raise ModelError(
            f"torchvision cannot be imported: {error}. Install it with: pip install torchvision"
        ) from error


def load_weights(model: Any, path: Path) -> None:
    """Fill ``model`` from a file; the model stays as it was where that fails.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    path
        ``.safetensors``, or anything that :func:`torch.load` reads with ``weights_only=True``: a
        state dict, or a checkpoint that holds one under ``state_dict``.

    Raises
    ------
    FileError
        When the file cannot be read, or its keys or shapes are not the model's; they are named.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"weights can be loaded into a torch.nn.Module, not into a {type(model).__name__}")
    state = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_state_dict(path)
    _check(model.state_dict(), state, path)
    model.load_state_dict(state)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError  # noqa: PLC0415 - not needed for state dicts
        from safetensors.torch import load_file  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise FileError(f"reading {path} needs safetensors; install it with: pip install safetensors") from error
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FileError(f"cannot read {path} as safetensors: {error}") from error
    return tensors


#: From here on a file of tensors can neither run code (fixed in 2.6) nor write beyond its memory (in 2.10).
_SAFE = (2, 10)


def _read_state_dict(path: Path) -> Mapping[str, torch.Tensor]:
    if is_older(torch.__version__, _SAFE):
        raise FileError(
            f"{path} is not read with PyTorch {torch.__version__}: before 2.10 a file made for it can damage the "
            "memory of the process, before 2.6 run code, in spite of weights_only=True. Update PyTorch, or give the "
            "weights as .safetensors"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{path} is not a file of tensors alone; a whole pickled model is never loaded, because that runs "
            "code from the file. Save the weights with torch.save(model.state_dict(), path), or as safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise FileError(f"cannot read {path} as a state dict: {error}") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        kind = type(found).__name__
        raise FileError(f"{path} holds a {kind} that is no state dict; expected names of parameters and their tensors")
    return found


def _check(own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], path: Path) -> None:
    """Compare keys and shapes before anything is written into the model."""
    problems = []
    missing, unknown = [key for key in own if key not in given], [key for key in given if key not in own]
    if missing:
        problems.append(f"it lacks {_listed(missing)}")
    if unknown:
        problems.append(f"it has {_listed(unknown)}, which the model does not have")
    problems += [
        f"{key} has shape {tuple(given[key].shape)}, the model {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in given and given[key].shape != tensor.shape
    ]
    if problems:
        raise FileError(f"the weights in {path} are not this model's: {'; '.join(problems)}")


def _listed(keys: Iterable[str], most: int = 8) -> str:
    names = list(keys)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
