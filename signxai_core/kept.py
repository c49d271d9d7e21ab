"""What backends keep of models from one call to the next, and how to drop it."""

from __future__ import annotations

import sys
from typing import Any

from signxai_core.engine.compiler import Keeper
from signxai_core.engine.executor import recorder
from signxai_core.registry import registry


def forget(model: Any) -> None:
    """Drop what is kept of a model: the next call looks at it as if it were new.

    TensorFlow models are traced once and traced again where anything that can be seen of them has changed
    (``docs/tensorflow.md`` says what cannot). PyTorch models run anew in every call; of them nothing is kept.

    Parameters
    ----------
    model
        A model, or any other object: of what was never explained there is nothing to drop.

    Examples
    --------
    >>> import signxai_core as sx
    >>> sx.forget(print)
    """
    for owned in registry().backends.values():
        if owned.entry.factory.partition(":")[0] in sys.modules:  # else it has not been used
            backend = recorder(owned.make())
            if isinstance(backend, Keeper):
                backend.drop(model)
