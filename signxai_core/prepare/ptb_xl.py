"""Four records of PTB-XL, as the predecessor's examples used them, from PhysioNet."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from signxai_core import ecg
from signxai_core.cli import files
from signxai_core.errors import FileError

RECORDS = ("02906", "03509", "12131", "14493")
#: PTB-XL is published under CC BY 4.0 (Wagner et al. 2020, https://doi.org/10.13026/kfzx-aw45).
ADDRESS = "https://physionet.org/files/ptb-xl/1.0.3/records500"
_SECONDS = 30

Open = Callable[..., Any]


def addresses(record: str) -> dict[str, str]:
    """Return the files of a record at 500 Hz, by name, and where they are."""
    folder = f"{int(record) // 1000 * 1000:05d}"
    return {f"{record}_hr.{end}": f"{ADDRESS}/{folder}/{record}_hr.{end}" for end in ("hea", "dat")}


def fetch(folder: Path, opened: Open = urllib.request.urlopen) -> list[Path]:
    """Download the records, and read each once; return the paths of their headers.

    Raises
    ------
    FileError
        When a file cannot be had, or is no ECG of twelve leads, 10 s and 500 Hz.
    """
    return [_fetched(record, folder, opened) for record in RECORDS]


def _fetched(record: str, folder: Path, opened: Open) -> Path:
    for name, address in addresses(record).items():
        try:
            with opened(address, timeout=_SECONDS) as answer:
                content = answer.read()
        except (OSError, urllib.error.URLError) as error:
            raise FileError(
                f"cannot fetch {address}: {error}. Without a network, leave --ptb-xl out, or put the files into "
                f"{folder}"
            ) from error
        files.write(folder / name, content)
    header = folder / f"{record}_hr.hea"
    recording = ecg.read(header)
    if (len(recording.leads), recording.sampling_rate, recording.seconds) != (12, 500.0, 10.0):
        raise FileError(f"{header} is not what PTB-XL holds: {recording!r}, expected 12 leads, 10 s, 500 Hz")
    return header
