"""Models and weights from files; never by running Python code that a file holds.

A SavedModel is a graph of TensorFlow operations, and those can read and write files: load one only
from a source that you trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from signxai_core.errors import FileError, ModelError, nearest_names
from signxai_core.extras import is_file, is_older
from signxai_tf import formats

_WEIGHTS = (".weights.h5", ".h5", ".keras")
#: Weights that keras.applications fetches.
_PRETRAINED = "imagenet"
#: From here on safe mode keeps what it promises.
_SAFE = (3, 11)


def load_model(text: str, weights: Path | None) -> Any:
    """Return the model that the text names (see :mod:`signxai_tf.formats`), weights filled in.

    Parameters
    ----------
    text
        ``keras.applications:NAME``, a ``.keras`` file (read in safe mode), or a SavedModel's folder.
    weights
        File for :func:`load_weights`. An architecture of ``keras.applications`` has random weights
        without it, and also takes ``imagenet``, which Keras downloads.

    Raises
    ------
    FileError
        When the file cannot be read.
    ModelError
        For names that ``keras.applications`` does not have.
    """
    if text.startswith(formats.APPLICATIONS):
        return _application(text.removeprefix(formats.APPLICATIONS), weights)
    path = Path(text)
    model = _keras_file(path) if path.suffix.lower() == formats.SUFFIX else _saved_model(path)
    if weights is not None:
        load_weights(model, weights)
    return model


def load_weights(model: Any, path: Path) -> None:
    """Fill ``model`` from a file; the model stays as it was where that fails.

    Parameters
    ----------
    model
        A Keras model that has been built.
    path
        ``.weights.h5`` (``model.save_weights``), or a whole model (``.keras``) of the same
        architecture, of which only the weights are read.

    Raises
    ------
    FileError
        When the file cannot be read, or its weights are not the model's.
    ModelError
        When the model is no Keras model, or has no weights yet.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"weights can be loaded into a keras.Model, not into a {type(model).__name__}")
    if not model.built:
        raise ModelError(f"the model {model.name!r} has no weights yet: call it once on an example in its callable")
    if not is_file(path):
        raise FileError(f"the weights {path} are not a file")
    if path.suffix.lower() == formats.SUFFIX and is_older(keras.__version__, _SAFE):
        raise FileError(
            f"{path} is not read with Keras {keras.__version__}: before 3.11 a whole model in a file is not safe. "
            "Update Keras, or give the weights as .weights.h5"
        )
    if not path.name.lower().endswith(_WEIGHTS):
        raise FileError(f"cannot read the weights {path}: expected a file that ends in {', '.join(_WEIGHTS)}")
    before = model.get_weights()
    try:
        model.load_weights(path)
    except Exception as error:
        model.set_weights(before)
        raise FileError(f"the weights in {path} are not this model's: {_first_line(error)}") from error


def _keras_file(path: Path) -> Any:
    if not is_file(path):
        raise FileError(f"the model {path} is not a file")
    if is_older(keras.__version__, _SAFE):
        raise FileError(
            f"{path} is not loaded with Keras {keras.__version__}: before 3.11 a file made for it can run code in "
            "spite of safe mode. Update Keras, or give 'package.module:callable', a function of yours that builds the "
            "model, and its weights as .weights.h5"
        )
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise FileError(
            f"cannot load {path} in safe mode: {_first_line(error)}. Python code in the file (a Lambda layer) is "
            "never run, and classes of your own are not known here: for both, give 'package.module:callable' "
            "instead, a function of yours that builds or loads the model"
        ) from error


def _saved_model(path: Path) -> Any:
    try:
        return tf.saved_model.load(str(path))
    except Exception as error:
        raise FileError(f"cannot load {path} as a SavedModel: {_first_line(error)}") from error


def _application(name: str, weights: Path | None) -> Any:
    build = getattr(keras.applications, name, None)
    # The functions are capitalised, the modules that hold them are not.
    known = [key for key in dir(keras.applications) if key[0].isupper()]
    if name not in known or build is None:
        near = nearest_names(name, known)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"keras.applications has no {name!r}{hint} It has {', '.join(known)}")
    if weights is None or str(weights) != _PRETRAINED:
        model = build(weights=None)
        if weights is not None:
            load_weights(model, weights)
        return model
    try:
        return build(weights=_PRETRAINED)
    except Exception as error:
        raise FileError(
            f"the weights {_PRETRAINED!r} of {name} are neither stored in Keras' folder nor could they be "
            f"downloaded: {_first_line(error)}. Give a file of weights with --weights FILE, or leave --weights out "
            "for random ones"
        ) from error


def class_names(text: str) -> tuple[str, ...]:
    """Return the names of ImageNet's classes, which Keras' own weights tell apart; none where they cannot be had."""
    decode = keras.applications.imagenet_utils.decode_predictions
    try:
        return tuple(best[0][1] for best in decode(np.eye(1000, dtype=np.float32), top=1))
    except Exception:  # noqa: BLE001 - the list is downloaded, and only a convenience
        return ()


def _first_line(error: Exception) -> str:
    """Return what went wrong, in one line without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
