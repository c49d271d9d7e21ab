"""Packages that only some commands need, and what a backend's package brings for them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from signxai_core.errors import BackendError
from signxai_core.registry import registry


class Formats(Protocol):
    """Module ``formats`` in the package of a backend's factory, where it has one; imports no framework.

    It says which texts name a model that the backend's ``loading`` loads: files, folders, names.
    """

    #: Those texts in words, for errors.
    TAKES: str
    #: Where models of this backend usually have their channels.
    LAYOUT: Literal["channels_first", "channels_last"]

    def takes(self, text: str) -> bool:
        """Return whether ``text`` names such a model."""

    def preprocess(self, text: str) -> str | None:
        """Return which :class:`~signxai_core.cli.preprocess.Preprocess` such a model was trained with, if known."""


class Loading(Protocol):
    """Module ``loading`` in the package of a backend's factory: how its weights and models are read."""

    def load_model(self, text: str, weights: Path | None) -> Any:
        """Return the model that ``text`` names, weights filled in; only with a module ``formats``."""

    def class_names(self, text: str) -> tuple[str, ...]:
        """Return the names of the classes of such a model with its own weights; only with ``formats``."""

    def load_weights(self, model: Any, path: Path) -> None:
        """Fill ``model`` from a file, without ever running code that the file holds.

        Raises :class:`~signxai_core.errors.FileError` when the file cannot be read, or does not fit
        the model.
        """


class DemoModel(Protocol):
    """Module ``demo_model`` in the package of a backend's factory: small networks for the demo."""

    #: Axis of the channels in images and series.
    CHANNEL_AXIS: int
    #: The network of the images for ``signxai explain``, and what its file of weights is called.
    MODEL: str
    WEIGHTS: str

    def train(self, x: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], *, classes: int, seed: int) -> Any:
        """Return a trained classifier of images (four axes) or series (three axes)."""

    def predict(self, model: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the class of every sample."""

    def encode(self, model: Any) -> bytes:
        """Return the content of a file that ``loading.load_weights`` reads."""

    def version(self) -> str:
        """Return name and version of the framework."""


class ExampleModels(Protocol):
    """Module ``example_models`` in the package of a backend's factory: networks for data with known truth."""

    #: Where samples have their channels.
    CHANNELS: Literal["first", "last"]
    #: Ending of the files that ``encode`` fills.
    SUFFIX: str

    def trained(self, name: str) -> Any:
        """Return a network that comes along, trained."""

    def predict(self, model: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return the class of every sample."""

    def encode(self, model: Any) -> bytes:
        """Return the content of a file that ``loading`` reads."""

    def version(self) -> str:
        """Return name and version of the framework."""


def formats() -> dict[str, Formats]:
    """Return, by backend, the modules that know names of models; no framework is imported."""
    found: dict[str, Formats] = {}
    for name in registry().backends:
        path = _path(name, "formats")
        try:
            found[name] = cast("Formats", importlib.import_module(path))
        except ModuleNotFoundError as error:
            if error.name is None or not f"{path}.".startswith(f"{error.name}."):
                raise
    return found


def loading(backend: str) -> Loading:
    """Return the module that reads weights and models for ``backend``."""
    return cast("Loading", _companion(backend, "loading", "--weights"))


def demo_model(backend: str) -> DemoModel:
    """Return the module that trains the demo's networks for ``backend``."""
    return cast("DemoModel", _companion(backend, "demo_model", "signxai demo"))


def example_models(backend: str) -> ExampleModels:
    """Return the module with the networks for data with known truth for ``backend``."""
    return cast("ExampleModels", _companion(backend, "example_models", "signxai prepare"))


def _path(backend: str, name: str) -> str:
    """Return the path of ``name`` in the package in which the backend's factory lies."""
    module = str(registry().backend(backend).entry.factory).partition(":")[0]
    return f"{module.rpartition('.')[0] or module}.{name}"


def _companion(backend: str, name: str, purpose: str) -> Any:
    """Import ``name`` from the package in which the backend's factory lies."""
    owned, path = registry().backend(backend), _path(backend, name)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise BackendError(
                f"{purpose} with the backend {backend!r} needs {error.name}, which is not installed"
            ) from error
        raise BackendError(
            f"{purpose} does not work with the backend {backend!r}: plugin {owned.owner!r} has no module {path!r}"
        ) from error
