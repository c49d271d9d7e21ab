"""The three customary ways to turn pixels into what image networks were trained on."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Preprocess(str, Enum):
    """Names of the ways, as Keras has them.

    ``caffe``: blue, green, red, each from 0 to 255 less the mean of ImageNet. ``torch``: 0 to 1, less
    ImageNet's mean, divided by its standard deviation. ``tf``: −1 to 1. ``raw``: 0 to 255, for networks
    that begin with a scaling of their own.
    """

    caffe = "caffe"
    torch = "torch"
    tf = "tf"
    raw = "raw"


_CAFFE = np.array([103.939, 116.779, 123.68], dtype=np.float32)
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def applied(pixels: Array, how: Preprocess) -> Array:
    """Return an image of values from 0 to 255 (height × width × red, green, blue) as the network wants it."""
    image = np.asarray(pixels, dtype=np.float32)
    if how is Preprocess.caffe:
        return np.ascontiguousarray(image[..., ::-1]) - _CAFFE
    if how is Preprocess.torch:
        return np.asarray((image / np.float32(255) - _MEAN) / _STD)
    if how is Preprocess.tf:
        return np.asarray(image / np.float32(127.5) - np.float32(1))
    return image


def shown(image: Array, how: Preprocess) -> Array:
    """Return a preprocessed image (channels last) with red, green and blue in this order, for drawing."""
    return image[..., ::-1] if how is Preprocess.caffe else image
