"""Images as arrays: every kind of pixel for what it is, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.errors import FileError
from signxai_core.extras import need

#: Pillow's modes whose values run from 0 to 255, or can be turned into such.
_BYTES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
#: Modes without a range of their own, in words.
_WITHOUT_RANGE = {"F": "fractions", "I": "32-bit whole numbers"}


def read_image(
    path: Path, *, grey: bool, size: tuple[int, int] | None, scale: tuple[float, float] | None
) -> npt.NDArray[np.float32]:
    """Return an image as height × width × channels, upright, its values scaled.

    Parameters
    ----------
    path
        A file that Pillow knows, with one frame.
    grey
        One channel instead of three.
    size
        Height and width to resize to (bilinear).
    scale
        What the lowest and highest value of the kind of pixel become: 0 and 255, or 0 and 65535 of 16
        bits. By default 0 and 1, but 16 bits need it said.

    Raises
    ------
    FileError
        When the file cannot be read, has several frames, or pixels without a range.
    """
    need("PIL", purpose=f"reading the image {path}")
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 - an extra, checked by need()

    try:
        with Image.open(path) as image:
            highest = _highest(image, path, scale)
            upright = ImageOps.exif_transpose(image)
            if highest == 65535:
                upright = Image.fromarray(np.asarray(upright).astype(np.float32))
            else:
                upright = upright.convert("L" if grey else "RGB")
            if size is not None:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(upright, dtype=np.float32)
    except FileError:
        raise
    except UnidentifiedImageError as error:
        known = "neither an image that Pillow knows, nor one of .npy, .npz, .csv, .tsv, .txt"
        raise FileError(f"cannot read {path}: {known}") from error
    except Exception as error:  # Pillow raises nearly anything at a broken file
        raise FileError(f"cannot read the image {path}: {error}") from error
    low, high = scale if scale is not None else (0.0, 1.0)
    scaled: npt.NDArray[np.float32] = np.float32(low) + pixels * np.float32((high - low) / highest)
    if scaled.ndim == 3:
        return scaled
    return np.repeat(scaled[..., None], 1 if grey else 3, axis=-1)


def _highest(image: Any, path: Path, scale: tuple[float, float] | None) -> int:
    """Return the highest value that the pixels can have, or refuse the image."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise FileError(f"{path} holds {frames} frames, and a sample is one image: save each as a file of its own")
    if image.mode in _BYTES:
        return 255
    if not image.mode.startswith("I;16"):
        kind = _WITHOUT_RANGE.get(image.mode, f"pixels of the mode {image.mode!r}")
        raise FileError(
            f"{path} holds {kind}, which have no range that --scale could start from; save what the model expects as "
            ".npy"
        )
    if scale is None:
        raise FileError(
            f"{path} has 16 bits per pixel: say with --scale LOW,HIGH what its values 0 and 65535 become, or save what "
            "the model expects as .npy (of 12-bit data in 16 bits, white is 4095, not 65535)"
        )
    return 65535
