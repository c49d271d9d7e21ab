"""``signxai metrics``: how good the maps of an earlier ``signxai explain`` are.

Every option of a command is a parameter of its function; that is how typer works.
"""

# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table

import signxai_core as sx
from signxai_core import metrics
from signxai_core.cli import files, models, options, packages, recompute
from signxai_core.cli.progress import bar
from signxai_core.errors import FileError, InputError, InputShapeError

FloatArray = npt.NDArray[Any]


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """One method's maps, and what metrics need besides.

    Parameters
    ----------
    x, relevance
        Batch and maps.
    axis
        Of the channels; ``None`` for vectors.
    target
        The explained class per sample, where the maps have one.
    predict, again
        The model's probabilities; the method's maps of another model or batch. ``None`` without a model.
    model
        As given.
    mask
        Of the truth, where it is known.
    region, radius, batch_size
        As the options say.
    """

    x: FloatArray
    relevance: FloatArray
    axis: int | None
    target: FloatArray | None
    predict: Any
    again: Any
    model: Any
    mask: FloatArray | None
    region: int
    radius: float
    batch_size: int

    def regions(self) -> FloatArray:
        """Return the grid of regions."""
        shape = [size for place, size in enumerate(self.x.shape) if place not in (0, self.axis)]
        return metrics.grid_regions(shape, self.region)

    def flipping(self) -> dict[str, Any]:
        """Return the arguments of metrics that flip positions."""
        return {"channel_axis": self.axis, "target": self.target, "batch_size": self.batch_size}


def _aoc(s: Subject) -> FloatArray:
    return metrics.aoc(metrics.morf(s.predict, s.x, s.relevance, **s.flipping()))


def _gain(s: Subject) -> FloatArray:
    return metrics.relevance_gain(s.predict, s.x, s.relevance, **s.flipping())


def _deletion(s: Subject) -> FloatArray:
    return metrics.area(metrics.deletion(s.predict, s.x, s.relevance, s.regions(), **s.flipping()))


def _insertion(s: Subject) -> FloatArray:
    return metrics.area(metrics.insertion(s.predict, s.x, s.relevance, s.regions(), **s.flipping()))


def _sensitivity(s: Subject) -> FloatArray:
    radius = s.radius * float(np.ptp(s.x))
    return metrics.max_sensitivity(lambda x: s.again(s.model, x), s.x, radius=radius)


def _randomisation(s: Subject) -> FloatArray:
    last: FloatArray = metrics.randomisation(s.again, s.model, s.x).values[-1]
    return last


@attrs.frozen
class Metric:
    """A column of the table.

    Parameters
    ----------
    compute
        From a subject to one number per sample.
    needs
        ``"model"``, ``"mask"``, or nothing.
    text
        What it says.
    """

    compute: Callable[[Subject], FloatArray]
    needs: str
    text: str


METRICS: dict[str, Metric] = {
    "aoc": Metric(_aoc, "model", "area over the MoRF curve, as published; higher is better"),
    "gain": Metric(_gain, "model", "symmetric relevance gain; higher is better"),
    "deletion": Metric(_deletion, "model", "area under the curve while regions are deleted; lower is better"),
    "insertion": Metric(_insertion, "model", "area under the curve while regions are inserted; higher is better"),
    "pcc": Metric(lambda s: metrics.pcc(s.x, s.relevance), "", "Pearson's correlation of |x| and |R|"),
    "scc": Metric(lambda s: metrics.scc(s.x, s.relevance), "", "Spearman's rank correlation of |x| and |R|"),
    "mass": Metric(
        lambda s: metrics.mass_accuracy(s.relevance, s.mask, channel_axis=s.axis),
        "mask",
        "share of the positive relevance inside the mask; higher is better",
    ),
    "rank": Metric(
        lambda s: metrics.rank_accuracy(s.relevance, s.mask, channel_axis=s.axis),
        "mask",
        "share of the K most relevant positions inside a mask of K; higher is better",
    ),
    "sensitivity": Metric(_sensitivity, "model", "largest change of the map near the input; lower is better"),
    "randomisation": Metric(
        _randomisation, "model", "rank correlation with the map of the randomised model; lower is better"
    ),
}
_DEFAULT = ("aoc", "gain", "pcc", "scc", "mass", "rank")


