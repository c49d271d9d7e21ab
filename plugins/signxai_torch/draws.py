"""Random numbers that a model draws while it is recorded."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import nn

from signxai_core.errors import UnsupportedOperationError

#: Functions that draw, and those of PyTorch's that call one of them.
RANDOM = frozenset(
    {"rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "bernoulli", "binomial"}
    | {"multinomial", "normal", "poisson", "uniform", "exponential", "cauchy", "log_normal", "geometric", "random"}
    | {"gumbel_softmax", "fractional_max_pool2d", "fractional_max_pool3d", "fractional_max_pool2d_with_indices"}
    | {"fractional_max_pool3d_with_indices"}
)


class Draws:
    """Notes what is drawn.

    A module in training mode that draws is refused: two equal calls would give two maps.

    Parameters
    ----------
    stack
        Paths of the layers that are running, innermost last.

    Attributes
    ----------
    warnings
        One for each function and layer that drew.
    """

    def __init__(self, stack: Sequence[str]) -> None:
        self._stack = stack  # the recording's own; the recording itself would be a cycle
        self.warnings: dict[str, None] = {}

    def note(self, name: str) -> None:
        """Note that a function draws, or refuse it.

        Raises
        ------
        UnsupportedOperationError
            In a module in training mode.
        """
        path = self._stack[-1] if self._stack else ""
        training = _in_training()
        if training is not None:
            where = f"in {path!r}, " if path else ""
            raise UnsupportedOperationError(
                f"the model draws random numbers ({name!r} {where}in a {training}), because it is in training mode: "
                "each call would give another map; call .eval() on it, or give the module instead of a function "
                "around it",
                function=name,
                path=path,
            )
        where = f" in {path!r}" if path else ""
        self.warnings[f"the model draws random numbers ({name!r}{where}): the map is that of one draw"] = None


def _in_training() -> str | None:
    """Return the class of the module that is running, if it is in training mode."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to the functions that are running
    while frame is not None:
        running = frame.f_locals.get("self")
        if isinstance(running, nn.Module):
            return type(running).__name__ if running.training else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
