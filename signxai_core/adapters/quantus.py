"""Quantus: an ``explain_func`` for its metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.api import explain
from signxai_core.errors import ParameterError
from signxai_core.specs import MethodSpec


def explain_func(
    model: Any,
    inputs: Any,
    targets: Any,
    *,
    method: str | MethodSpec | None = None,
    device: Any = None,
    **parameters: Any,
) -> npt.NDArray[Any]:
    """Return the relevance of a batch, in the inputs' shape.

    Hand it to a metric as ``explain_func=explain_func, explain_func_kwargs={"method": "lrp_z"}``.

    Parameters
    ----------
    model, inputs
        As for :func:`signxai_core.explain`.
    targets
        One class per sample.
    method
        Name or specification; it has to be given.
    device
        Quantus always says one; the model's own is used.
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
    relevance: npt.NDArray[Any] = explain(model, inputs, method, np.asarray(targets), **parameters).relevance
    return relevance
