"""Shapes on photographs: images whose class has a known place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.data.truth import Truth
from signxai_core.errors import ParameterError
from signxai_core.extras import need

Floats = npt.NDArray[np.float64]

#: Names of the classes; the first has no mask.
CLASSES = ("nothing", "circle", "square", "triangle", "cross")
SIDE = 48
#: Half the size of a shape, in pixels.
_SIZES = (8.0, 12.0)
#: Largest turn, in radians.
_TURN = 0.35
_EDGE = 0.75


def _triangle(x: Floats, y: Floats) -> Floats:
    sides = (y - 0.6, -y / 2 + x * 0.866 - 0.55, -y / 2 - x * 0.866 - 0.55)
    return np.asarray(np.maximum.reduce(sides))


def _cross(x: Floats, y: Floats) -> Floats:
    upright = np.maximum(np.abs(x) - 0.3, np.abs(y) - 1.0)
    return np.minimum(upright, np.maximum(np.abs(x) - 1.0, np.abs(y) - 0.3))


#: Class -> distance to its edge, in half sizes, negative inside.
_SHAPES: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {
        "circle": lambda x, y: np.hypot(x, y) - 0.95,
        "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,
        "triangle": _triangle,
        "cross": _cross,
    }
)


def shapes(count: int, *, seed: int = 0) -> Truth:
    """Draw images of 48 × 48 pixels: a shape of any colour, size, turn and place on a piece of a photograph.

    Parameters
    ----------
    count
        Images, the same number of every class, or nearly.
    seed
        Another one gives other images.

    Returns
    -------
    Truth
        ``x``: N × 3 × 48 × 48 in [0, 1]; ``mask``: the shape and its edge. The class ``nothing`` is the
        photograph alone.

    Examples
    --------
    >>> truth = shapes(5)
    >>> truth.x.shape, truth.classes[truth.labels[3]]
    ((5, 3, 48, 48), 'triangle')
    """
    need("sklearn", purpose="signxai_core.data.shapes, whose photographs scikit-learn brings,")
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - an extra, checked by need()

    if count < 1:
        raise ParameterError(f"count must be at least 1, got {count}")
    photographs = [image / 255 for image in load_sample_images().images]
    places = [index % len(CLASSES) for index in range(count)]
    made = [_image(CLASSES[k], photographs, np.random.default_rng([seed, i])) for i, k in enumerate(places)]
    x, normal, other, inside, moved = (np.stack(parts) for parts in zip(*made, strict=True))
    shape = x.shape
    return Truth(
        x=x.astype(np.float32),
        labels=np.array(places, dtype=np.int64),
        mask=np.broadcast_to(inside[:, None], shape).copy(),
        normal=normal.astype(np.float32),
        elsewhere=np.broadcast_to(moved[:, None], shape).copy(),
        other=other.astype(np.float32),
        classes=CLASSES,
    )


def _image(kind: str, photographs: list[Floats], random: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
    """Return an image, its background, what is put elsewhere, the mask, and a control."""
    background = _piece(photographs, random)
    noise = random.normal(0, 0.02, (2, SIDE, SIDE, 3))
    size, turn = random.uniform(*_SIZES), random.uniform(-_TURN, _TURN)
    reach = size * 1.45 + 1
    centre = random.uniform(reach, SIDE - 1 - reach, 2) if 2 * reach < SIDE - 1 else np.full(2, (SIDE - 1) / 2)
    colour = _colour(background, random)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    down, right = (rows - centre[0]) / size, (columns - centre[1]) / size
    x, y = right * np.cos(turn) - down * np.sin(turn), right * np.sin(turn) + down * np.cos(turn)
    distance = _SHAPES[kind](x, y) * size if kind in _SHAPES else np.full((SIDE, SIDE), np.inf)
    share = np.clip(0.5 - distance / (2 * _EDGE), 0, 1)[..., None]
    image = background * (1 - share) + colour * share
    mask = distance < _EDGE + 0.5
    moved = np.roll(mask, (SIDE // 2, SIDE // 2), axis=(0, 1)) & ~mask
    # The control puts another stretch of the same photograph elsewhere.
    other = np.flip(background, axis=1)
    pictures = (image + noise[0], background + noise[1], other + noise[1])
    x, normal, shifted = (np.moveaxis(np.clip(picture, 0, 1), -1, 0) for picture in pictures)
    return x, normal, shifted, mask, moved


def _piece(photographs: list[Floats], random: np.random.Generator) -> Floats:
    """Cut a piece out of a photograph, at any place, size and turn, darker or lighter."""
    photograph = photographs[random.integers(len(photographs))]
    step = int(random.integers(1, 5))
    top = random.integers(photograph.shape[0] - SIDE * step + 1)
    left = random.integers(photograph.shape[1] - SIDE * step + 1)
    piece = photograph[top : top + SIDE * step, left : left + SIDE * step]
    piece = piece.reshape(SIDE, step, SIDE, step, 3).mean(axis=(1, 3))
    piece = np.rot90(piece, int(random.integers(4)))
    piece = piece[:, ::-1] if random.random() < 0.5 else piece
    return np.asarray(piece * random.uniform(0.7, 1.0) + random.uniform(0, 0.1))


def _colour(background: Floats, random: np.random.Generator) -> Floats:
    """Draw a colour that can be told from the background's mean."""
    mean = background.mean(axis=(0, 1))
    while True:
        colour: Floats = random.uniform(0, 1, 3)
        if np.abs(colour - mean).max() > 0.4:
            return colour
