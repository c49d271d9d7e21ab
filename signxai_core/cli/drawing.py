"""Pictures of one call's maps; imports matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from signxai_core.cli import listing, pictures
from signxai_core.cli.outputs import Result
from signxai_core.cli.sheets import Group, Row, sheet

_SUBTITLE = "Red is positive, blue negative, white 0; every map is scaled by its own largest |R|. Σ: its sum."
#: Samples with sides above this get larger tiles.
_SMALL = 32


def singles(
    result: Result, wanted: Iterable[tuple[str, tuple[int, str]]], *, channels_last: bool
) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of one picture per sample and method."""
    for path, (sample, name) in wanted:
        relevance, x = result.explanations[name].relevance[sample], result.inputs[sample]
        if x.ndim == 3:
            tile = pictures.map_tile(relevance, x, channels_last=channels_last)
            yield path, pictures.png(tile.pixels, at_least=240)
        else:
            title = f"{name}, {result.labels[sample]}"
            yield path, pictures.series_png(relevance, x, title, channels_last=channels_last)


def sheets(result: Result, wanted: Iterable[tuple[str, range]], *, channels_last: bool) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of contact sheets."""
    side = 0.72 if max(result.inputs.shape[2:], default=0) <= _SMALL else 1.3
    title = f"{len(result.explanations)} methods, {result.first.backend} backend, {result.first.convention} convention"
    for path, samples in wanted:
        groups = _groups(result, samples, channels_last=channels_last)
        tiles = [pictures.input_tile(result.inputs[i], channels_last=channels_last) for i in samples]
        inputs = Row("input", tiles, [result.labels[i][:14] for i in samples])
        yield path, sheet(title, _SUBTITLE, inputs, groups, side=side)


def _groups(result: Result, samples: range, *, channels_last: bool) -> list[Group]:
    groups: dict[str, list[Row]] = {}
    for name, e in result.explanations.items():
        tiles = [pictures.map_tile(e.relevance[i], result.inputs[i], channels_last=channels_last) for i in samples]
        texts = [f"Σ {e.conservation.total[i]:.3g}" for i in samples]
        groups.setdefault(listing.group(e.spec), []).append(Row(name, tiles, texts))
    return [Group(listing.heading(key), rows) for key, rows in groups.items()]
