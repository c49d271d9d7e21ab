"""One array of a layer, as both frameworks have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy.typing as npt

FloatArray = npt.NDArray[Any]
Turn = Callable[[FloatArray], FloatArray]


@attrs.frozen(eq=False, kw_only=True)
class Slot:
    """One array in both frameworks.

    Parameters
    ----------
    name
        For errors.
    keras, torch
        The weights; ``None`` where a layer goes without.
    to_torch, to_keras
        Turn one framework's layout into the other's.
    neutral
        Value of an array that makes no difference; ``None`` where every value does.
    is_counted
        An array that the destination lacks is part of another slot there.
    """

    name: str
    keras: Any
    torch: Any
    to_torch: Turn = lambda array: array
    to_keras: Turn = lambda array: array
    neutral: float | None = None
    is_counted: bool = False
