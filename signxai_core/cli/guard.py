"""Guards while the user's own code is imported.

The one order of imports that aborts the process is refused, and modules beside the user's are found
without the folder on ``sys.path``, where every later import would see it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
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


class _Beside:
    """Finds modules in a folder: only the name ``first``, or every name."""

    def __init__(self, folder: Path, first: str | None = None) -> None:
        self.folder, self.first = str(folder), first

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module lies, if it is the folder's."""
        if path is not None or (self.first is not None and name != self.first):
            return None
        found = importlib.machinery.PathFinder.find_spec(name, [self.folder])
        # A folder of data that has a package's name is no package.
        return None if self.first is not None and found is not None and found.loader is None else found


@contextlib.contextmanager
def neighbours(folder: Path, first: str) -> Iterator[None]:
    """Let, in this block, modules of a folder be imported.

    ``first`` is looked for there before everywhere else, because the user named it. Its neighbours are
    found behind all installed modules: what lies beside the data never stands in for a library.
    """
    before, behind = _Beside(folder, first), _Beside(folder)
    importlib.invalidate_caches()
    sys.meta_path.insert(0, before)
    sys.meta_path.append(behind)
    try:
        yield
    finally:
        sys.meta_path.remove(before)
        sys.meta_path.remove(behind)
