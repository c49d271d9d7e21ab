"""Quantus: an ``explain_func`` for its metrics, on PyTorch and Keras models.

Quantus turns every batch to channels first, but hands explain functions the model's own layout. For
models with channels last it can therefore not read one number per channel: it gets one per position,
with an axis of one channel in front, which fits both layouts. For models with channels first it gets
the whole map unless ``reduction`` says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.api import explain
from signxai_core.cli.packages import formats
from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.metrics.ranking import Reduction, pooled
from signxai_core.specs import MethodSpec


def explain_func(
    model: Any,
    inputs: Any,
    targets: Any,
    *,
    method: str | MethodSpec | None = None,
    device: Any = None,
    channels_last: bool | None = None,
    reduction: Reduction | None = None,
    **parameters: Any,
) -> npt.NDArray[Any]:
    """Return the relevance of a batch, in a shape that Quantus reads.

    Hand it to a metric as ``explain_func=explain_func, explain_func_kwargs={"method": "lrp_z"}``, together
    with ``channel_first=False`` for a Keras model.

    Parameters
    ----------
    model, inputs
        As for :func:`signxai_core.explain`. Some metrics of Quantus hand a Keras model inputs with
        channels first; where those do not fit the model and moving the channels makes them fit, they are
        moved.
    targets
        One class per sample.
    method
        Name or specification; it has to be given.
    device
        Quantus always says one; the model's own is used.
    channels_last
        Where the model has its channels; by default, where models of its framework have them.
    reduction
        Over the channels, as for :func:`signxai_core.metrics.pooled`; the axis stays, with length 1.
        Models with channels last have the sum by default, others none.
    **parameters
        Of :func:`signxai_core.explain`: ``convention``, ``seed``, ``mu``, ...

    Examples
    --------
    >>> import numpy as np
    >>> explain_func(None, np.ones((1, 2)), [0])
    Traceback (most recent call last):
    signxai_core.errors.ParameterError: explain_func needs a method: explain_func_kwargs={"method": "lrp_epsilon_0_1"}
    """
    if method is None:
        raise ParameterError('explain_func needs a method: explain_func_kwargs={"method": "lrp_epsilon_0_1"}')
    x = _fitting(model, inputs)
    explanation = explain(model, x, method, np.asarray(targets), **parameters)
    relevance: npt.NDArray[Any] = explanation.relevance
    last = _channels_last(explanation.backend) if channels_last is None else channels_last
    if relevance.ndim < 3 or (reduction is None and not last):
        if reduction is not None:
            raise InputShapeError(f"reduction = {reduction!r} is over the channels, and the inputs have none")
        return relevance
    positions = pooled(relevance, channel_axis=-1 if last else 1, reduction=reduction or "sum")
    return np.expand_dims(positions, 1).astype(relevance.dtype)


def _channels_last(backend: str) -> bool:
    known = formats().get(backend)
    return known is not None and known.LAYOUT == "channels_last"


def _fitting(model: Any, inputs: Any) -> Any:
    """Return the inputs, their channels moved to the end where only then they fit the model's declared shape."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or np.ndim(inputs) != len(shape) or np.ndim(inputs) < 3:
        return inputs
    moved = np.moveaxis(np.asarray(inputs), 1, -1)
    return moved if not _fits(np.shape(inputs), shape) and _fits(moved.shape, shape) else inputs


def _fits(given: tuple[int, ...], declared: tuple[Any, ...]) -> bool:
    return all(size is None or size == length for length, size in zip(given, declared, strict=True))
