"""The same methods on data where the part that makes a class is known: simulated ECGs, and shapes on photographs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import networks
import numpy as np
import numpy.typing as npt
import tables

import signxai_core as sx
from signxai_core import data, metrics
from signxai_core.cli import files
from signxai_core.data.recipes import RECIPES
from signxai_torch import example_models

METHODS = (
    "random_uniform",
    "gradient",
    "gradient_x_input",
    "gradient_x_sign",
    "smoothgrad",
    "smoothgrad_x_sign",
    "guided_backprop",
    "guided_backprop_x_sign",
    "lrpz_epsilon_0_25_std_x",
    "lrpsign_epsilon_0_25_std_x",
    "lrpz_alpha_1_beta_0",
    "lrpsign_alpha_1_beta_0",
)
#: μ in the middle of the range of the inputs, where that is not 0.
MU = {"shapes_cnn": "_mu_0_5"}
#: A map that knows nothing but that things are in the middle.
MIDDLE = "middle of the sample"
PAIRS = tuple((METHODS[place + 1], METHODS[place]) for place in (2, 4, 6, 8, 10))
MEASURES = ("mass", "rank", "aoc", "pcc", "scc")
_DRAWN = 120
_BATCH = 32


@attrs.frozen(eq=False)
class Result:
    """What was found on one network: measure -> array of methods × samples."""

    network: str
    methods: tuple[str, ...]
    arrays: dict[str, npt.NDArray[Any]]


def judge(folder: Path, network: str, samples: int, convention: str) -> Result:
    """Judge the trained network that comes with the package; nothing is done where the file is there."""
    path = folder / "truth" / f"{network}_{samples}.npz"
    if not path.is_file():
        model = example_models.trained(network).requires_grad_(requires_grad=False)
        test = RECIPES[network].test(_DRAWN, 0)
        right = data.right_ones(lambda x: example_models.predict(model, x), test)
        arrays = measure(model, test[right[:samples]], MU.get(network, ""), convention)
        with files.whole(path) as file:
            np.savez_compressed(file, **arrays)
        print(f"{network}: {samples} samples", flush=True)
    with np.load(path, allow_pickle=False) as found:
        arrays = dict(found)
    return Result(network, tuple(str(name) for name in arrays.pop("methods")), arrays)


def measure(model: Any, truth: data.Truth, mu: str, convention: str) -> dict[str, npt.NDArray[Any]]:
    """Return every measure of every method, of the true classes; SIGN variants have ``mu`` in their names."""
    predict = networks.predictor(model)
    names = {name: f"{name}{mu}" if "sign" in name else name for name in METHODS}
    found = sx.explain_many(model, truth.x, names.values(), truth.labels, convention=convention, batch_size=4)
    maps = {name: found[full].relevance for name, full in names.items()}
    maps[MIDDLE] = np.broadcast_to(data.centre_map(truth.x.shape[1:]), truth.x.shape)
    arrays: dict[str, list[Any]] = {name: [] for name in MEASURES}
    for relevance in maps.values():
        mass, rank = data.found(relevance, truth)
        curve = metrics.morf(predict, truth.x, relevance, channel_axis=1, target=truth.labels, batch_size=_BATCH)
        values = (mass, rank, metrics.aoc(curve), metrics.pcc(truth.x, relevance), metrics.scc(truth.x, relevance))
        for name, value in zip(MEASURES, values, strict=True):
            arrays[name].append(value)
    stacked = {name: np.stack(parts) for name, parts in arrays.items()}
    return {**stacked, "methods": np.array(list(maps)), "coverage": truth.coverage}


def write(folder: Path, results: Sequence[Result]) -> None:
    """Write ``truth.csv``: mean and interval of every cell, and the paired differences."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "method", "less", "measure", "mean", "low", "high"])
    for result in results:
        for name in result.methods:
            for measure_ in MEASURES:
                i = metrics.mean_interval(_values(result, name, measure_))
                writer.writerow([result.network, name, "", measure_, *(f"{v:.6g}" for v in (i.mean, i.low, i.high))])
        for sign, other, measure_, i in differences(result):
            writer.writerow([result.network, sign, other, measure_, *(f"{v:.6g}" for v in (i.mean, i.low, i.high))])
    files.write(folder / "truth.csv", text.getvalue().encode())


def differences(result: Result) -> Iterator[tuple[str, str, str, metrics.Interval]]:
    """Yield SIGN variants less the methods beside them; a network's intervals hold together with 95 %."""
    wanted = [(sign, other, name) for sign, other in PAIRS for name in ("mass", "rank", "aoc")]
    for sign, other, name in wanted:
        apart = _values(result, sign, name) - _values(result, other, name)
        yield sign, other, name, tables.student(apart, np.arange(len(apart)), 1 - 0.05 / len(wanted))


def section(results: Sequence[Result]) -> Iterator[str]:
    """Yield the part of the page."""
    yield "## Where the truth is known"
    yield ""
    yield (
        "Trained networks that come with the package, on simulated ECGs and on shapes before photographs "
        "(`signxai_core.data`): *mass* is the share of the positive relevance, *rank* that of the most relevant "
        "places, inside the part that makes the class. AOC, PCC and SCC as above, with the true class; the "
        "intervals are over samples. μ is 0 for ECGs and 0.5 for images, which lie in [0, 1]."
    )
    for result in results:
        count, share = len(result.arrays["coverage"]), float(result.arrays["coverage"].mean())
        yield ""
        yield f"### {result.network}: {RECIPES[result.network].title}, {count} samples, masks cover {share:.1%}"
        yield ""
        yield f"| method | {' | '.join(MEASURES)} |"
        yield "|---" * (1 + len(MEASURES)) + "|"
        for name in result.methods:
            cells = [str(metrics.mean_interval(_values(result, name, measure_))) for measure_ in MEASURES]
            yield f"| {name if name == MIDDLE else f'`{name}`'} | {' | '.join(cells)} |"
        yield ""
        yield "| SIGN variant | less | measure | difference |"
        yield "|---|---|---|---|"
        for sign, other, measure_, interval in differences(result):
            yield f"| `{sign}` | `{other}` | {measure_} | {interval} |"


def _values(result: Result, name: str, measure_: str) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = result.arrays[measure_][result.methods.index(name)]
    return found
