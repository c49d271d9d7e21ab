"""Finding the user's model: ``package.module:callable`` or what a backend loads, and its weights."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from signxai_core.cli import options, packages
from signxai_core.cli.guard import import_order, neighbours
from signxai_core.cli.inputs import ARRAYS, RECORDS, SERIES, Layout, Reading
from signxai_core.cli.preprocess import Preprocess
from signxai_core.errors import BackendError, FileError, ModelError
from signxai_core.extras import is_file, is_folder
from signxai_core.registry import registry

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def load(path: str, *, weights: Path | None, backend: str | None) -> Any:
    """Return the model that ``path`` names, with its weights filled in.

    Parameters
    ----------
    path
        What a backend loads itself (a file, a folder, a name), or ``package.module:name``; the
        current folder can be imported from while the model is loaded. ``name`` is a callable that
        returns the model, or the model itself.
    weights
        File that the backend's own loader reads.
    backend
        Name of the backend, where neither the path nor the model's class tells.
    """
    owner = _loaded_by(path, backend)
    if owner is not None:
        with import_order():
            return packages.loading(owner).load_model(path, weights)
    if weights is not None and not is_file(weights):
        raise FileError(f"the weights {weights} are not a file")
    with import_order(), neighbours(Path.cwd(), path.partition(":")[0].partition(".")[0]):
        found = _find(path)
        model = found if _claimed_by(found) is not None else _call(found, path)
    if weights is not None:
        packages.loading(backend or _backend_of(model, path)).load_weights(model, weights)
    return model


def origin(path: str, weights: Path | None) -> dict[str, str]:
    """Return what a loaded model was made of, as far as it can be seen: texts, and hashes of the files they name."""
    module = sys.modules.get(path.partition(":")[0])
    source = Path(path) if module is None else Path(getattr(module, "__file__", None) or "")
    found = {"model": path, "model file": _digest(source)}
    return found if weights is None else {**found, "weights": str(weights), "weights file": _digest(weights)}


def _digest(path: Path) -> str:
    """Return the hash of a file, or of all files of a folder; nothing for what is neither."""
    files = [path] if is_file(path) else sorted(path.rglob("*")) if is_folder(path) and path.name else []
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(f"{file.relative_to(path)}\n".encode())
            with file.open("rb") as opened:
                while block := opened.read(2**20):
                    total.update(block)
    return total.hexdigest() if files else ""


def layout(model: object, given: options.Layout | None, backend: str | None) -> Layout:
    """Return where the model has its channels: as given, or where its backend usually has them."""
    if given is not None:
        return given.value
    known = packages.formats().get(backend or _claimed_by(model) or "")
    return "channels_first" if known is None else known.LAYOUT


def own_images(path: str, model: object, inputs: Sequence[Path], how: Reading) -> Reading:
    """Preprocess and resize images as a known model's were, where no option says otherwise.

    A known model is one by a name of its framework, such as ``keras.applications:VGG16``.
    """
    suffixes = {file.suffix.lower() for file in inputs}
    said = (how.preprocess, how.scale, how.mean, how.std) != (None,) * 4 or how.grey
    owner = _loaded_by(path, None)
    way = None if owner is None else packages.formats()[owner].preprocess(path)
    if way is None or not suffixes - {*ARRAYS, *SERIES, *RECORDS}:
        return how
    shape = getattr(model, "input_shape", None)
    known = isinstance(shape, tuple) and len(shape) == 4 and all(shape[1:3])
    size = how.size or ((int(shape[1]), int(shape[2])) if known and shape is not None else (224, 224))
    return attrs.evolve(how, size=size, preprocess=how.preprocess if said else Preprocess(way))


def class_names(path: str, weights: Path | None) -> tuple[str, ...]:
    """Return the names of a known model's classes, none where its weights are from a file or random."""
    owner = _loaded_by(path, None)
    if owner is None or weights is None or str(weights) != "imagenet":
        return ()
    return packages.loading(owner).class_names(path)


def _loaded_by(path: str, backend: str | None) -> str | None:
    """Return the backend that loads ``path`` itself, if one does."""
    owners = [name for name, known in packages.formats().items() if known.takes(path)]
    if owners and backend is not None and backend not in owners:
        raise BackendError(f"the model {path!r} is for the backend {owners[0]!r}, not for {backend!r}")
    return backend if backend in owners else next(iter(owners), None)


def _find(path: str) -> Any:
    if _PATH.fullmatch(path) is None:
        others = "".join(f"; {name} also takes {known.TAKES}" for name, known in packages.formats().items())
        raise ModelError(f"the model {path!r} is not of the form 'package.module:callable'{others}")
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the user's module is there; something that it imports is not
        place = f"in {Path.cwd()} or among the installed packages"
        raise ModelError(f"the model {path!r} cannot be found: no module {error.name!r} {place}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = ", ".join(name for name in vars(found) if not name.startswith("_")) or "nothing"
            raise ModelError(f"the model {path!r} cannot be found: {module_name!r} has no {part!r}; it has {names}")
        found = getattr(found, part)
    return found


def _call(found: Any, path: str) -> Any:
    if not callable(found):
        raise ModelError(
            f"{path!r} is of type {type(found).__name__}; expected a model, or a callable without arguments that "
            "returns one"
        )
    return found()


def _claimed_by(model: object) -> str | None:
    return next((name for name, owned in registry().backends.items() if owned.entry.claims(model)), None)


def _backend_of(model: object, path: str) -> str:
    name = _claimed_by(model)
    if name is None:
        raise BackendError(
            f"{path!r} gives a {type(model).__name__}, which no backend takes for its own; "
            f"name one with --backend: {', '.join(registry().backends) or 'none is installed'}"
        )
    return name
