"""Checks of input and output, before anything is computed with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import Backend, Recording
from signxai_core.errors import InputShapeError, InputValueError, OutputError


def check_input(x: npt.NDArray[Any]) -> None:
    """Refuse inputs without a batch axis, without samples, or with NaN or infinite numbers."""
    if x.ndim < 2:
        raise InputShapeError(
            f"the input has shape {x.shape}: the batch axis is missing. Expected (batch, ...), x[None] adds the axis"
        )
    if len(x) == 0 or x.size == 0:
        raise InputShapeError(f"the input is empty: shape {x.shape}. Give at least one sample")
    bad = ~np.isfinite(x)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputValueError(
            f"the input holds {int(bad.sum())} numbers that are NaN or infinite, the first at index {first}; "
            "replace them before explaining"
        )


def check_output(backend: Backend, recording: Recording) -> None:
    """Refuse outputs with NaN or infinite numbers, naming the operation that made the first."""
    if np.isfinite(backend.to_numpy(recording.values[recording.output])).all():
        return
    for operation in recording.operations:
        for tensor in operation.outputs:
            if not np.isfinite(backend.to_numpy(recording.values[tensor])).all():
                raise OutputError(
                    f"the model's output is NaN or infinite; the first such number came out of {operation.label}. "
                    "Check the weights and the scale of the input"
                )
    raise OutputError("the model's output is NaN or infinite")
