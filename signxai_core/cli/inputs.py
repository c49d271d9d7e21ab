"""Reading inputs: images, NumPy arrays, and time series as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.cli import records
from signxai_core.cli.images import read_image
from signxai_core.cli.preprocess import Preprocess, applied
from signxai_core.cli.printing import printable
from signxai_core.errors import FileError, InputError, InputShapeError
from signxai_core.extras import is_file

Layout = Literal["channels_first", "channels_last"]
Array = npt.NDArray[Any]
ARRAYS = (".npy", ".npz")
SERIES = (".csv", ".tsv", ".txt")
RECORDS = (records.SUFFIX,)


@attrs.frozen(kw_only=True)
class Reading:
    """How files become samples.

    Parameters
    ----------
    layout
        Where the channels lie.
    size
        Height and width that images are resized to (bilinear).
    scale
        What the pixel values 0 and 255 become, or 0 and 65535 of images with 16 bits; 0 and 1 unless given.
    grey
        Turn images into one channel.
    mean, std
        Per channel, taken off and divided by after scaling; images and CSV.
    key
        Which array of an ``.npz`` file.
    preprocess
        What becomes of images instead of ``scale``, ``mean`` and ``std``.
    sampling_rate
        Of series, in hertz; records are resampled to it.
    leads
        Names of the channels of series; records are put in this order.
    """

    layout: Layout = "channels_first"
    size: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None
    grey: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    key: str | None = None
    preprocess: Preprocess | None = None
    sampling_rate: float | None = None
    leads: tuple[str, ...] | None = None


@attrs.frozen(eq=False)
class Inputs:
    """Samples as one batch, what each is called, and what is known about series."""

    array: Array
    labels: tuple[str, ...]
    sampling_rate: float | None = None
    leads: tuple[str, ...] | None = None


def read(paths: Sequence[Path], how: Reading) -> Inputs:
    """Read files into one batch.

    Images and CSV files are one sample each; ``.npy`` and ``.npz`` arrays carry their batch axis.
    """
    _refuse_idle_options(paths, how)
    rate, leads = records.facts(paths, how.sampling_rate, how.leads)
    how = attrs.evolve(how, sampling_rate=rate, leads=leads)
    parts = [_reader(path)(path, how) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.ndim == 0:
            raise InputShapeError(f"{path} holds a single number; expected an array with a batch axis")
        if part.shape[1:] != parts[0].shape[1:]:
            raise InputShapeError(
                f"{path} holds samples of shape {part.shape[1:]}, but {paths[0]} of {parts[0].shape[1:]}; "
                "samples of one call must have one shape (images: --size HEIGHTxWIDTH)"
            )
    labels: list[str] = []
    for path, part in zip(paths, parts, strict=True):
        single = path.suffix.lower() not in ARRAYS or len(part) == 1
        name = printable(path.name)
        labels += [name] if single else [f"{name}[{i}]" for i in range(len(part))]
    return Inputs(np.concatenate(parts), tuple(labels), rate, leads)


def _reader(path: Path) -> Callable[[Path, Reading], Array]:
    if not is_file(path):
        raise FileError(f"the input {path} is not a file")
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return _read_array
    if suffix in RECORDS:
        return _read_record
    return _read_series if suffix in SERIES else _read_image


def _refuse_idle_options(paths: Sequence[Path], how: Reading) -> None:
    """Refuse options that would be ignored: the user expects them to do something."""
    suffixes = {path.suffix.lower() for path in paths}
    images = bool(suffixes - {*ARRAYS, *SERIES, *RECORDS})
    series = bool(suffixes & {*SERIES, *RECORDS})
    arrays = bool(suffixes & set(ARRAYS))
    if how.preprocess is not None and (how.grey or (how.scale, how.mean, how.std) != (None, None, None)):
        raise InputError("--preprocess says what --scale, --mean, --std and --grey would: give the one or the others")
    idle = [
        ("--size", how.size is not None and not images, "image files"),
        ("--scale", how.scale is not None and not images, "image files"),
        ("--grey", how.grey and not images, "image files"),
        ("--mean", how.mean is not None and not (images or series), "image and CSV files"),
        ("--std", how.std is not None and not (images or series), "image and CSV files"),
        ("--preprocess", how.preprocess is not None and not images, "image files"),
        ("--sampling-rate", how.sampling_rate is not None and not (arrays or series), "series"),
        ("--leads", how.leads is not None and not (arrays or series), "series"),
        ("--key", how.key is not None and ".npz" not in suffixes, ".npz files"),
    ]
    for option, is_idle, files in idle:
        if is_idle:
            raise InputError(f"{option} is for {files}, and no input is one: {', '.join(map(str, paths))}")


def _read_array(path: Path, how: Reading) -> Array:
    return read_array(path, how.key)


def read_array(path: Path, key: str | None = None) -> Array:
    """Read ``.npy``, or one array of ``.npz``, without ever running code that the file holds."""
    try:
        # Opened here, because NumPy leaves a broken zip file open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _chosen(loaded, path, key)
    except FileError:
        raise
    except Exception as error:  # NumPy raises nearly anything at a broken file
        raise FileError(f"cannot read {path} as a NumPy file: {error}") from error


def _chosen(arrays: Any, path: Path, wanted: str | None) -> Array:
    keys = arrays.files
    key = wanted if wanted is not None or len(keys) != 1 else keys[0]
    if key not in keys:
        given = "several arrays" if key is None else f"no array {key!r}"
        raise FileError(f"{path} holds {given}; choose one with --key: {', '.join(keys) or 'none'}")
    return np.asarray(arrays[key])


def _read_image(path: Path, how: Reading) -> Array:
    if how.preprocess is None:
        return _finish(read_image(path, grey=how.grey, size=how.size, scale=how.scale), path, how)
    return _finish(applied(read_image(path, grey=False, size=how.size, scale=(0, 255)), how.preprocess), path, how)


def _read_record(path: Path, how: Reading) -> Array:
    return _finish(records.read_record(path, how.sampling_rate, how.leads), path, how)


def _read_series(path: Path, how: Reading) -> Array:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {path} as text: {error}") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t ", key=head.count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True) if row]
    except csv.Error as error:
        raise FileError(f"cannot read {path} as a table: {error}") from error
    header = int(bool(rows) and not any(_is_number(cell) for cell in rows[0]))
    if not rows[header:]:
        raise FileError(f"{path} holds no rows of numbers; expected rows = time steps, columns = channels")
    for number, row in enumerate(rows[header:], start=1 + header):
        if len(row) != len(rows[header]):
            raise FileError(f"{path}, row {number}: {len(row)} columns, but the first row has {len(rows[header])}")
        for column, cell in enumerate(row, start=1):
            problem = _problem(cell)
            if problem is not None:
                raise FileError(f"{path}, row {number}, column {column}: {cell!r} {problem}")
    return _finish(np.array(rows[header:], dtype=np.float32), path, how)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _problem(cell: str) -> str | None:
    """Return why a cell cannot become a float32, if it cannot."""
    if not _is_number(cell):
        return "is not a number"
    if not math.isfinite(float(cell)):
        return "is not a finite number"
    return "is too large for float32" if abs(float(cell)) > float(np.finfo(np.float32).max) else None


def _finish(sample: Array, path: Path, how: Reading) -> Array:
    """Standardise a sample with channels last, and give it its layout and a batch axis."""
    channels = sample.shape[-1]
    for option, values in (("--mean", how.mean), ("--std", how.std)):
        if values is not None and len(values) not in (1, channels):
            raise InputShapeError(f"{option} has {len(values)} numbers, but {path} has {channels} channel(s)")
    if how.std is not None and 0 in how.std:
        raise InputError("--std holds a 0, which nothing can be divided by")
    if how.mean is not None:
        sample = sample - np.asarray(how.mean, dtype=np.float32)
    if how.std is not None:
        sample = sample / np.asarray(how.std, dtype=np.float32)
    if how.layout == "channels_first":
        sample = np.ascontiguousarray(np.moveaxis(sample, -1, 0))
    return sample[None]
