"""The figures of the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import digits
import judging
import matplotlib as mpl
import methods
import networks
import numpy as np
import numpy.typing as npt
import tables

mpl.use("Agg")  # files, no windows
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

import signxai_core as sx
from signxai_core import metrics, plot

#: Whose maps are shown, where it is among the results.
SHOWN = networks.Setting("cnn", "-1_to_0", inverted=False)
SHARES = (0.0, 0.05, 0.2, 1.0)
_DPI = 110
_IMAGES = 6


@attrs.frozen(eq=False)
class Material:
    """One trained network and the test images as it sees them."""

    model: Any
    x: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    names: list[str]
    convention: str

    def maps(self, places: Any, target: Any = None) -> dict[str, npt.NDArray[Any]]:
        """Return the maps of some images, without the control."""
        names = [name for name in self.names if name != "random_uniform"]
        found = sx.explain_many(self.model, self.x[places], names, target, convention=self.convention)
        return {name: explanation.relevance for name, explanation in found.items()}


def draw(folder: Path, run: Path, results: Sequence[judging.Result], data: digits.Digits, plan: judging.Plan) -> None:
    """Draw all figures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = [result.setting for result in results]
    shown = SHOWN if SHOWN in settings else settings[0]
    model = judging.model_of(run, shown, 0, data, plan)
    x = digits.scale(data.test, shown.range, inverted=shown.inverted)
    material = Material(model, x, data.test_labels, methods.mnist(str(shown)), plan.convention)
    figures = {
        "curves": curves(results),
        "scatter": scatter(results),
        "histograms": histograms([result for result in results if result.setting == shown]),
        "snapshots": snapshots(material),
        "grid": grid(material),
        "two_classes": two_classes(material),
    }
    wrong = misclassified(material)
    if wrong is not None:
        figures["misclassified"] = wrong
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
        plt.close(figure)


def curves(results: Sequence[judging.Result]) -> Any:
    """Mean MoRF curves per network and inversion, over ranges, seeds and images."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), sharex=True, sharey=True, layout="constrained")
    for place, column in zip(axes.flat, tables.COLUMNS, strict=True):
        for row in tables.rows(results):
            parts = [
                result.arrays["curves"][number]
                for result, number in _cells(results, row)
                if (result.setting.kind, result.setting.inverted) == column
            ]
            if parts:
                share = results[0].arrays["share"]
                place.plot(100 * share, np.concatenate(parts).mean(axis=0), label=row, **_line(row))
        place.set_title(tables.TITLES[column], fontsize=10)
    for place in axes[-1]:
        place.set_xlabel("pixels removed, most relevant first (%)")
    for place in axes[:, 0]:
        place.set_ylabel("probability of the class")
    handles = {text: line for place in axes.flat for line, text in zip(*place.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=7)
    return figure


def scatter(results: Sequence[judging.Result]) -> Any:
    """AOC against PCC and SCC, one point per method and column."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True, layout="constrained")
    areas = tables.merged(results, "aoc")
    markers = dict(zip(tables.COLUMNS, "osD^", strict=True))
    for place, measure in zip(axes, ("pcc", "scc"), strict=True):
        for row, cells in tables.merged(results, measure).items():
            for column, interval in cells.items():
                color = _line(row)["color"]
                place.plot(interval.mean, areas[row][column].mean, markers[column], color=color, markersize=5)
            some = next(iter(cells))
            place.annotate(row, (cells[some].mean, areas[row][some].mean), fontsize=5, alpha=0.8)
        place.set_xlabel(f"{measure.upper()} of |x| and |R|")
    axes[0].set_ylabel("AOC")
    for column, marker in markers.items():
        axes[1].plot([], [], marker, color="0.4", label=tables.TITLES[column])
    axes[1].legend(fontsize=7)
    return figure


