"""VGG16 on a folder of images (ImageNet, Places365), with the published lists of methods."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import judging
import methods
import numpy as np
import numpy.typing as npt
import tables

import signxai_core as sx
from signxai_core import metrics
from signxai_core.cli import files, inputs, models

#: Means of the training images, blue, green, red: the preprocessing that the published weights expect.
MEANS = (103.939, 116.779, 123.68)
_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
#: Methods explained, and images predicted, at a time: a forward pass of VGG16 holds 0.1 GB per image.
_AT_A_TIME, _BATCH = 12, 16


def run(given: Any) -> None:
    """Judge every image that has no result yet, and write the tables."""
    names = methods.vgg16(given.list)
    if given.pictures is None or not given.pictures.is_dir():
        raise SystemExit("VGG16 needs images: --pictures FOLDER")
    paths = sorted(path for path in given.pictures.iterdir() if path.suffix.lower() in _ENDINGS)
    if not paths:
        raise SystemExit(f"{given.pictures} holds no images ({', '.join(sorted(_ENDINGS))})")
    if given.images:
        paths = paths[: given.images]
    model = models.load(given.vgg16, weights=given.weights, backend=None)
    layout = models.layout(model, None, None)
    _check(given, names)
    results = [_judged(given, model, layout, names, path, number) for number, path in enumerate(paths)]
    _write(given.output / "vgg16" / given.list, names, results)
    print(f"tables {given.output / 'vgg16' / given.list}")


def preprocessed(path: Path, size: int, layout: Any) -> npt.NDArray[np.float32]:
    """Return an image as VGG16 takes it: blue, green, red, less the means, in 0…255."""
    pixels = inputs.read([path], inputs.Reading(size=(size, size), scale=(0.0, 255.0), layout="channels_last")).array
    x = pixels[..., ::-1] - np.asarray(MEANS, dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(x, -1, 1) if layout == "channels_first" else x)


def _judged(
    given: Any, model: Any, layout: Any, names: list[str], path: Path, number: int
) -> dict[str, npt.NDArray[Any]]:
    file = given.output / "vgg16" / given.list / f"{number:05d}_{path.stem}.npz"
    if not file.is_file():
        axis = 1 if layout == "channels_first" else -1
        x = preprocessed(path, given.size, layout)
        predict = metrics.predictor(model)
        parts: list[dict[str, npt.NDArray[Any]]] = []
        for start in range(0, len(names), _AT_A_TIME):  # so that not all maps are held at once
            found = sx.explain_many(model, x, names[start : start + _AT_A_TIME], convention=given.convention)
            maps = [explanation.relevance for explanation in found.values()]
            parts.append(judging.measure(predict, x, maps, axis, _BATCH))
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in ("aoc", "pcc", "scc", "curves")}
        with files.whole(file) as opened:
            np.savez_compressed(opened, **arrays)
        print(f"{path.name}", flush=True)
    with np.load(file, allow_pickle=False) as arrays_of_file:
        return dict(arrays_of_file)


def _check(given: Any, names: list[str]) -> None:
    path = given.output / "vgg16" / given.list / "run.json"
    asked = {"model": given.vgg16, "weights": str(given.weights), "size": given.size, "convention": given.convention}
    asked |= {"pictures": str(given.pictures), "methods": names, "signxai-core": sx.__version__}
    if path.is_file() and json.loads(path.read_text("utf-8")) != asked:
        raise SystemExit(f"{path.parent} holds a run of other settings; give another --output")
    files.write(path, json.dumps(asked, indent=2).encode())


def _write(folder: Path, names: list[str], results: list[dict[str, npt.NDArray[Any]]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *(f"{m}_{part}" for m in ("aoc", "pcc", "scc") for part in ("mean", "low", "high"))])
    for place, name in enumerate(names):
        row: list[Any] = [name]
        for measure in ("aoc", "pcc", "scc"):
            interval = metrics.mean_interval([float(result[measure][place, 0]) for result in results])
            row += [f"{value:.6g}" for value in (interval.mean, interval.low, interval.high)]
        writer.writerow(row)
    files.write(folder / "methods.csv", text.getvalue().encode())
    _pairs(folder, names, results)


def _pairs(folder: Path, names: list[str], results: list[dict[str, npt.NDArray[Any]]]) -> None:
    """Write the paired differences of SIGN variants, with intervals that hold together."""
    wanted = [(sign, other) for sign, other in methods.VGG_PAIRS if sign in names and other in names]
    level = 1 - 0.05 / max(3 * len(wanted), 1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sign", "other", "measure", "mean", "low", "high"])
    for sign, other in wanted:
        for measure in ("aoc", "pcc", "scc"):
            one, two = (np.array([r[measure][names.index(name), 0] for r in results]) for name in (sign, other))
            interval = tables.student(one - two, np.arange(len(one)), level)
            writer.writerow([sign, other, measure, *(f"{v:.6g}" for v in (interval.mean, interval.low, interval.high))])
    files.write(folder / "differences.csv", text.getvalue().encode())
