"""What pictures and tables call classes, channels and steps."""

from __future__ import annotations

from typing import Any

import attrs

from signxai_core.cli.preprocess import Preprocess


@attrs.frozen(kw_only=True)
class Labelling:
    """Names for what a model knows by numbers.

    Parameters
    ----------
    classes
        By index; may be shorter than the model's outputs.
    sampling_rate, leads
        Of series.
    preprocess
        What was done to images, for drawing their colours as they are.
    """

    classes: tuple[str, ...] = ()
    sampling_rate: float | None = None
    leads: tuple[str, ...] = ()
    preprocess: Preprocess | None = None

    def of_class(self, index: Any) -> str:
        """Return a class's name, empty where it has none."""
        return self.classes[index] if isinstance(index, int) and 0 <= index < len(self.classes) else ""

    def target(self, index: Any) -> str:
        """Return a class's number and name."""
        name = self.of_class(index)
        return f"{index}, {name}" if name else str(index)
