"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from signxai_core.errors import FileError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends without an exception.

    The bytes go to a hidden file in the same folder first, so that an interrupted call leaves what
    was there before, and no other program ever sees half a file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # After a successful replace there is nothing left to remove.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> Path:
    """Write ``content`` to ``path``, whole or not at all."""
    with whole(path) as file:
        file.write(content)
    return path


#: Files that calls of ``signxai explain`` write beside ``explanations.npz``.
_WRITTEN = re.compile(r"table\.csv|sheet(_\d+)?\.png|maps/[^/\\]+\.png")


def safe(names: object) -> tuple[str, ...]:
    """Return those of ``names`` that a call can have written beside its maps: a list in a file may hold anything."""
    if not isinstance(names, list):
        return ()
    return tuple(name for name in names if isinstance(name, str) and _WRITTEN.fullmatch(name))


def refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise :class:`~signxai_core.errors.FileError` when one of ``paths`` would be overwritten, or cannot be made."""
    paths = list(paths)
    try:
        existing = [path for path in paths if _is_taken(path)]
    except FileError:
        raise
    except OSError as error:  # a name that is too long, a folder that cannot be read
        raise FileError(f"cannot write {error.filename}: {error.strerror or error}") from error
    if existing and not overwrite:
        more = f" and {len(existing) - 3} more" if len(existing) > 3 else ""
        shown = ", ".join(str(path) for path in existing[:3])
        verb = "exist" if len(existing) > 1 else "exists"
        raise FileError(f"{shown}{more} {verb} already; choose another --output, or allow it with --overwrite")


def _is_taken(path: Path) -> bool:
    """Return whether a file exists; raise where none can be made."""
    if path.is_dir():
        raise FileError(f"cannot write {path}: it is a folder; choose another --output")
    above = next((folder for folder in path.parents if folder.exists()), path.parent)
    if above.exists() and not above.is_dir():
        raise FileError(f"cannot write {path}: {above} is no folder; choose another --output")
    return path.exists()
