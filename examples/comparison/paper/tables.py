"""The results of all models as tables, with confidence intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import judging
import methods
import numpy as np
import numpy.typing as npt
import scipy.stats

from signxai_core import metrics
from signxai_core.cli import files

MEASURES = ("aoc", "pcc", "scc")
#: The merged table joins the three ranges: one column per network and inversion.
COLUMNS = (("dense", False), ("dense", True), ("cnn", False), ("cnn", True))
TITLES = {
    ("dense", False): "dense",
    ("dense", True): "dense, inverted",
    ("cnn", False): "convolutional",
    ("cnn", True): "convolutional, inverted",
}
Column = tuple[str, bool]


@attrs.frozen
class Difference:
    """A SIGN variant less what it stands beside, on the same images and models.

    Parameters
    ----------
    agreeing, models
        In how many of the models (ranges × seeds) the mean difference has the sign of the whole.
    """

    sign: str
    other: str
    column: Column
    measure: str
    interval: metrics.Interval
    agreeing: int
    models: int

    @property
    def verdict(self) -> str:
        """``higher`` or ``lower`` where the interval leaves out 0, else ``undecided``."""
        if self.interval.low > 0:
            return "higher"
        return "lower" if self.interval.high < 0 else "undecided"


def rows(results: Sequence[judging.Result]) -> list[str]:
    """Return the methods of the merged table, in the published order."""
    return list(dict.fromkeys(methods.row(name) for result in _longest_first(results) for name in result.methods))


def values(
    results: Iterable[judging.Result], row: str, column: Column, measure: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the values of one cell, the number of their image, and of their model."""
    found, images, models = [], [], []
    for number, result in enumerate(results):
        if (result.setting.kind, result.setting.inverted) != column:
            continue
        for place, name in enumerate(result.methods):
            if methods.row(name) == row:
                part = result.arrays[measure][place]
                found.append(part)
                images.append(np.arange(len(part)))
                models.append(np.full(len(part), number))
    if not found:
        return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(found), np.concatenate(images), np.concatenate(models)


def merged(results: Sequence[judging.Result], measure: str) -> dict[str, dict[Column, metrics.Interval]]:
    """Return mean and 95 % interval per method and column; intervals are over images."""
    table: dict[str, dict[Column, metrics.Interval]] = {}
    for row in rows(results):
        cells = {column: values(results, row, column, measure) for column in COLUMNS}
        table[row] = {
            column: metrics.mean_interval(numbers, groups=images)
            for column, (numbers, images, _) in cells.items()
            if len(numbers)
        }
    return table


def differences(results: Sequence[judging.Result]) -> list[Difference]:
    """Return all comparisons of SIGN variants; together, their intervals hold with 95 % (Bonferroni)."""
    wanted = [
        (sign, other, column, measure)
        for sign, other in methods.PAIRS
        for column in COLUMNS
        for measure in _measures(sign, other)
        if len(values(results, sign, column, measure)[0])
    ]
    level = 1 - 0.05 / max(len(wanted), 1)
    return [_difference(results, *comparison, level) for comparison in wanted]


def by_range(results: Sequence[judging.Result]) -> list[tuple[str, str, str, metrics.Interval]]:
    """Return SIGN variant, what it is compared with, range of the input, and the difference of AOC there."""
    ranges = list(dict.fromkeys(result.setting.range for result in results))
    level = 1 - 0.05 / (len(methods.PAIRS) * len(ranges))
    found = []
    for sign, other in methods.PAIRS:
        for range_ in ranges:
            mine = [result for result in results if result.setting.range == range_]
            cells = [[values(mine, name, column, "aoc") for column in COLUMNS] for name in (sign, other)]
            one, two = (np.concatenate([numbers for numbers, _, _ in row]) for row in cells)
            images = np.concatenate([image for _, image, _ in cells[0]])
            if len(one):
                found.append((sign, other, range_, student(one - two, images, level)))
    return found


def student(apart: npt.NDArray[np.float64], images: npt.NDArray[np.int64], level: float) -> metrics.Interval:
    """Return the mean difference and Student's interval over images; so far out, the bootstrap is too narrow."""
    means = np.array([np.nanmean(apart[images == image]) for image in np.unique(images)])
    mean, count = float(means.mean()), len(means)
    half = float(scipy.stats.t.ppf((1 + level) / 2, count - 1) * means.std(ddof=1) / np.sqrt(count))
    return metrics.Interval(mean, mean - half, mean + half, float(np.nanstd(apart)), count)


def _measures(sign: str, other: str) -> tuple[str, ...]:
    """Return what can differ: a map times a sign has the same |R|, hence the same PCC and SCC."""
    return ("aoc",) if sign == f"{other}_x_sign" else MEASURES


def _difference(
    results: Sequence[judging.Result], sign: str, other: str, column: Column, measure: str, level: float
) -> Difference:
    one, images, models = values(results, sign, column, measure)
    two, _, _ = values(results, other, column, measure)
    apart = one - two
    interval = student(apart, images, level)
    means = [np.nanmean(apart[models == number]) for number in np.unique(models)]
    agreeing = int(np.sum(np.sign(means) == np.sign(interval.mean)))
    return Difference(sign, other, column, measure, interval, agreeing, len(means))


def write(folder: Path, results: Sequence[judging.Result]) -> None:
    """Write ``merged.csv``, ``differences.csv`` and ``models.csv``."""
    lines: list[list[object]] = [["measure", "method", "network", "inverted", "mean", "low", "high", "deviation"]]
    for measure in MEASURES:
        for row, cells in merged(results, measure).items():
            for (kind, inverted), i in cells.items():
                lines.append([measure, row, kind, inverted, i.mean, i.low, i.high, i.deviation])
    _csv(folder / "merged.csv", lines)
    lines = [
        ["measure", "sign", "other", "network", "inverted", "mean", "low", "high", "verdict", "agreeing", "models"]
    ]
    for d in differences(results):
        i = d.interval
        lines.append([d.measure, d.sign, d.other, *d.column, i.mean, i.low, i.high, d.verdict, d.agreeing, d.models])
    _csv(folder / "differences.csv", lines)
    lines = [
        ["model", "seed", "accuracy", "method", *(f"{m}_{part}" for m in MEASURES for part in ("mean", "deviation"))]
    ]
    for result in results:
        for place, name in enumerate(result.methods):
            parts = [result.arrays[measure][place] for measure in MEASURES]
            numbers = [statistic(part) for part in parts for statistic in (np.nanmean, np.nanstd)]
            lines.append([result.setting, result.seed, float(result.arrays["accuracy"]), name, *numbers])
    _csv(folder / "models.csv", lines)


def _csv(path: Path, lines: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in line] for line in lines)
    files.write(path, text.getvalue().encode())


def _longest_first(results: Sequence[judging.Result]) -> list[judging.Result]:
    return sorted(results, key=lambda result: -len(result.methods))
