"""Functions as they are at inference, without effects on what they were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from signxai_core.errors import UnsupportedOperationError
from signxai_torch.vocabulary import KIND, bind

#: Types of half the width: models of these are recorded and walked in float32, with the weights that they have.
HALF = frozenset({torch.float16, torch.bfloat16})
_TO_HALF = frozenset({"half", "bfloat16"})
_RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})


def at_inference(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    path: str,
    *,
    live: bool = True,
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return a call that computes what the function does at inference, out of place.

    Training mode may be asked for in the call itself (``F.dropout(x)`` trains by default), where
    no copy of the module's mode reaches it. Without ``live``, nothing in the call depends on the input: what
    normalises weights by their own statistics may do so.
    """
    args, kwargs = _wide(args), _wide(kwargs)
    if name in _TO_HALF:
        return Tensor.float, args[:1], {}
    if name in KIND and KIND[name] == "dropout":
        return _identity, (args[0] if args else kwargs["input"],), {}
    if name == "batch_norm":
        return _batch_norm(function, args, kwargs, path, live=live)
    if function is functional.instance_norm and kwargs.get("use_input_stats"):
        return function, args, kwargs | {"running_mean": None, "running_var": None}
    if name in _RECURRENT:
        args = _recurrent(args)
    if name == "embedding" and kwargs.get("max_norm") is not None and len(args) > 1:
        return function, (args[0], args[1].clone(), *args[2:]), kwargs
    if kwargs.get("inplace"):
        kwargs = kwargs | {"inplace": False}
    if name == "rrelu" and kwargs.get("training"):
        kwargs = kwargs | {"training": False}
    return function, args, kwargs


def _wide(value: Any) -> Any:
    """Return arguments with float32 for half types, which are too narrow for relevance."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if isinstance(value, torch.dtype):
        return torch.float32 if value in HALF else value
    if type(value) in (tuple, list):
        return type(value)([_wide(item) for item in value])
    return {key: _wide(item) for key, item in value.items()} if type(value) is dict else value


def _identity(x: Tensor) -> Tensor:
    """Return a new tensor of the same memory: dropout itself returns its argument at inference."""
    return x.view_as(x)


def _batch_norm(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], path: str, *, live: bool
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    named = bind("batch_norm", args, kwargs)
    if function is not functional.batch_norm:  # torch.batch_norm takes them in another order
        named = dict(zip(names, args, strict=False)) | kwargs
    mean, variance = named.get("running_mean"), named.get("running_var")
    if not live and mean is None and variance is None:
        return function, args, kwargs
    if mean is None or variance is None:
        message = (
            f"batch-normalisation in {path or 'the model'} has no running statistics, so that it uses those of "
            "the batch, and a sample's map would depend on the other samples; use track_running_stats=True, "
            "or a normalisation within each sample"
        )
        raise UnsupportedOperationError(message, function="batch_norm", path=path)
    options: dict[str, Any] = {key: named[key] for key in ("weight", "bias", "eps") if key in named}
    return functional.batch_norm, (named["input"], mean, variance), options


def _recurrent(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ask for training without dropout: the same numbers, and cuDNN refuses gradients otherwise.

    The arguments end with (has_biases, num_layers, dropout, train, bidirectional[, batch_first]),
    before which an unpacked call has three tensors and a packed one four.
    """
    start = next((i for i, value in enumerate(args) if isinstance(value, bool)), None)
    if start is None or len(args) < start + 4:
        return args
    return (*args[: start + 2], 0.0, True, *args[start + 4 :])
