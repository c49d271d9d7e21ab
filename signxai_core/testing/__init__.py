"""What checks a backend: networks as data and the slow reference in NumPy.

:mod:`signxai_core.testing.strategies` draws networks, inputs and rules; it needs Hypothesis and is
imported by itself. :mod:`signxai_core.testing.numpy_backend` is a plug-in, so that this package is
imported whenever plug-ins are looked for: what it exports is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from signxai_core.testing.network import Network, Node
    from signxai_core.testing.reference import ReferenceResult, explain, forward

_WHERE: Final = {
    "Network": "network",
    "Node": "network",
    "ReferenceResult": "reference",
    "explain": "reference",
    "forward": "reference",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


__all__ = ["Network", "Node", "ReferenceResult", "explain", "forward"]
