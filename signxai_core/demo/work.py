"""Train, explain, write."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from signxai_core.demo.truth import Judged

#: For names such as ``gradient_x_sign_mu``, which leave the threshold to the caller.
MU = 0.25
#: Network, samples to explain, samples to check the truth with.
_NETWORKS = (("shapes_cnn", 12, 40), ("ecg_resnet", 4, 20))
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
    need("sklearn", "matplotlib", "cmcrameri", "PIL", "jinja2", purpose="signxai demo")
    stage = _Stage(request, demo_model(request.backend), out, err)
    targets = [request.output / name for name in (*_FILES, stage.companion.WEIGHTS)]
    files.refuse_existing(targets, overwrite=request.overwrite)
    parts = list(_parts(stage))
    known = list(_known(stage))
    with err.status("drawing"):
        written = list(_write(stage, parts, known))
    for label, path in written:
        stage.say(f"{label:<10}{path}")
    if parts[0].key == "images":
        folder, companion = request.output, stage.companion
        stage.say(
            "next: signxai explain "
            f"{companion.MODEL} {folder / 'digits.npy'} --weights {folder / companion.WEIGHTS} "
            f"--method 'lrpsign_*' --output {folder / 'explained'}"
        )


def _known(stage: _Stage) -> Iterator[Judged]:
    """Explain data with known truth, with every framework that is installed."""
    from signxai_core.demo import truth  # noqa: PLC0415 - matplotlib is an extra, checked by need()

    frameworks = truth.backends(stage.request.backend)
    if not frameworks:
        stage.say(f"no trained networks come with the backend {stage.request.backend!r}: no data with known truth")
    for network, count, tested in _NETWORKS if frameworks else ():
        with stage.err.status(f"explaining {network} with {' and '.join(frameworks)}"):
            found = truth.judged(network, frameworks, count, tested)
        stage.say(f"{found.key}: {found.title}, {found.network}, {' and '.join(found.frameworks)}")
        stage.say(
            f"  accuracy {found.check.accuracy:.1%}; class changes without the true part in {found.check.changed:.0%}, "
            f"without another in {found.check.changed_elsewhere:.0%}"
        )
        for name, mass, _, gap in found.rows:
            apart = "" if gap is None else f", frameworks {gap:.0e} apart"
            stage.say(f"  {mass:.2f} of the relevance in the truth ({found.covered:.2f} of the sample): {name}{apart}")
        yield found


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


def _write(stage: _Stage, parts: list[Part], known: list[Judged]) -> Iterator[tuple[str, Path]]:
    from signxai_core.demo import gallery  # noqa: PLC0415 - matplotlib and jinja2 are extras, checked by need()

    folder, companion = stage.request.output, stage.companion
    page = gallery.html(parts, known, seed=stage.request.seed, framework=companion.version())
    yield "gallery", files.write(folder / "gallery.html", page)
    yield "picture", files.write(folder / "gallery.png", gallery.png(parts, framework=companion.version()))
    for picture in (picture for found in known for picture in found.pictures):
        yield "picture", files.write(folder / picture.name, picture.content)
    for part in parts:
        name = {"images": "maps.npz", "series": "maps_series.npz"}[part.key]
        yield "maps", outputs.write_maps(folder / name, part.result)
        if part.key == "images":
            array = io.BytesIO()
            np.save(array, part.result.inputs)
            yield "digits", files.write(folder / "digits.npy", array.getvalue())
            yield "weights", files.write(folder / companion.WEIGHTS, companion.encode(part.model))
