"""The gradient of a user's function of the outputs, without automatic differentiation.

``f'(y) = Im f(y + ih) / h`` is exact to rounding for every function that is made of analytic ones,
because nothing is subtracted (Squire & Trapp 1998); ``abs`` and comparisons are not, so the result
is checked with a difference quotient, and refused where it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from signxai_core.errors import TargetError
from signxai_core.testing.nodes import Array

_COMPLEX_STEP: Final = 1e-150
_STEP: Final = 1e-6
#: Central differences are good to about 1e-9 of the values; a missing branch is off by its derivative.
_CHECK: Final = 1e-5


def differentiate(output: Array, target: Callable[[Any], Any]) -> tuple[Array, Array]:
    """Return ``target(output)``, one number per sample, and its gradient at ``output``."""
    values = _call(target, output)
    gradient = np.zeros_like(output)
    for index in np.ndindex(*output.shape):
        moved = output.astype(np.complex128)
        moved[index] += 1j * _COMPLEX_STEP
        gradient[index] = np.imag(_call(target, moved)).sum() / _COMPLEX_STEP
    direction = np.random.default_rng(0).normal(size=output.shape)
    ends = [_call(target, output + step * direction).sum() for step in (_STEP, -_STEP)]
    quotient = (ends[0] - ends[1]) / (2 * _STEP)
    along = (gradient * direction).sum()
    if not np.abs(along - quotient) <= _CHECK * max(1.0, np.abs(gradient).sum(), np.abs(values).sum()):
        raise TargetError(
            "NumPy cannot differentiate the target function: it has no derivative here, or holds abs, a comparison or "
            "another function without a complex derivative"
        )
    if not gradient.any():
        raise TargetError("the target function's result does not depend on the output it was given")
    return values, gradient


def _call(target: Callable[[Any], Any], output: Any) -> Any:
    values = target(output)
    shape = getattr(values, "shape", None)
    if shape != output.shape[:1]:
        got = type(values).__name__ if shape is None else shape
        raise TargetError(
            f"the target function must return one number per sample, shape ({len(output)},), and returned {got}"
        )
    return values
