"""The folder of a run that is not finished: what is computed stays, whatever happens to the process.

    OUTPUT/unfinished/manifest.json    the call, the files that it replaces, whether it is finished
                      00000.npz ...    the maps of one batch of inputs each
                      final/           final files, until each is moved to its place

The same call finds its folder again and goes on behind the last batch.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from signxai_core.cli import files
from signxai_core.errors import FileError

FOLDER = "unfinished"
_MANIFEST = "manifest.json"
_FINAL = "final"
#: Everything that a killed run can leave in its folder.
_OURS = re.compile(r"\.?(manifest\.json|\d{5,}\.npz)(\.[0-9a-f]+\.tmp)?|final")


@attrs.frozen(eq=False)
class Store:
    """The folder of one run, which exists.

    Parameters
    ----------
    output
        Folder of the final files.
    call
        What decides the final files, as JSON has it.
    replaces
        Files of an earlier call in ``output``, relative to it.
    overwrite
        Whether the call may overwrite.
    made
        Folders that were made for this run, the innermost first.
    """

    output: Path
    call: Mapping[str, Any]
    replaces: tuple[str, ...]
    overwrite: bool
    made: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Where everything lies until the run is finished."""
        return self.output / FOLDER

    def part(self, number: int) -> Path:
        """Return the place of one batch."""
        return self.folder / f"{number:05d}.npz"

    def draft(self, name: str) -> Path:
        """Return the place of a final file until :meth:`publish`."""
        return self.folder / _FINAL / name

    def write_manifest(self, *, finished: bool = False) -> None:
        """Note what the run is."""
        noted = {"finished": finished, "overwrite": self.overwrite, "replaces": self.replaces, "call": self.call}
        files.write(self.folder / _MANIFEST, json.dumps(noted, indent=1).encode())

    def publish(self, names: Sequence[str]) -> None:
        """Move drafts to their places, remove what the call replaces and does not write again, and the folder.

        Interrupted at any moment, it can be done again.
        """
        for name in names:
            place = self.output / name
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                self.draft(name).replace(place)
            except OSError as error:
                raise FileError(f"cannot write {place}: {error.strerror or error}") from error
        for name in self.replaces:
            if name not in names:
                (self.output / name).unlink(missing_ok=True)
        self.write_manifest(finished=True)
        self.remove()

    def remove(self) -> None:
        """Remove the folder, the manifest last."""
        for path in sorted(self.folder.iterdir(), key=lambda path: path.name == _MANIFEST):
            if _OURS.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif _OURS.fullmatch(path.name):
                path.unlink()
        with contextlib.suppress(OSError):  # someone else's file may lie there
            self.folder.rmdir()

    def abandon(self) -> None:
        """Remove the folder, and the folders that were made for it, where nothing was computed."""
        self.remove()
        for folder in self.made:
            with contextlib.suppress(OSError):  # something else may lie there by now
                folder.rmdir()


def create(output: Path, call: Mapping[str, Any], replaces: Iterable[str], *, overwrite: bool) -> Store:
    """Make the folder of a new run; this is where a place that cannot be written to is found out."""
    inner_first = (output / FOLDER, output, *output.parents)
    made = tuple(folder for folder in inner_first if not folder.exists())
    store = Store(output, call, tuple(replaces), overwrite, made)
    try:
        store.write_manifest()
    except FileError:
        with contextlib.suppress(OSError):
            store.abandon()
        raise
    return store


def find(output: Path, call: Mapping[str, Any], *, overwrite: bool) -> tuple[Store | None, bool]:
    """Return the unfinished run of this call, if there is one, and whether only its folder is left to remove.

    A finished one, or one that may be overwritten, is removed.

    Raises
    ------
    FileError
        When the folder is another call's.
    """
    folder = output / FOLDER
    try:
        if not folder.exists():
            return None, False
    except OSError as error:
        raise FileError(f"cannot write {folder}: {error.strerror or error}") from error
    noted = _manifest(folder)
    if noted is None:
        Store(output, {}, (), overwrite).remove()
        return None, False
    store = Store(output, noted["call"], tuple(noted["replaces"]), bool(noted["overwrite"]))
    same = noted["call"] == call
    anew = overwrite and not (same and store.overwrite)
    if noted["finished"] or anew:
        store.remove()
        return None, same and not anew
    if not same:
        keys = [key for key in {**call, **noted["call"]} if noted["call"].get(key) != call.get(key)]
        raise FileError(
            f"{folder} holds an unfinished run of another call; it differs in: {', '.join(keys)}. Repeat that call to "
            "finish it, choose another --output, or start anew with --overwrite"
        )
    return store, False


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Read a manifest; ``None`` where a run was killed before it wrote one."""
    try:
        strangers = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
        text = (folder / _MANIFEST).read_text(encoding="utf-8") if (folder / _MANIFEST).exists() else None
        noted: Any = None if text is None else json.loads(text)
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {folder / _MANIFEST}: {error}; remove the folder to start anew") from error
    wanted = {"finished", "overwrite", "replaces", "call"}
    fits = isinstance(noted, dict) and set(noted) == wanted and isinstance(noted["call"], dict)
    if (noted is None and strangers) or (noted is not None and not fits):
        raise FileError(f"{folder} is in the way: it is no folder of an unfinished run. Choose another --output")
    return noted if noted is None else {**noted, "replaces": files.safe(noted["replaces"])}
