"""Pictures of one call's maps; imports matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from signxai_core import plot
from signxai_core.cli import listing, pictures
from signxai_core.cli.labelling import Labelling
from signxai_core.cli.outputs import Result
from signxai_core.cli.preprocess import shown
from signxai_core.cli.sheets import Group, Row, sheet
from signxai_core.leads import STANDARD_LEADS, is_lead
from signxai_core.plot import canvas
from signxai_core.plot.samples import Channels

_SUBTITLE = "Red is positive, blue negative, white 0; every map is scaled by its own largest |R|. Σ: its sum."
#: Samples with sides above this get larger tiles.
_SMALL = 32
#: More channels than this are drawn as a heat map without lines.
_ROWS = 40


def singles(
    result: Result, wanted: Iterable[tuple[str, tuple[int, str]]], *, channels_last: bool
) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of one picture per sample and method."""
    for path, (sample, name) in wanted:
        yield path, single(result, sample, name, channels_last=channels_last)


def single(result: Result, sample: int, name: str, *, channels_last: bool) -> bytes:
    """Return one map as PNG: over the image, along the series, as an ECG on paper."""
    explanation = result.explanations[name]
    relevance, x = explanation.relevance[sample], result.inputs[sample]
    target = "" if explanation.target is None else result.labelling.target(int(explanation.target[sample]))
    title = "\n".join(part for part in (name, f"{result.labels[sample]}, target {target}" if target else "") if part)
    title = title.replace("$", "\\$")  # names of files and classes are no formulas
    channels: Channels = "last" if channels_last else "first"
    if x.ndim == 3:
        return canvas.png(plot.image(relevance, x, channels=channels, title=title).figure)
    if len(_channels(x, channels_last=channels_last)) > _ROWS:
        return pictures.png(pictures.heat(_channels(relevance, channels_last=channels_last)), at_least=480)
    return canvas.png(_series(relevance, x, result.labelling, channels, title))


def _series(relevance: Any, x: Any, labelling: Labelling, channels: Channels, title: str) -> Any:
    """Draw a series or a vector; what are leads of an ECG in millivolts goes on paper."""
    count = len(_channels(x, channels_last=channels == "last"))
    names = labelling.leads if len(labelling.leads) == count else None
    rate = labelling.sampling_rate
    if names and rate and all(map(is_lead, names)) and np.abs(x).max(initial=0.0) <= plot.LARGEST_MILLIVOLTS:
        whole = set(names) >= set(STANDARD_LEADS)
        return plot.ecg(
            x,
            relevance,
            sampling_rate=rate,
            leads=names,
            layout="3x4" if whole else "12x1",
            channels=channels,
            title=title.replace("\n", ": "),
        ).figure
    return plot.series(relevance, x, sampling_rate=rate, names=names, channels=channels, title=title).figure


def _channels(sample: Any, *, channels_last: bool) -> Any:
    return np.atleast_2d(sample.T if channels_last and sample.ndim == 2 else sample)


def sheets(result: Result, wanted: Iterable[tuple[str, range]], *, channels_last: bool) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of contact sheets."""
    side = 0.72 if max(result.inputs.shape[2:], default=0) <= _SMALL else 1.3
    title = f"{len(result.explanations)} methods, {result.first.backend} backend, {result.first.convention} convention"
    for path, samples in wanted:
        groups = _groups(result, samples, channels_last=channels_last)
        tiles = [_input(result, i, channels_last=channels_last) for i in samples]
        inputs = Row("input", tiles, [result.labels[i][:14] for i in samples])
        yield path, sheet(title, _SUBTITLE, inputs, groups, side=side)


def _input(result: Result, sample: int, *, channels_last: bool) -> pictures.Tile:
    """Draw a sample, its colours in their order."""
    x = result.inputs[sample]
    if x.ndim == 3 and result.labelling.preprocess is not None:
        last = x if channels_last else np.moveaxis(x, 0, -1)
        return pictures.input_tile(shown(last, result.labelling.preprocess), channels_last=True)
    return pictures.input_tile(x, channels_last=channels_last)


def _groups(result: Result, samples: range, *, channels_last: bool) -> list[Group]:
    groups: dict[str, list[Row]] = {}
    for name, e in result.explanations.items():
        tiles = [pictures.map_tile(e.relevance[i], result.inputs[i], channels_last=channels_last) for i in samples]
        texts = [f"Σ {e.conservation.total[i]:.3g}" for i in samples]
        groups.setdefault(listing.group(e.spec), []).append(Row(name, tiles, texts))
    return [Group(listing.heading(key), rows) for key, rows in groups.items()]