def judge(
    file: Annotated[Path, typer.Argument(help="explanations.npz of 'signxai explain'.")],
    model: Annotated[
        str | None, typer.Argument(help="The model, as for 'signxai explain'; some metrics need it.")
    ] = None,
    weights: options.WeightsOption = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help=f"One of {', '.join(METRICS)}; repeatable.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help=".npy of True and False: the positions that matter, per sample or for all.")
    ] = None,
    layout: options.LayoutOption = None,
    region: Annotated[int, typer.Option(min=1, help="Side of the regions that deletion and insertion take.")] = 4,
    radius: Annotated[float, typer.Option(min=0, help="Of sensitivity, as a share of the inputs' range.")] = 0.02,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples that the model gets at a time.")] = 32,
    level: Annotated[float, typer.Option(help="Of the confidence intervals.")] = 0.95,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file with a row per sample.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
    overwrite: options.OverwriteOption = False,
    config: options.ConfigOption = None,
) -> None:
    """Judge the maps of an earlier call by metrics: a mean with its confidence interval per method."""
    stored = recompute.read(file)
    chosen = _chosen(metric, model, mask)
    if output is not None:
        files.refuse_existing([output], overwrite=overwrite)
    noted, loaded = _noted(file), None
    if model is not None:
        loaded = models.load(model, weights=weights, backend=stored.request["backend"])
    common: dict[str, Any] = {
        "x": stored.inputs,
        "axis": _axis(stored.inputs.ndim, noted.backend, layout),
        "target": noted.target,
        "predict": None if loaded is None else metrics.predictor(loaded, backend=noted.backend),
        "model": loaded,
        "mask": None if mask is None else _mask(mask, len(stored.inputs)),
        "region": region,
        "radius": radius,
        "batch_size": batch_size,
    }
    values: dict[str, dict[str, FloatArray]] = {}
    with bar(Console(stderr=True), "judging") as progress:
        for done, (name, relevance) in enumerate(stored.maps.items(), start=1):
            subject = Subject(relevance=relevance, again=_again(stored, name, noted.target), **common)
            values[name] = {key: METRICS[key].compute(subject) for key in chosen}
            if not isinstance(progress, bool):
                progress(done, len(stored.maps))
    if output is not None:
        _write(output, values, noted.labels)
    if as_json:
        typer.echo(json.dumps(_as_json(values, level), indent=2))
        return
    _print(values, level)


def _chosen(wanted: Sequence[str] | None, model: str | None, mask: Path | None) -> list[str]:
    """Return the metrics asked for, or those that can be computed."""
    there = {"": True, "model": model is not None, "mask": mask is not None}
    for key in wanted or ():
        if key not in METRICS:
            raise InputError(f"unknown metric {key!r}; known are {', '.join(METRICS)}")
        if not there[METRICS[key].needs]:
            what = {"model": "the model: signxai metrics FILE MODEL", "mask": "--mask"}[METRICS[key].needs]
            raise InputError(f"the metric {key!r} needs {what}")
    return list(dict.fromkeys(wanted)) if wanted else [key for key in _DEFAULT if there[METRICS[key].needs]]


@attrs.frozen(eq=False)
class _Noted:
    """What the file says besides maps and inputs."""

    backend: str
    labels: Sequence[str]
    target: FloatArray | None


def _noted(path: Path) -> _Noted:
    with np.load(path, allow_pickle=False) as arrays:
        metadata = json.loads(str(arrays["metadata"]))
        target = np.asarray(arrays["targets"]) if "targets" in arrays.files else None
    return _Noted(metadata["backend"], metadata["labels"], target)


def _axis(rank: int, backend: str, layout: options.Layout | None) -> int | None:
    if rank < 3:
        return None
    known = packages.formats().get(backend)
    usual = "channels_first" if known is None else known.LAYOUT
    return -1 if (usual if layout is None else layout.value) == "channels_last" else 1


def _mask(path: Path, samples: int) -> FloatArray:
    try:
        with path.open("rb") as file:  # opened here, because NumPy leaves a broken file open
            found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileError(f"cannot read the mask {path}: {error}") from error
    if not isinstance(found, np.ndarray) or found.ndim < 2:
        raise FileError(f"the mask {path} must be one array with an axis of samples, .npy")
    if len(found) not in (1, samples):
        raise InputShapeError(f"the mask {path} is for {len(found)} samples, and the maps are of {samples}")
    return np.broadcast_to(found, (samples, *found.shape[1:]))


def _again(stored: recompute.Stored, name: str, target: FloatArray | None) -> Callable[[Any, FloatArray], FloatArray]:
    """Return a function that explains another model or batch as the maps of ``name`` were made."""
    request = {key: stored.request[key] for key in ("backend", "seed", "strict")}
    classes = stored.request["target"] if target is None else target

    def again(model: Any, x: FloatArray) -> FloatArray:
        relevance: FloatArray = sx.explain(model, x, stored.specs[name], classes, **request).relevance
        return relevance

    return again


def _write(path: Path, values: Mapping[str, Mapping[str, FloatArray]], labels: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sample", "method", *next(iter(values.values()))])
    for number, label in enumerate(labels):
        for name, found in values.items():
            writer.writerow([label, name, *(repr(float(column[number])) for column in found.values())])
    files.write(path, text.getvalue().encode())


def _as_json(values: Mapping[str, Mapping[str, FloatArray]], level: float) -> dict[str, Any]:
    """Describe the table for other programs; what is no finite number is ``null``."""
    rows = {}
    for name, found in values.items():
        intervals = {key: attrs.asdict(metrics.mean_interval(column, level=level)) for key, column in found.items()}
        rows[name] = {key: {k: v if math.isfinite(v) else None for k, v in i.items()} for key, i in intervals.items()}
    return {"level": level, "methods": rows}


def _print(values: Mapping[str, Mapping[str, FloatArray]], level: float) -> None:
    out = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    keys = list(next(iter(values.values())))
    table.add_column("method", overflow="fold")
    for key in keys:
        table.add_column(key, justify="right")
    for name, found in values.items():
        table.add_row(name, *(str(metrics.mean_interval(found[key], level=level)) for key in keys))
    out.print(table)
    for key in keys:
        out.print(f"{key}: {METRICS[key].text}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"mean [{level:.0%} interval over the samples, bootstrap]", markup=False, highlight=False, soft_wrap=True)
