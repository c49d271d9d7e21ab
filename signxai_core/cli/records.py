"""WFDB records as inputs; the extra ``ecg`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.extras import need

SUFFIX = ".hea"
Leads = tuple[str, ...]


def facts(paths: Sequence[Path], rate: float | None, leads: Leads | None) -> tuple[float | None, Leads | None]:
    """Return sampling rate and leads: those given, else those of the first record."""
    first = next((path for path in paths if path.suffix.lower() == SUFFIX), None)
    if first is None or (rate is not None and leads is not None):
        return rate, leads
    recording = _recording(first, leads)
    return rate or recording.sampling_rate, leads or recording.leads


def read_record(path: Path, rate: float | None, leads: Leads | None) -> npt.NDArray[np.float32]:
    """Return a record as samples × leads in millivolts, with this sampling rate and these leads."""
    recording = _recording(path, leads)
    from signxai_core import ecg  # noqa: PLC0415 - an extra, checked when the record was read

    recording = recording if rate is None else ecg.resample(recording, rate)
    return np.ascontiguousarray(recording.signal.T, dtype=np.float32)


def _recording(path: Path, leads: Leads | None) -> Any:
    need("scipy", "wfdb", purpose=f"reading the record {path}", extra="ecg")
    from signxai_core import ecg  # noqa: PLC0415 - an extra

    return ecg.read(path, leads=leads)
