"""File names made of other names: safe on every system, and each different from all others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

#: Bytes of a name; file systems allow 255, and an ending and a number come on top.
_LONGEST = 110


def file_names(texts: Iterable[str], longest: int = _LONGEST) -> list[str]:
    """Return one file name for each text.

    Letters, digits, ``_``, ``-`` and ``.`` stay, everything else becomes ``_``. Texts that become the
    same name, on a system that tells no capitals or accents apart too, are numbered in their order.

    Examples
    --------
    >>> file_names(["x y.png", "x+y.png", "x_y.png_2", "../x"])
    ['x_y.png', 'x_y.png_2', 'x_y.png_2_2', 'x']
    """
    names: list[str] = []
    taken: set[str] = set()
    for text in texts:
        plain = _safe(text, longest)
        name, number = plain, 1
        while _key(name) in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(_key(name))
        names.append(name)
    return names


def picture_names(labels: Sequence[str], methods: Sequence[str]) -> dict[tuple[int, str], str]:
    """Return the file name of one picture per sample and method, by number of the sample and method."""
    pairs = [(index, label, method) for index, label in enumerate(file_names(labels)) for method in methods]
    # Together once more: "a_guided" and "grad_cam" make the same name as "a" and "guided_grad_cam".
    names = file_names((f"{label}_{method}" for _, label, method in pairs), longest=2 * _LONGEST)
    return {(index, method): f"{name}.png" for (index, _, method), name in zip(pairs, names, strict=True)}


def _safe(text: str, longest: int) -> str:
    plain = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text)).strip("_.")
    return plain.encode(errors="ignore")[:longest].decode(errors="ignore") or "sample"


def _key(name: str) -> str:
    """Return the same text for names that some file system takes for one."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
