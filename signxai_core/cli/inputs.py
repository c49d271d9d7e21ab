"""Reading inputs: images, NumPy arrays, and time series as CSV."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.cli.printing import printable
from signxai_core.errors import FileError, InputError, InputShapeError
from signxai_core.extras import need

Layout = Literal["channels_first", "channels_last"]
Array = npt.NDArray[Any]
ARRAYS = (".npy", ".npz")
SERIES = (".csv", ".tsv", ".txt")


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
        What the pixel values 0 and 255 become; 0 and 1 unless given.
    grey
        Turn images into one channel.
    mean, std
        Per channel, taken off and divided by after scaling; images and CSV.
    key
        Which array of an ``.npz`` file.
    """

    layout: Layout = "channels_first"
    size: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None
    grey: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    key: str | None = None


@attrs.frozen(eq=False)
class Inputs:
    """Samples as one batch, and what each is called."""

    array: Array
    labels: tuple[str, ...]


def read(paths: Sequence[Path], how: Reading) -> Inputs:
    """Read files into one batch.

    Images and CSV files are one sample each; ``.npy`` and ``.npz`` arrays carry their batch axis.
    """
    _refuse_idle_options(paths, how)
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
    return Inputs(np.concatenate(parts), tuple(labels))


def _reader(path: Path) -> Callable[[Path, Reading], Array]:
    if not path.is_file():
        raise FileError(f"the input {path} is not a file")
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return _read_array
    return _read_series if suffix in SERIES else _read_image


def _refuse_idle_options(paths: Sequence[Path], how: Reading) -> None:
    """Refuse options that would be ignored: the user expects them to do something."""
    suffixes = {path.suffix.lower() for path in paths}
    images = bool(suffixes - set(ARRAYS) - set(SERIES))
    series = bool(suffixes & set(SERIES))
    idle = [
        ("--size", how.size is not None and not images, "image files"),
        ("--scale", how.scale is not None and not images, "image files"),
        ("--grey", how.grey and not images, "image files"),
        ("--mean", how.mean is not None and not (images or series), "image and CSV files"),
        ("--std", how.std is not None and not (images or series), "image and CSV files"),
        ("--key", how.key is not None and ".npz" not in suffixes, ".npz files"),
    ]
    for option, is_idle, files in idle:
        if is_idle:
            raise InputError(f"{option} is for {files}, and no input is one: {', '.join(map(str, paths))}")


def _read_array(path: Path, how: Reading) -> Array:
    try:
        # Opened here, because NumPy leaves a broken zip file open.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _chosen(loaded, path, how.key)
    except FileError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read {path} as a NumPy file: {error}") from error


def _chosen(arrays: Any, path: Path, wanted: str | None) -> Array:
    keys = arrays.files
    key = wanted if wanted is not None or len(keys) != 1 else keys[0]
    if key not in keys:
        given = "several arrays" if key is None else f"no array {key!r}"
        raise FileError(f"{path} holds {given}; choose one with --key: {', '.join(keys) or 'none'}")
    return np.asarray(arrays[key])


def _read_image(path: Path, how: Reading) -> Array:
    need("PIL", purpose=f"reading the image {path}")
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra, checked by need()

    try:
        with Image.open(path) as image:
            pixels = image.convert("L" if how.grey else "RGB")
            if how.size is not None:
                pixels = pixels.resize(how.size[::-1], Image.Resampling.BILINEAR)
            array = np.asarray(pixels, dtype=np.float32)
    except UnidentifiedImageError as error:
        kinds = ", ".join((*ARRAYS, *SERIES))
        raise FileError(f"cannot read {path}: neither an image that Pillow knows, nor one of {kinds}") from error
    except OSError as error:
        raise FileError(f"cannot read the image {path}: {error}") from error
    low, high = how.scale if how.scale is not None else (0.0, 1.0)
    array = np.float32(low) + array * np.float32((high - low) / 255)
    return _finish(array[..., None] if how.grey else array, path, how)


def _read_series(path: Path, how: Reading) -> Array:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {path} as text: {error}") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t ", key=head.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True) if row]
    if rows and not any(_is_number(cell) for cell in rows[0]):
        header, rows = 1, rows[1:]
    else:
        header = 0
    if not rows:
        raise FileError(f"{path} holds no rows of numbers; expected rows = time steps, columns = channels")
    for number, row in enumerate(rows, start=1 + header):
        if len(row) != len(rows[0]):
            raise FileError(f"{path}, row {number}: {len(row)} columns, but the first row has {len(rows[0])}")
        for column, cell in enumerate(row, start=1):
            if not _is_number(cell):
                raise FileError(f"{path}, row {number}, column {column}: {cell!r} is not a number")
    return _finish(np.array(rows, dtype=np.float32), path, how)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
