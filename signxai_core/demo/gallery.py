"""The demo's results as a page and as a picture."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Sequence
from typing import Any

import attrs
import jinja2
import numpy as np

from signxai_core.cli import listing, outputs, pictures
from signxai_core.cli.sheets import Group, Row, sheet
from signxai_core.demo.truth import Judged
from signxai_core.demo.work import MU, Part

#: A map counts as conserved when its sum is this close to what it started from, relatively.
TOLERANCE = 1e-3


def html(parts: Sequence[Part], known: Sequence[Judged], *, seed: int, framework: str) -> bytes:
    """Return one page that needs nothing but itself."""
    template = importlib.resources.files("signxai_core.demo").joinpath("gallery.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    scale = np.linspace(-1, 1, 256)[None]
    text = environment.from_string(template).render(
        digits=[_digit(parts, index) for index in range(len(parts[0].labels))],
        parts=[{"key": p.key, "title": p.title, "accuracy": p.accuracy, "held_out": p.held_out} for p in parts],
        known=[_judged(found) for found in known],
        methods=sum(len(part.result.explanations) for part in parts),
        framework=framework,
        seed=seed,
        convention=parts[0].result.first.convention,
        backend=parts[0].result.first.backend,
        versions=outputs.versions(),
        scale=_uri(pictures.heat(scale)),
        mu=MU,
        open_mu=[name for part in parts for name in part.open_mu],
        tolerance=TOLERANCE,
    )
    return text.encode()


def _judged(found: Judged) -> dict[str, Any]:
    pictures = [
        {"caption": picture.caption, "data": "data:image/png;base64," + base64.b64encode(picture.content).decode()}
        for picture in found.pictures
    ]
    rows = [{"name": name, "mass": mass, "rank": rank, "gap": gap} for name, mass, rank, gap in found.rows]
    return {**attrs.asdict(found, recurse=False), "rows": rows, "pictures": pictures}


def _digit(parts: Sequence[Part], index: int) -> dict[str, Any]:
    first = parts[0].result
    groups = [group for part in parts for group in _groups(part, index)]
    assert first.first.target is not None
    target = int(first.first.target[index])
    return {
        "label": parts[0].labels[index],
        "target": target,
        "logit": float(first.first.output[index, target]),
        "picture": _uri(_input(parts[0], index).pixels),
        "groups": groups,
    }


def _groups(part: Part, index: int) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, e in part.result.explanations.items():
        total, expected = float(e.conservation.total[index]), float(e.conservation.expected[index])
        card = {
            "name": name,
            "picture": _uri(_map(part, name, index).pixels),
            "total": total,
            "expected": expected,
            "conserved": abs(total - expected) <= TOLERANCE * abs(expected),
            "low": float(e.relevance[index].min()),
            "high": float(e.relevance[index].max()),
        }
        found.setdefault(_heading(part, listing.group(e.spec)), []).append(card)
    return [{"heading": heading, "cards": cards} for heading, cards in found.items()]


def _heading(part: Part, key: str) -> str:
    return listing.heading(key) + (", on time series" if part.key == "series" else "")


def _map(part: Part, name: str, index: int) -> pictures.Tile:
    return pictures.Tile(pictures.heat(_plane(part, part.result.explanations[name].relevance[index])))


def _input(part: Part, index: int) -> pictures.Tile:
    plane = _plane(part, part.result.inputs[index])
    return pictures.input_tile(plane[None], channels_last=False)


def _plane(part: Part, sample: Any) -> Any:
    """Return a digit with its rows as rows, whichever way the network saw it."""
    if part.key == "images":
        return sample.squeeze(part.channel_axis - 1)
    # A column of the digit is a channel, a row a step; only where channels come first are they swapped.
    return sample.T if part.channel_axis == 1 else sample


def _uri(pixels: pictures.Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(pictures.png(pixels)).decode()


def png(parts: Sequence[Part], *, framework: str) -> bytes:
    """Return the maps of all digits, by family."""
    groups: dict[str, list[Row]] = {}
    for part in parts:
        for name, e in part.result.explanations.items():
            places = range(len(part.labels))
            tiles = [_map(part, name, index) for index in places]
            texts = [f"Σ {e.conservation.total[index]:.3g}" for index in places]
            groups.setdefault(_heading(part, listing.group(e.spec)), []).append(Row(name, tiles, texts))
    first = parts[0]
    logits = [float(row.max()) for row in first.result.first.output]
    inputs = [_input(first, index) for index in range(len(first.labels))]
    accuracy = ", ".join(f"{p.key} {p.accuracy:.1%} of {p.held_out} held-out digits right" for p in parts)
    return sheet(
        f"signxai demo: {sum(len(p.result.explanations) for p in parts)} methods on {len(first.labels)} digits",
        f"{accuracy}; {framework}, {first.result.first.convention} convention. Red: positive, blue negative, white 0; "
        "every map is scaled by its own largest |R|. Σ: sum of relevance.",
        Row("input, logit of the explained class", inputs, [f"{logit:.3g}" for logit in logits]),
        [Group(heading, rows) for heading, rows in groups.items()],
    )
