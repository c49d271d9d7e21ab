"""One model's maps of the test images, judged as published."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import digits
import methods
import networks
import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save_file
from torch import nn

import signxai_core as sx
from signxai_core import metrics
from signxai_core.cli import files

BINS = 40
_BATCH = 64


@attrs.frozen(kw_only=True)
class Plan:
    """What a run computes.

    Parameters
    ----------
    data
        Source of the images; see :func:`digits.load`.
    images, seeds
        Test images per model, trainings per model.
    convention
        Of the methods.
    epochs
        By kind of network.
    """

    data: str
    images: int
    seeds: int
    convention: str
    epochs: dict[str, int]


@attrs.frozen(eq=False)
class Result:
    """What is kept of one model: arrays by name, first axis methods where there is one."""

    setting: networks.Setting
    seed: int
    methods: tuple[str, ...]
    arrays: dict[str, npt.NDArray[Any]]


def chosen(data: digits.Digits, count: int) -> npt.NDArray[np.intp]:
    """Return the test images that are judged, the same for every model."""
    if count > len(data.test):
        raise SystemExit(f"{count} images were asked for, and {data.source} has {len(data.test)} test images")
    return np.random.default_rng(0).permutation(len(data.test))[:count]


def model_of(folder: Path, setting: networks.Setting, seed: int, data: digits.Digits, plan: Plan) -> nn.Module:
    """Return the trained network, from its file where it is there."""
    path = folder / "weights" / f"{setting}_seed{seed}.safetensors"
    if path.is_file():
        model = networks.build(setting.kind)
        model.load_state_dict(load_file(path))
        return model.eval().requires_grad_(requires_grad=False)
    model = networks.train(setting, data, seed, plan.epochs[setting.kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    save_file(model.state_dict(), temporary)
    temporary.replace(path)
    return model


def judge(folder: Path, setting: networks.Setting, seed: int, data: digits.Digits, plan: Plan) -> Path:
    """Judge one model, and return the file with its result; nothing is done where the file is there."""
    path = folder / "results" / f"{setting}_seed{seed}.npz"
    if path.is_file():
        return path
    start = time.perf_counter()
    model = model_of(folder, setting, seed, data, plan)
    predict = networks.predictor(model)
    everything = digits.scale(data.test, setting.range, inverted=setting.inverted)
    accuracy = float((predict(everything).argmax(axis=1) == data.test_labels).mean())
    x = everything[chosen(data, plan.images)]
    names = methods.mnist(str(setting))
    maps = sx.explain_many(model, x, names, convention=plan.convention, batch_size=_BATCH)
    arrays = measure(predict, x, [maps[name].relevance for name in names])
    arrays |= {"methods": np.array(names), "accuracy": np.array(accuracy)}
    arrays["seconds"] = np.array(time.perf_counter() - start)
    with files.whole(path) as file:
        np.savez_compressed(file, **arrays)
    return path


def measure(
    predict: Any, x: npt.NDArray[Any], maps: Sequence[npt.NDArray[Any]], axis: int = 1, batch_size: int = _BATCH
) -> dict[str, npt.NDArray[Any]]:
    """Return the curves, areas, correlations and histograms of several methods' maps."""
    curves = [metrics.morf(predict, x, relevance, channel_axis=axis, batch_size=batch_size) for relevance in maps]
    return {
        "curves": np.stack([curve.values for curve in curves]).astype(np.float32),
        "share": curves[0].share,
        "target": curves[0].target,
        "aoc": np.stack([metrics.aoc(curve) for curve in curves]),
        "pcc": np.stack([metrics.pcc(x, relevance) for relevance in maps]),
        "scc": np.stack([metrics.scc(x, relevance) for relevance in maps]),
        "histograms": np.stack([histogram(x, relevance) for relevance in maps]),
    }


def histogram(x: npt.NDArray[Any], relevance: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return how often |x| and |R| occur together, each as a share of its largest in its image."""
    shares = []
    for array in (x, relevance):
        rows = np.abs(array.reshape(len(array), -1)).astype(np.float64)
        largest = rows.max(axis=1, keepdims=True)
        shares.append(np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0).ravel())
    counts, _, _ = np.histogram2d(*shares, bins=BINS, range=((0, 1), (0, 1)))
    return counts.astype(np.int64)


def read(path: Path, setting: networks.Setting, seed: int) -> Result:
    """Read a file of :func:`judge`."""
    with np.load(path, allow_pickle=False) as found:
        arrays = dict(found)
    return Result(setting, seed, tuple(str(name) for name in arrays.pop("methods")), arrays)