def histograms(results: Sequence[judging.Result]) -> Any:
    """How often |x| and |R| occur together, for the models of one setting."""
    names = list(results[0].methods)
    figure, axes = plt.subplots(4, -(-len(names) // 4), figsize=(11, 10), layout="constrained", squeeze=False)
    for place, name in zip(axes.flat, names, strict=False):
        counts = sum(result.arrays["histograms"][result.methods.index(name)] for result in results)
        drawn = place.imshow(counts.T + 0.5, origin="lower", extent=(0, 1, 0, 1), norm=LogNorm(), cmap="viridis")
        place.set_title(name, fontsize=7)
        figure.colorbar(drawn, ax=place).ax.tick_params(labelsize=5)
    for place in axes.flat[len(names) :]:
        place.set_visible(False)
    figure.supxlabel("|x| / largest |x| of the image")
    figure.supylabel("|R| / largest |R| of the image")
    return figure


def snapshots(material: Material) -> Any:
    """One image while its most relevant pixels are removed."""
    maps = material.maps([0])
    figure, axes = plt.subplots(len(maps), len(SHARES), figsize=(5.2, 1.15 * len(maps)), layout="constrained")
    sample = material.x[0]
    predict = networks.predictor(material.model)
    target = int(predict(sample[None])[0].argmax())
    for row, (name, relevance) in zip(axes, maps.items(), strict=True):
        order = metrics.removal_order(metrics.pooled(relevance, channel_axis=1)[0])
        removed = [round(share * order.size) for share in SHARES]
        states = metrics.flip(sample, order, metrics.replacements(sample, 0), removed, 0)
        chances = predict(np.ascontiguousarray(states))[:, target]
        for place, state, chance, share in zip(row, states, chances, SHARES, strict=True):
            place.imshow(state[0], cmap="gray", vmin=sample.min(), vmax=sample.max())
            place.set_title(f"{share:.0%}: {chance:.2f}", fontsize=6)
            place.set_xticks([])
            place.set_yticks([])
        row[0].set_ylabel(name, fontsize=5, rotation=0, ha="right", va="center")
    return figure


def grid(material: Material) -> Any:
    """Methods × images."""
    places = [int(np.argmax(material.labels == label)) for label in range(_IMAGES)]
    labels = [f"digit {label}" for label in range(_IMAGES)]
    return _grid(material.maps(places), material.x[places], labels)


def two_classes(material: Material) -> Any:
    """One image explained for the two classes with the largest logits."""
    chances = networks.predictor(material.model)(material.x)
    place = int(np.sort(chances, axis=1)[:, -2].argmax())
    first, second = (int(label) for label in np.argsort(chances[place])[::-1][:2])
    labels = [f"as {label} ({chances[place, label]:.2f})" for label in (first, second)]
    return _grid(material.maps([place, place], [first, second]), material.x[[place, place]], labels)


def misclassified(material: Material) -> Any | None:
    """Test images that the network takes for another digit; ``None`` where there are none."""
    found = networks.predictor(material.model)(material.x).argmax(axis=1)
    places = np.flatnonzero(found != material.labels)[:_IMAGES]
    if not len(places):
        return None
    labels = [f"{material.labels[place]} taken for {found[place]}" for place in places]
    return _grid(material.maps(places), material.x[places], labels)


def _grid(maps: dict[str, npt.NDArray[Any]], x: npt.NDArray[Any], labels: list[str]) -> Any:
    return plot.grid(maps, x, labels=labels, scale="map", channels="first").figure


def _cells(results: Sequence[judging.Result], row: str) -> Iterator[tuple[judging.Result, int]]:
    for result in results:
        for number, name in enumerate(result.methods):
            if methods.row(name) == row:
                yield result, number


_FAMILIES = ("random", "gradient", "smoothgrad", "vargrad", "integrated", "deconvnet", "guided", "grad_cam", "lrp")


def _line(row: str) -> dict[str, Any]:
    """Return the colour of a method's family, and a full line for SIGN variants."""
    family = next(number for number, start in enumerate(_FAMILIES) if row.startswith(start))
    full = "sign" in row
    return {"color": f"C{family}", "linestyle": "-" if full else "--", "linewidth": 1.6 if full else 1.0}
