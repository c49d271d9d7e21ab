"""Which output is explained, and the relevance that the walk starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import Array, Backend, Recording
from signxai_core.errors import OutputError, TargetError

Target = int | npt.ArrayLike | Callable[[Any], Any] | None
Indices = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Selection:
    """The explained output of every sample: class indices, or a function of the outputs."""

    indices: Indices | None
    function: Callable[[Any], Any] | None = None

    def repeat(self, times: int) -> Selection:
        """Return the selection for a batch repeated ``times`` times."""
        return self if self.indices is None else Selection(np.tile(self.indices, times))


def select(target: Any, logits: npt.NDArray[Any]) -> Selection:
    """Check a target against the model's logits.

    Parameters
    ----------
    target
        ``None`` (arg-max per sample), one index, one index per sample, or a function from the
        outputs to one scalar per sample.
    logits
        Shape ``(N, classes)``, or ``(N,)`` for a single output.

    Raises
    ------
    TargetError
        Out of range, of the wrong length or type.
    OutputError
        For outputs with more axes and no function as target.
    """
    if callable(target):
        return Selection(None, target)
    if logits.ndim not in (1, 2):
        raise OutputError(
            f"the model's output has shape {logits.shape}; a class index needs (batch, classes). Give a function "
            "as target that turns the outputs into one scalar per sample"
        )
    samples, classes = len(logits), 1 if logits.ndim == 1 else logits.shape[1]
    if target is None:
        return Selection(np.argmax(logits.reshape(samples, classes), axis=1).astype(np.int64))
    indices = per_sample(target, samples)
    wrong = np.flatnonzero((indices < 0) | (indices >= classes))
    if wrong.size:
        sample = int(wrong[0])
        raise TargetError(
            f"target {int(indices[sample])} of sample {sample} is out of range: the model has {classes} outputs, "
            f"numbered 0 to {classes - 1}"
        )
    return Selection(indices)


def per_sample(target: Any, samples: int) -> Indices:
    """Return one class index for each sample."""
    given = np.asarray(target)
    if given.dtype.kind not in "iu":
        raise TargetError(
            f"target must be None, a class index, one class index per sample or a function; got {target!r}"
        )
    if given.ndim > 1 or (given.ndim == 1 and len(given) != samples):
        raise TargetError(
            f"target has shape {given.shape}, expected one class index or one for each of the {samples} samples"
        )
    return np.broadcast_to(given, (samples,)).astype(np.int64)


def seeds(backend: Backend, recording: Recording, selection: Selection) -> tuple[dict[str, Array], Array]:
    """Return the start of the walk for each kind of seed, and the selected output per sample."""
    output = recording.values[recording.output]
    if selection.function is not None:
        values, gradient = backend.select(output, selection.function)
        return {"one": gradient, "logit": gradient * output}, values
    assert selection.indices is not None, "a selection has indices or a function"
    shape = tuple(output.shape)
    one_hot = np.zeros((shape[0], 1 if len(shape) == 1 else shape[1]))
    one_hot[np.arange(shape[0]), selection.indices] = 1
    gradient = backend.asarray(one_hot.reshape(shape), output)
    selected = gradient * output
    values = backend.to_numpy(selected).reshape(shape[0], -1).sum(axis=1)
    return {"one": gradient, "logit": selected}, values
