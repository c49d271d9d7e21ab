"""The one order of imports that aborts the process, refused while the user's own code is imported."""

from __future__ import annotations

import contextlib
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

from signxai_core.errors import SignxaiError


class ImportOrderError(SignxaiError, ImportError):
    """Triton would be loaded after TensorFlow."""


class _Guard:
    """Refuses Triton where TensorFlow is there already; packages for which it is optional do without."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Raise for Triton, and leave every other module to the next finder."""
        if name == "triton" and "tensorflow" in sys.modules and importlib.machinery.PathFinder.find_spec(name):
            raise ImportOrderError(
                "Triton would be loaded after TensorFlow, which aborts the process: a package such as torchvision "
                "or zennit loads it. Put 'import triton' first in the module of the model, before anything that "
                "imports TensorFlow; in 'signxai compare', give the PyTorch model first"
            )


@contextlib.contextmanager
def import_order() -> Iterator[None]:
    """Refuse, in this block, to load Triton after TensorFlow."""
    guard = _Guard()
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
