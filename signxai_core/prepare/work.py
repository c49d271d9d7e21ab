"""Write everything that the tutorials need."""

from __future__ import annotations

import importlib.resources
import importlib.util
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from rich.console import Console

from signxai_core import data
from signxai_core.cli import files, packages
from signxai_core.cli.printing import say
from signxai_core.data.recipes import RECIPES
from signxai_core.errors import BackendError
from signxai_core.extras import need
from signxai_core.prepare.notebooks import notebook

#: Backends whose networks come along, and the package that holds them.
_PACKAGES: Mapping[str, str] = MappingProxyType({"torch": "signxai_torch", "tensorflow": "signxai_tf"})
_SCRIPTS = ("ecg", "judge")
_SEED = 11


@attrs.frozen(kw_only=True)
class Request:
    """What the user asked for."""

    folder: Path
    ptb_xl: bool
    overwrite: bool


def run(request: Request, out: Console, err: Console) -> None:
    """Write examples for whichever frameworks are installed."""
    need("sklearn", "PIL", "matplotlib", "cmcrameri", purpose="signxai prepare")
    need("scipy", "wfdb", "neurokit2", purpose="signxai prepare", extra="ecg")
    installed = {name: package for name, package in _PACKAGES.items() if importlib.util.find_spec(name) is not None}
    if not installed:
        raise BackendError("signxai prepare needs PyTorch or TensorFlow: pip install 'signxai-core[torch]'")
    with err.status("preparing"):
        contents = dict(_contents(installed))
    planned = [request.folder / name for name in contents]
    files.refuse_existing(planned, overwrite=request.overwrite)
    for name, content in contents.items():
        files.write(request.folder / name, content)
    say(out, f"{len(contents)} files in {request.folder}; begin with {request.folder / 'README.md'}")
    if request.ptb_xl:
        from signxai_core.prepare import ptb_xl  # noqa: PLC0415 - the network is asked for

        with err.status("PhysioNet"):
            headers = ptb_xl.fetch(request.folder / "ptb-xl")
        say(out, f"{len(headers)} records of PTB-XL in {request.folder / 'ptb-xl'}")


def _contents(installed: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all files."""
    yield from _recordings()
    yield from _images()
    for backend in installed:
        models = packages.example_models(backend)
        for name in RECIPES:
            yield f"models/{name}{models.SUFFIX}", models.encode(models.trained(name))
    first = next(iter(installed))
    values = {"package": installed[first], "channels": packages.example_models(first).CHANNELS}
    for name in _SCRIPTS:
        script = Template(_text(f"{name}.py.txt")).substitute(values)
        yield f"scripts/{name}.py", script.encode()
        yield f"tutorials/{name}.ipynb", notebook(script).encode()
    parts = [_text("README.md"), *(_text(f"README.{backend}.md") for backend in installed), _text("README.end.md")]
    yield "README.md", "\n".join(parts).encode()


def _text(name: str) -> str:
    return importlib.resources.files("signxai_core.prepare").joinpath("files").joinpath(name).read_text("utf-8")


def _recordings() -> Iterator[tuple[str, bytes]]:
    """Yield one WFDB record per class, and the names of the classes."""
    from signxai_core import ecg  # noqa: PLC0415 - an extra, checked by need()

    truth = data.ecgs(5, seed=_SEED)
    with tempfile.TemporaryDirectory() as folder:
        for x, label in zip(truth.x, truth.labels, strict=True):
            name = truth.classes[label].replace(" ", "_")
            header = ecg.write(ecg.from_array(x, 500, name=name), folder)
            for path in (header, header.with_suffix(".dat")):
                yield f"ecg/{path.name}", path.read_bytes()
    yield "ecg/classes.txt", "\n".join(truth.classes).encode()


def _images() -> Iterator[tuple[str, bytes]]:
    """Yield scikit-learn's photographs, one image per class of shapes, and the names of the classes."""
    from sklearn.datasets import load_sample_images  # noqa: PLC0415 - an extra, checked by need()

    found = load_sample_images()
    for path, pixels in zip(found.filenames, found.images, strict=True):
        yield f"photographs/{Path(path).stem}.png", _png(pixels)
    truth = data.shapes(5, seed=_SEED)
    for x, label in zip(truth.x, truth.labels, strict=True):
        yield f"shapes/{truth.classes[label]}.png", _png(np.rint(np.moveaxis(x, 0, -1) * 255).astype(np.uint8))
    yield "shapes/classes.txt", "\n".join(truth.classes).encode()


def _png(pixels: Any) -> bytes:
    from PIL import Image  # noqa: PLC0415 - an extra, checked by need()

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
