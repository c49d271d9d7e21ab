"""Train, explain, write."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rich.console import Console

import signxai_core as sx
from signxai_core.cli import files, outputs
from signxai_core.cli.packages import DemoModel, demo_model
from signxai_core.cli.printing import say
from signxai_core.cli.progress import bar
from signxai_core.cli.selection import matching, open_parameters
from signxai_core.errors import InputError
from signxai_core.extras import need
from signxai_core.specs import TEXTBOOK

#: For names such as ``gradient_x_sign_mu``, which leave the threshold to the caller.
MU = 0.25
_FILES = ("gallery.html", "gallery.png", "maps.npz", "maps_series.npz", "digits.npy")


@attrs.frozen(kw_only=True)
class Request:
    """What the user asked for."""

    output: Path
    backend: str
    seed: int
    pattern: str
    overwrite: bool


@attrs.frozen(eq=False, kw_only=True)
class Part:
    """One trained network and the maps of the digits shown.

    Parameters
    ----------
    key
        ``images`` or ``series``: what the network sees.
    title
        The same, in words.
    model
        The network.
    channel_axis
        Of its input.
    accuracy, held_out
        Share of the held-out digits that it gets right, and how many those are.
    labels
        True class of every digit shown.
    open_mu
        Methods whose threshold was set to :data:`MU`.
    result
        The maps.
    """

    key: str
    title: str
    model: Any
    channel_axis: int
    accuracy: float
    held_out: int
    labels: tuple[int, ...]
    open_mu: tuple[str, ...]
    result: outputs.Result


@attrs.frozen
class _Stage:
    """Where the work is done and reported."""

    request: Request
    companion: DemoModel
    out: Console
    err: Console

    def say(self, text: str) -> None:
        say(self.out, text)


def run(request: Request, out: Console, err: Console) -> None:
    """Train the networks, explain the digits, write the gallery and say where it is."""
    need("sklearn", "matplotlib", "PIL", "jinja2", purpose="signxai demo")
    stage = _Stage(request, demo_model(request.backend), out, err)
    targets = [request.output / name for name in (*_FILES, stage.companion.WEIGHTS)]
    files.refuse_existing(targets, overwrite=request.overwrite)
    parts = list(_parts(stage))
    with err.status("drawing"):
        written = list(_write(stage, parts))
    for label, path in written:
        stage.say(f"{label:<10}{path}")
    if parts[0].key == "images":
        folder, companion = request.output, stage.companion
        stage.say(
            "next: signxai explain "
            f"{companion.MODEL} {folder / 'digits.npy'} --weights {folder / companion.WEIGHTS} "
            f"--method 'lrpsign_*' --output {folder / 'explained'}"
        )


def _methods(pattern: str) -> tuple[list[str], list[str]]:
    """Return the methods for images, and those that need one spatial axis."""
    images: dict[str, None] = {}
    series: dict[str, None] = {}
    for name in matching(pattern):
        spec = sx.parse(name)
        place = series if spec.cam is not None and spec.cam.series else images
        place[name] = None
    if not images and not series:
        raise InputError(f"no listed method matches {pattern!r}; 'signxai methods' lists them")
    return list(images), list(series)


def _parts(stage: _Stage) -> Iterator[Part]:
    from signxai_core.demo import data  # noqa: PLC0415 - scikit-learn is an extra, checked by need()

    images, series = _methods(stage.request.pattern)
    axis = stage.companion.CHANNEL_AXIS
    if images:
        yield _part("images", "8×8 pixels", data.images(axis), images, stage)
    if series:
        title = "the same digits as time series: 8 steps (rows) of 8 channels (columns)"
        yield _part("series", title, data.series(axis), series, stage)


def _part(key: str, title: str, split: Any, names: list[str], stage: _Stage) -> Part:
    """Train one network, and explain the digits with all methods in one call."""
    with stage.err.status(f"training on {key}"):
        model = stage.companion.train(split.train, split.train_labels, classes=10, seed=stage.request.seed)
    accuracy = float(np.mean(stage.companion.predict(model, split.test) == split.test_labels))
    stage.say(f"{key}: {title}")
    stage.say(f"  accuracy {accuracy:.1%} on {len(split.test)} held-out digits")
    places = split.shown()
    x, labels = split.test[places], tuple(int(label) for label in split.test_labels[places])
    open_mu = tuple(name for name in names if "mu" in open_parameters(sx.parse(name)))
    parameters: dict[str, Any] = {"mu": MU} if open_mu else {}
    with bar(stage.err, "explaining") as progress:
        explanations = sx.explain_many(model, x, names, backend=stage.request.backend, progress=progress, **parameters)
    stage.say(f"  {len(explanations)} method(s) on {len(x)} digits in one call")
    if open_mu:
        stage.say(f"  mu = {MU} for those whose names leave it open: {', '.join(open_mu)}")
    asked = {
        "target": None,
        "convention": TEXTBOOK.name,
        "backend": stage.request.backend,
        "seed": None,
        "strict": True,
        "batch_size": None,
        "max_memory": None,
        "rules": {},
        "parameters": parameters,
    }
    return Part(
        key=key,
        title=title,
        model=model,
        channel_axis=stage.companion.CHANNEL_AXIS % x.ndim,
        accuracy=accuracy,
        held_out=len(split.test),
        labels=labels,
        open_mu=open_mu,
        result=outputs.Result(explanations, x, tuple(f"digit {label}" for label in labels), asked),
    )


def _write(stage: _Stage, parts: list[Part]) -> Iterator[tuple[str, Path]]:
    from signxai_core.demo import gallery  # noqa: PLC0415 - matplotlib and jinja2 are extras, checked by need()

    folder, companion = stage.request.output, stage.companion
    page = gallery.html(parts, seed=stage.request.seed, framework=companion.version())
    yield "gallery", files.write(folder / "gallery.html", page)
    yield "picture", files.write(folder / "gallery.png", gallery.png(parts, framework=companion.version()))
    for part in parts:
        name = {"images": "maps.npz", "series": "maps_series.npz"}[part.key]
        yield "maps", outputs.write_maps(folder / name, part.result)
        if part.key == "images":
            array = io.BytesIO()
            np.save(array, part.result.inputs)
            yield "digits", files.write(folder / "digits.npy", array.getvalue())
            yield "weights", files.write(folder / companion.WEIGHTS, companion.encode(part.model))
