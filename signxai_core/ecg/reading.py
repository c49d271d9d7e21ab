"""Reading ECGs: WFDB records, CSV tables, NumPy files."""

from __future__ import annotations

import csv
import importlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from signxai_core.ecg.recording import Recording, factor, from_array
from signxai_core.errors import FileError, InputShapeError, ParameterError
from signxai_core.extras import need
from signxai_core.leads import spelled

Missing = Literal["error", "interpolate"]
#: Names of a column that holds the time in seconds.
_TIME = ("time", "t", "seconds", "time_s", "time [s]", "time (s)")
_TABLES = (".csv", ".tsv", ".txt")
_ARRAYS = (".npy", ".npz")


def read(
    path: str | Path,
    *,
    sampling_rate: float | None = None,
    leads: Sequence[str] | None = None,
    unit: str | None = None,
    missing: Missing = "error",
) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path
        A WFDB record (``.hea``, ``.dat``, or the record's name without an ending), a table (``.csv``,
        ``.tsv``, ``.txt``: one row per sample, one column per lead, names in the first row), or an array
        (``.npy``, or ``.npz`` with one array): the longer axis is time.
    sampling_rate
        In hertz. A WFDB record states it; a table may have a column ``time`` in seconds.
    leads
        Names, where the file has none; else those that are read, in this order.
    unit
        Of tables and arrays: ``"mV"`` (default), ``"uV"``, ``"V"``. A WFDB record states it.
    missing
        ``"error"``, or ``"interpolate"``: fill gaps in from their neighbours.

    Raises
    ------
    FileError
        When the file cannot be read.
    ParameterError
        When nothing tells the sampling rate.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix in _TABLES:
        values, names, rate, factors = _table(place, sampling_rate, unit)
    elif suffix in _ARRAYS:
        values, names, rate, factors = _array(place, sampling_rate, unit)
    else:
        if unit is not None:
            raise ParameterError(f"the WFDB record {place} states its units; unit={unit!r} is for tables and arrays")
        values, names, rate, factors = _wfdb(place, sampling_rate)
    if missing not in ("error", "interpolate"):
        raise ParameterError(f"missing must be 'error' or 'interpolate', got {missing!r}")
    if missing == "interpolate":
        values = np.stack([_filled(row, place) for row in values])
    values = values * factors[:, None]
    if names is None:
        return from_array(values, rate, leads=leads, name=place.stem)
    recording = Recording(signal=values, sampling_rate=rate, leads=tuple(map(spelled, names)), name=place.stem)
    return recording if leads is None else _chosen(recording, leads)


_Read = tuple[npt.NDArray[np.float64], Sequence[str] | None, float, npt.NDArray[np.float64]]


def _chosen(recording: Recording, leads: Sequence[str]) -> Recording:
    rows = np.stack([recording.lead(lead) for lead in leads])
    return Recording(
        signal=rows, sampling_rate=recording.sampling_rate, leads=tuple(map(spelled, leads)), name=recording.name
    )


