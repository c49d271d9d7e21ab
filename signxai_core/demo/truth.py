"""The demo's second half: data whose truth is known, explained with every framework that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

import signxai_core as sx
from signxai_core import data, plot
from signxai_core.cli import packages
from signxai_core.cli.packages import ExampleModels
from signxai_core.data.recipes import RECIPES
from signxai_core.errors import BackendError
from signxai_core.plot import canvas

#: The methods that are shown; the last is the control.
METHODS = ("gradient_x_input", "guided_backprop", "lrp_epsilon_0_1", "lrp_epsilon_0_25_std_x", "random_uniform")
#: The one that both frameworks' maps are drawn of.
_DRAWN = "lrp_epsilon_0_25_std_x"
_CENTRE = "centre baseline"
_TITLES = {"shapes_cnn": "Shapes on photographs", "ecg_resnet": "Twelve-lead ECGs"}
_SEED = 3
Maps = Mapping[str, npt.NDArray[Any]]


@attrs.frozen(eq=False)
class Picture:
    """A figure: the name of its file, what it shows, and its pixels as PNG."""

    name: str
    caption: str
    content: bytes


@attrs.frozen(eq=False, kw_only=True)
class Judged:
    """One network and its maps.

    Parameters
    ----------
    key, title, network
        Of the data, and what the network is.
    check
        Whether the truth is true for the network.
    tested, explained
        Numbers of samples.
    covered
        Share of the explained samples that their masks cover.
    frameworks
        Names and versions, the first that of the request.
    rows
        Method, mass, rank, and how far the frameworks are apart, if there are two.
    pictures
        Figures.
    """

    key: str
    title: str
    network: str
    check: data.Check
    tested: int
    explained: int
    covered: float
    frameworks: tuple[str, ...]
    rows: tuple[tuple[str, float, float, float | None], ...]
    pictures: tuple[Picture, ...]


def backends(first: str) -> dict[str, ExampleModels]:
    """Return the modules with trained networks: that of the request, and the other framework's if installed."""
    found = {}
    for name in dict.fromkeys((first, "torch", "tensorflow")):
        if name == first or importlib.util.find_spec(name) is not None:
            try:
                found[name] = packages.example_models(name)
            except BackendError:
                if name == first:
                    return {}
    return found


def judged(network: str, frameworks: Mapping[str, ExampleModels], count: int, tested: int) -> Judged:
    """Check the truth, explain samples with every framework, and draw.

    Parameters
    ----------
    network
        ``shapes_cnn`` or ``ecg_resnet``.
    frameworks
        Backend -> module with trained networks; the first one's maps are judged.
    count, tested
        Samples to explain and to check the truth with.
    """
    truth = RECIPES[network].test(tested, seed=_SEED)
    models = {backend: module.trained(network) for backend, module in frameworks.items()}
    first = next(iter(frameworks))

    def classify(x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return frameworks[first].predict(models[first], _layout(x, frameworks[first]))

    check = data.check(classify, truth)
    some = truth[data.right_ones(classify, truth)[:count]]
    maps = {backend: _maps(models[backend], some, frameworks[backend], backend) for backend in frameworks}
    pictures = _ecgs(some, maps, frameworks) if some.x.ndim == 3 else _shapes(some, maps, frameworks)
    return Judged(
        key=network.partition("_")[0],
        title=_TITLES[network],
        network=RECIPES[network].title,
        check=check,
        tested=len(truth),
        explained=len(some),
        covered=float(some.coverage.mean()),
        frameworks=tuple(module.version() for module in frameworks.values()),
        rows=tuple(_rows(some, list(maps.values()))),
        pictures=tuple(pictures),
    )


def _layout(x: npt.NDArray[Any], module: ExampleModels) -> npt.NDArray[Any]:
    return data.channels_last(x) if module.CHANNELS == "last" else x


def _maps(model: Any, some: data.Truth, module: ExampleModels, backend: str) -> Maps:
    """Return maps by method, channels first."""
    found = sx.explain_many(model, _layout(some.x, module), METHODS, some.labels, backend=backend)
    last = module.CHANNELS == "last"
    return {name: data.channels_first(e.relevance) if last else e.relevance for name, e in found.items()}


def _rows(some: data.Truth, maps: list[Maps]) -> Iterator[tuple[str, float, float, float | None]]:
    for name, relevance in (*maps[0].items(), (_CENTRE, data.centre_map(some.x.shape))):
        mass, rank = data.found(relevance, some)
        gap = None
        if len(maps) > 1 and name in maps[1]:
            gap = float(np.abs(relevance - maps[1][name]).max() / np.abs(relevance).max())
        yield name, float(np.nanmean(mass)), float(rank.mean()), gap


def _each(some: data.Truth) -> list[int]:
    """Return the first sample of every class."""
    return [int(np.argmax(some.labels == label)) for label in np.unique(some.labels)]


def _shapes(some: data.Truth, maps: Mapping[str, Maps], frameworks: Mapping[str, ExampleModels]) -> Iterator[Picture]:
    shown = _each(some)
    labels = [some.classes[label] for label in some.labels[shown]]
    first, *others = maps
    rows = {name: relevance[shown] for name, relevance in maps[first].items()}
    rows = {"truth": some.mask[shown].astype(np.float64), **rows}
    grid = plot.grid(rows, some.x[shown], labels=labels, scale="map", channels="first")
    yield Picture("shapes.png", "The true shape, and what each method finds.", canvas.png(grid.figure))
    for other in others:
        index = shown[0]
        figure = plot.difference(
            maps[first][_DRAWN][index],
            maps[other][_DRAWN][index],
            some.x[index],
            names=(frameworks[first].version(), frameworks[other].version().partition(",")[0]),
            channels="first",
            title=f"{_DRAWN}, {labels[0]}",
        ).figure
        yield Picture(
            "shapes_frameworks.png", "One network with the same weights in both frameworks.", canvas.png(figure)
        )


def _ecgs(some: data.Truth, maps: Mapping[str, Maps], frameworks: Mapping[str, ExampleModels]) -> Iterator[Picture]:
    first, *others = maps
    for index in _each(some):
        name = some.classes[some.labels[index]]
        caption = f"{_DRAWN}: {name}. Green bars: the truth."
        yield Picture(
            f"ecg_{name.replace(' ', '_')}.png", caption, _sheet(some, index, maps[first][_DRAWN][index], caption)
        )
    index = _each(some)[0]
    for other in others:
        apart = maps[first][_DRAWN][index] - maps[other][_DRAWN][index]
        versions = [frameworks[name].version().partition(",")[0] for name in (first, other)]
        caption = (
            f"{versions[0]} less {versions[1]}, {_DRAWN}: at most {np.abs(apart).max():.1e}, where the largest |R| is "
            f"{np.abs(maps[first][_DRAWN][index]).max():.1e}"
        )
        both = _sheet(some, index, maps[other][_DRAWN][index], f"{versions[1]}, {_DRAWN}")
        yield Picture("ecg_other_framework.png", f"The same recording with {versions[1]}.", both)
        yield Picture("ecg_difference.png", caption, _sheet(some, index, apart, caption))


def _sheet(some: data.Truth, index: int, relevance: Any, title: str) -> bytes:
    drawn = plot.ecg(some.x[index], relevance, sampling_rate=500, mark=some.mask[index], channels="first", title=title)
    return canvas.png(drawn.figure, dpi=100)
