"""What an explanation consists of."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.engine.plan import Plan
from signxai_core.specs.methods import MethodSpec

FloatArray = npt.NDArray[Any]


@attrs.frozen(eq=False)
class Conservation:
    """Sum of relevance against what it should sum to, per sample.

    Parameters
    ----------
    total
        Sum of the relevance of each sample, shape ``(N,)``, float64.
    expected
        The seed of each sample (LRP: the logit; gradient family: 1, or the logit); for Integrated
        Gradients ``f(x) − f(baseline)``. Shape ``(N,)``, float64.
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
        The model's logits, shape ``(N, classes)``.
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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:  # noqa: FBT001 - NumPy's protocol
        if copy is False and dtype is not None and np.dtype(dtype) != self.relevance.dtype:
            raise ValueError("this dtype needs a copy of the relevance")
        array = np.asarray(self.relevance, dtype=dtype)
        return array.copy() if copy and array is self.relevance else array

    def __repr__(self) -> str:
        return (
            f"Explanation({self.method!r}, shape={self.relevance.shape}, backend={self.backend!r}, "
            f"convention={self.convention!r})"
        )
