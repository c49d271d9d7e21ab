"""Packages that only some parts of the library need."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path

from signxai_core.errors import SignxaiError

#: Import name -> what ``pip install`` calls it, where the two differ.
_DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "pywt": "PyWavelets"}


class MissingPackageError(SignxaiError, ImportError):
    """An optional package is not installed.

    Attributes
    ----------
    packages
        What ``pip install`` calls them.
    """

    def __init__(self, packages: Iterable[str], purpose: str, extra: str = "demo") -> None:
        self.packages = tuple(packages)
        super().__init__(
            f"{purpose} needs {', '.join(self.packages)}, which is not installed; "
            f"install it with: pip install 'signxai-core[{extra}]'"
        )


def need(*packages: str, purpose: str, extra: str = "demo") -> None:
    """Raise :class:`MissingPackageError` unless all ``packages`` (import names) can be imported.

    Parameters
    ----------
    *packages
        Import names.
    purpose
        What needs them; the text of the error begins with it.
    extra
        Extra of this distribution that brings them.
    """
    absent = [_DISTRIBUTIONS.get(name, name) for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingPackageError(absent, purpose, extra)


def is_older(version: str, than: tuple[int, ...]) -> bool:
    """Return whether a version comes before another, as far as its numbers tell.

    Examples
    --------
    >>> is_older("2.9.1+cpu", (2, 10)), is_older("2.10.0rc1", (2, 10))
    (True, False)
    """
    numbers = re.match(r"\d+(\.\d+)*", version)
    return numbers is None or tuple(int(part) for part in numbers[0].split(".")) < than


def is_file(path: Path) -> bool:
    """Return whether a path is that of a file, also where no file could have such a name."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def is_folder(path: Path) -> bool:
    """Return whether a path is that of a folder, also where no folder could have such a name."""
    return os.path.isdir(path)  # noqa: PTH112 - as above