def _wfdb(path: Path, given: float | None) -> _Read:
    wfdb = wfdb_package(f"reading the WFDB record {path}")
    name = path.with_suffix("") if path.suffix.lower() in (".hea", ".dat", ".mat") else path
    header = name.with_name(f"{name.name}.hea")
    if not header.is_file():
        raise FileError(f"there is no WFDB record {name}: its header {header} is not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb's own, about pandas
            record: Any = wfdb.rdrecord(str(name))
        values = np.asarray(record.p_signal, dtype=np.float64).T
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise FileError(f"cannot read the WFDB record {name}: {error}") from error
    if given is not None and given != record.fs:
        raise ParameterError(f"the WFDB record {name} has {record.fs:g} Hz, not {given:g}; resample() changes it")
    try:
        factors = np.array([factor(unit) for unit in record.units])
    except ParameterError as error:
        raise FileError(f"the WFDB record {name} is not one of voltages: {error}") from error
    return values, list(record.sig_name), float(record.fs), factors


def wfdb_package(purpose: str) -> Any:
    """Import wfdb, which warns on import about its own use of pandas."""
    need("wfdb", purpose=purpose, extra="ecg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("wfdb")


def write(recording: Recording, folder: str | Path) -> Path:
    """Write a recording as a WFDB record of 16 bits, and return the path of its header.

    Parameters
    ----------
    recording
        Its ``name``, of letters, digits, ``-`` and ``_``, becomes the files'.
    folder
        Must exist.
    """
    wfdb = wfdb_package("writing WFDB records")
    if re.fullmatch(r"[\w-]+", recording.name, re.ASCII) is None:
        raise ParameterError(f"a WFDB record is named by letters, digits, - and _, not {recording.name!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # wfdb's own, about pandas
            wfdb.wrsamp(
                recording.name,
                fs=recording.sampling_rate,
                units=["mV"] * len(recording.leads),
                sig_name=list(recording.leads),
                p_signal=recording.signal.T,
                fmt=["16"] * len(recording.leads),
                write_dir=str(folder),
            )
    except OSError as error:
        raise FileError(f"cannot write the WFDB record {recording.name} to {folder}: {error}") from error
    return Path(folder) / f"{recording.name}.hea"


def _table(path: Path, given: float | None, unit: str | None) -> _Read:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {path} as text: {error}") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t ", key=head.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True) if row]
    names = [cell.strip() for cell in rows[0]] if rows and not all(map(_is_number, rows[0])) else None
    rows = rows if names is None else rows[1:]
    if not rows:
        raise FileError(f"{path} holds no rows of numbers; expected rows = samples, columns = leads")
    for number, row in enumerate(rows, start=1 + (names is not None)):
        if len(row) != len(rows[0]) or (names is not None and len(row) != len(names)):
            raise FileError(f"{path}, row {number}: {len(row)} columns, but there are {len(names or rows[0])}")
        for column, cell in enumerate(row, start=1):
            if cell.strip() and not _is_number(cell):
                raise FileError(f"{path}, row {number}, column {column}: {cell!r} is not a number")
    values = np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows]).T
    rate = given
    if names is not None and names[0].lower() in _TIME:
        measured = _rate(values[0], path)
        if given is not None and not np.isclose(given, measured, rtol=1e-3):
            raise ParameterError(f"the times in {path} mean {measured:g} Hz, not {given:g}")
        rate, values, names = given or measured, values[1:], names[1:]
    return values, names, _known(rate, path), np.full(len(values), factor(unit or "mV"))


def _rate(times: npt.NDArray[np.float64], path: Path) -> float:
    steps = np.diff(times)
    if len(steps) == 0 or steps.min() <= 0 or not np.allclose(steps, np.median(steps), rtol=0.05):
        raise FileError(f"the times in the first column of {path} do not rise in even steps")
    return float(round(1 / float((times[-1] - times[0]) / len(steps)), 6))


def _array(path: Path, given: float | None, unit: str | None) -> _Read:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except (OSError, ValueError, EOFError) as error:
        raise FileError(f"cannot read {path} as a NumPy file: {error}") from error
    if len(arrays) != 1:
        raise FileError(f"{path} holds {len(arrays)} arrays; expected one")
    values = np.squeeze(np.asarray(arrays[0], dtype=np.float64))
    values = values[None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise InputShapeError(f"{path} has shape {values.shape}; an ECG has two axes, leads and samples")
    values = values.T if values.shape[0] > values.shape[1] else values
    return values, None, _known(given, path), np.full(len(values), factor(unit or "mV"))


def _known(rate: float | None, path: Path) -> float:
    if rate is None:
        raise ParameterError(f"{path} does not state its sampling rate; give it: sampling_rate=...")
    return rate


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _filled(row: npt.NDArray[np.float64], path: Path) -> npt.NDArray[np.float64]:
    known = np.isfinite(row)
    if not known.any():
        raise FileError(f"a lead of {path} holds no value at all")
    return np.interp(np.arange(len(row)), np.flatnonzero(known), row[known])
