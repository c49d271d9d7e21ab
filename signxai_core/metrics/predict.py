"""Models as functions from a batch of inputs to a batch of outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from signxai_core.calls import backend_for
from signxai_core.engine.executor import recorder
from signxai_core.engine.head import without_head
from signxai_core.errors import OutputError, ParameterError
from signxai_core.metrics.checks import Float64, FloatArray, positive
from signxai_core.registry import registry

#: Takes inputs ``(N, ...)``, returns one row of outputs per sample, ``(N, classes)``.
Predict = Callable[[FloatArray], npt.NDArray[Any]]
#: Samples that a predict function gets at a time.
BATCH_SIZE = 32


def predictor(
    model: Any, *, backend: str | None = None, outputs: Literal["softmax", "sigmoid", "logits"] = "softmax"
) -> Predict:
    """Return a function from a batch of inputs to the model's outputs, as NumPy arrays.

    The model runs at inference and stays as it is. A softmax or sigmoid at its end is skipped, as
    :func:`signxai_core.explain` does, so that the same ``outputs`` mean the same for every model.

    Parameters
    ----------
    model, backend
        As for :func:`signxai_core.explain`.
    outputs
        ``"softmax"`` and ``"sigmoid"`` of the logits, in float64, or the logits themselves.

    Examples
    --------
    >>> import torch
    >>> from signxai_core import metrics
    >>> predict = metrics.predictor(torch.nn.Linear(4, 3))
    >>> predict(np.ones((2, 4), np.float32)).sum(axis=1).round(6).tolist()
    [1.0, 1.0]
    """
    heads: dict[str, Callable[[FloatArray], FloatArray]] = {
        "softmax": softmax,
        "sigmoid": _sigmoid,
        "logits": lambda logits: logits,
    }
    if outputs not in heads:
        raise ParameterError(f"outputs must be one of {', '.join(map(repr, heads))}, got {outputs!r}")
    head = heads[outputs]
    engine = recorder(backend_for(model, backend, registry()))

    def predict(x: FloatArray) -> FloatArray:
        recording = without_head(engine.record(model, engine.prepare(model, x)))
        return head(engine.to_numpy(recording.values[recording.output]))

    return predict


def softmax(logits: FloatArray) -> Float64:
    """Return the softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    probabilities: Float64 = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities


def _sigmoid(logits: FloatArray) -> Float64:
    values: Float64 = 0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))
    return values


def rows(predict: Predict, batches: Iterator[FloatArray]) -> FloatArray:
    """Return what a predict function says to several batches, one row per sample, checked."""
    found = []
    for part in batches:
        output = np.asarray(predict(part))
        if output.ndim != 2 or len(output) != len(part):
            raise OutputError(
                f"the predict function returned the shape {output.shape} for {len(part)} samples; expected one row "
                f"of outputs per sample, ({len(part)}, classes)"
            )
        if not np.isfinite(output).all():
            raise OutputError("the predict function returned NaN or infinite numbers")
        found.append(output)
    return np.concatenate(found)


def in_batches(predict: Predict, x: FloatArray, batch_size: int) -> FloatArray:
    """Return what a predict function says to a batch, asked in smaller ones."""
    size = positive("batch_size", batch_size)
    return rows(predict, (x[start : start + size] for start in range(0, len(x), size)))
