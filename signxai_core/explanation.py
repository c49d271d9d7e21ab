"""What an explanation consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine.plan import Plan
from signxai_core.errors import ParameterError, SignxaiError
from signxai_core.specs.methods import MethodSpec

FloatArray = npt.NDArray[Any]


class Explanations(dict[str, "Explanation"]):
    """Explanations by name, and the errors of methods that could not be carried out.

    Attributes
    ----------
    errors
        By name; empty unless errors were to be collected.
    """

    def __init__(self, found: Mapping[str, Explanation] = MappingProxyType({})) -> None:
        super().__init__(found)
        self.errors: dict[str, SignxaiError] = {}


@attrs.frozen(eq=False)
class Conservation:
    """Sum of relevance against what it should sum to, per sample.

    Parameters
    ----------
    total
        Sum of the relevance of each sample, shape ``(N,)``, float64.
    expected
        The seed of each sample (LRP: the logit; gradient family: 1, or the logit); the logit for a
        gradient times the input; for Integrated Gradients ``f(x) − f(baseline)``. Shape ``(N,)``, float64.
    """

    total: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]

    @property
    def gap(self) -> npt.NDArray[np.float64]:
        """``total − expected``; the completeness gap of Integrated Gradients."""
        return self.total - self.expected


@attrs.frozen(eq=False)
class Explanation:
    """Relevance of every input value for the explained output.

    Parameters
    ----------
    relevance
        Same shape and layout as the input.
    target
        Index of the explained class per sample, shape ``(N,)``; ``None`` for a callable target.
    output
        The model's logits, shape ``(N, classes)``; what the model returns for a callable target.
    method
        Canonical name; the specification's printed form where it has no name.
    spec
        The method, parameters filled in.
    convention
        Name of the convention.
    backend
        Name of the backend.
    plan
        Operation, rule and reason, for every operation.
    conservation
        Per sample.
    """

    relevance: FloatArray
    target: npt.NDArray[np.int64] | None
    output: FloatArray
    method: str
    spec: MethodSpec
    convention: str
    backend: str
    plan: Plan
    conservation: Conservation

    @property
    def explains(self) -> str:
        """Which output is explained, and which operations behind it were skipped; that of the plan."""
        return self.plan.explains

    @property
    def revision(self) -> int:
        """The revision of what is recognised as functions, gates and statistics; that of the plan."""
        return self.plan.revision

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before the map is used; those of the plan."""
        return self.plan.warnings

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:  # noqa: FBT001 - NumPy's protocol
        if copy is False and dtype is not None and np.dtype(dtype) != self.relevance.dtype:
            raise ValueError("this dtype needs a copy of the relevance")
        array = np.asarray(self.relevance, dtype=dtype)
        return array.copy() if copy and array is self.relevance else array

    def plot(
        self,
        x: Any = None,
        *,
        sample: int = 0,
        kind: str | None = None,
        labels: Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        """Draw one sample's relevance with :mod:`signxai_core.plot` (extra ``plot``).

        Parameters
        ----------
        x
            What was explained, the whole batch or that sample: images are drawn below the map in grey,
            series and ECGs along their relevance.
        sample
            Its place in the batch.
        kind
            ``"image"``, ``"series"``, ``"ecg"``, ``"spectrogram"``, ``"bars"``: a function of
            :mod:`signxai_core.plot`; by default what the shape says, and an ECG where ``leads`` are given.
        labels
            Names of the classes, for the title.
        **options
            That function's (``cmap``, ``title``, ``ax``, ``reduce``, ``sampling_rate``, ``style``, ...).

        Returns
        -------
        Drawn
            Figure and axes.
        """
        from signxai_core import plot  # noqa: PLC0415 - matplotlib is an extra

        return plot.draw(self, x, sample, kind, labels, options)

    def binary(self, *, threshold: float | None = None, quantile: float | None = None) -> npt.NDArray[np.int8]:
        """Return −1, 0 or +1 for every input value: the sign of relevance where it is strong.

        Parameters
        ----------
        threshold
            Strong is |R| of at least this share of the sample's largest |R|, between 0 and 1.
        quantile
            Strong is |R| above this quantile of the sample's |R|, between 0 and 1: 0.9 leaves at most
            a tenth. Give one of the two.

        Returns
        -------
        array
            Of the relevance's shape; 0 wherever relevance is 0.
        """
        given = threshold if threshold is not None else quantile
        if given is None or (threshold is not None and quantile is not None):
            raise ParameterError("binary() takes one of threshold= and quantile=")
        if not 0 <= given <= 1:
            name = "threshold" if threshold is not None else "quantile"
            raise ParameterError(f"{name} must lie between 0 and 1, got {given}")
        strength = np.abs(self.relevance).reshape(len(self.relevance), -1).astype(np.float64)
        if threshold is not None:
            strong = strength >= threshold * strength.max(axis=1, keepdims=True)
        else:
            strong = strength > np.quantile(strength, given, axis=1, keepdims=True)
        signs = np.where(strong.reshape(self.relevance.shape), np.sign(self.relevance), 0)
        return signs.astype(np.int8)

    def _repr_html_(self) -> str:
        """Show method, targets and conservation in notebooks, and maps of images where matplotlib is there."""
        from signxai_core.notebook import render  # noqa: PLC0415 - it imports this module

        return render(self)

    def __repr__(self) -> str:
        warned = f", warnings={len(self.warnings)}" if self.warnings else ""
        return (
            f"Explanation({self.method!r}, shape={self.relevance.shape}, backend={self.backend!r}, "
            f"convention={self.convention!r}{warned})"
        )
