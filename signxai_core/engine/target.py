"""Which output is explained, and the relevance that the walk starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def of(self, rows: slice) -> Selection:
        """Return the selection for some samples of the batch."""
        return self if self.indices is None else Selection(self.indices[rows])

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
    if isinstance(target, np.ma.MaskedArray):
        raise TargetError("target is a masked array; expected one class index, or one for each sample")
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


@attrs.frozen(eq=False)
class Seeds:
    """What walks start from.

    Parameters
    ----------
    starts
        Relevance at the output, by kind of seed.
    selected
        The explained output of every sample, float64, shape ``(N,)``.
    totals
        The sum of each sample's start, by kind of seed; float64, shape ``(N,)``.
    times_output
        The sum of each sample's start times the output: what a gradient times the input sums to in a
        network without biases.
    """

    starts: Mapping[str, Array]
    selected: npt.NDArray[np.float64]
    totals: Mapping[str, npt.NDArray[np.float64]]
    times_output: Mapping[str, npt.NDArray[np.float64]]


def seeds(backend: Backend, recording: Recording, selection: Selection) -> Seeds:
    """Return the starts of walks on a recording."""
    output = recording.values[recording.output]
    if selection.function is not None:
        values, gradient = backend.select(output, selection.function)
        _check_function(_float64(backend, values), _float64(backend, gradient))
        starts = {"one": gradient, "logit": gradient * output}
        numbers = {kind: _float64(backend, start) for kind, start in starts.items()}
        y = _float64(backend, output)
        times_output = {kind: _summed(start * y) for kind, start in numbers.items()}
        totals = {kind: _summed(start) for kind, start in numbers.items()}
        return Seeds(starts, _float64(backend, values), totals, times_output)
    assert selection.indices is not None, "a selection has indices or a function"
    logits = _float64(backend, output).reshape(recording.output_shape)
    chosen = (np.arange(len(logits)), selection.indices)[: logits.ndim]
    numbers = {"one": np.zeros_like(logits), "logit": np.zeros_like(logits)}
    numbers["one"][chosen], numbers["logit"][chosen] = 1.0, logits[chosen]
    shape = tuple(output.shape)
    starts = {kind: backend.asarray(array.reshape(shape), output) for kind, array in numbers.items()}
    totals = {kind: array[chosen] for kind, array in numbers.items()}
    return Seeds(starts, logits[chosen], totals, {kind: total * logits[chosen] for kind, total in totals.items()})


def _summed(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = array.reshape(len(array), -1).sum(axis=1)
    return sums


def _check_function(values: npt.NDArray[np.float64], gradient: npt.NDArray[np.float64]) -> None:
    """Refuse a target function whose values, or whose gradient, are not finite."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise TargetError(
            f"the target function returned {values[bad[0]]} for sample {bad[0]}; it must return finite numbers"
        )
    bad = np.flatnonzero(~np.isfinite(gradient.reshape(len(gradient), -1)).all(axis=1))
    if bad.size:
        raise TargetError(
            f"the gradient of the target function at the output is NaN or infinite, first for sample {bad[0]}"
        )


def _float64(backend: Backend, array: Array) -> npt.NDArray[np.float64]:
    return backend.to_numpy(array).astype(np.float64)
