"""Which Python code is the user's, and which an installed package's or Python's own."""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any, Final

#: Names of Python's own modules.
STANDARD_LIBRARY: Final = frozenset(sys.stdlib_module_names)
#: Folders of Python's own modules and of installed packages.
_FOLDERS = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def package(value: Any) -> str:
    """Return the name of the package that a function, class or module comes from."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


@functools.cache
def is_library(name: str) -> bool:
    """Return whether a package was installed, or is Python's own.

    Examples
    --------
    >>> is_library("attrs"), is_library("json"), is_library("__main__")
    (True, True, False)
    """
    if name in STANDARD_LIBRARY:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str):
        return False
    return file.startswith(_FOLDERS) or not _INSTALLED.isdisjoint(Path(file).parts)
