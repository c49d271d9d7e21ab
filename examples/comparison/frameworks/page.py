"""The comparison of frameworks as a page, a table and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import judging
import matplotlib as mpl

mpl.use("Agg")  # files, no windows
import matplotlib.pyplot as plt

from signxai_core import plot
from signxai_core.cli import files, outputs

#: Whose maps are drawn, where they were computed.
DRAWN = ("gradient", "lrpsign_epsilon_0_25_std_x", "lrp_alpha_1_beta_0", "lrpsign_sequential_composite_b")
_DPI = 110
_COLUMNS = ("largest", "mean", "relative", "normalised_largest", "normalised_mean", "correlation")
_LEAD = 1


def write(folder: Path, results: Sequence[judging.Result], tolerance: float, dtype: str) -> list[str]:
    """Write everything, and return the names of the layers and methods beyond the tolerance."""
    beyond: list[str] = []
    lines = ["# PyTorch and TensorFlow, with the same weights", ""]
    lines += ["<!-- Written by examples/comparison/frameworks; do not edit. -->", ""]
    for result in results:
        wrong = [a.name for a in (*result.layers, *result.methods) if not result.agrees(a, tolerance)]
        beyond += [f"{result.key}: {name}" for name in wrong]
        lines += [f"- {_verdict(result, tolerance)}"]
    lines += ["", *_about(tolerance, dtype)]
    for result in results:
        _table(folder / f"{result.key}_layers.csv", result.layers)
        _table(folder / f"{result.key}_methods.csv", result.methods)
        lines += ["", f"## {result.title}", "", *_pictures(folder, result)]
        lines += ["Activations, layer by layer:", "", *_rows(result, result.layers, tolerance), ""]
        lines += ["Maps:", "", *_rows(result, result.methods, tolerance)]
        for name, reason in result.left_out.items():
            lines += ["", f"Left out: `{name}` ({reason})."]
    files.write(folder / "frameworks.md", ("\n".join(lines).rstrip("\n") + "\n").encode())
    return beyond


def _verdict(result: judging.Result, tolerance: float) -> str:
    within = [a for a in result.methods if a.relative <= tolerance]
    text = f"**{result.key}: {len(within)} of {len(result.methods)} methods agree within {tolerance:g}**"
    if within:
        worst = max(within, key=lambda a: a.relative)
        text += f"; the largest difference of those is {worst.relative:.2g} (`{worst.name}`)"
    if not result.exact:
        return text
    names = ", ".join(f"`{name}`" for name in result.exact)
    largest = max(a.relative for a in result.methods if a.name in result.exact)
    exactly = max(a.relative for a in result.exact.values())
    return (
        f"{text}. The other {len(result.exact)} differ by up to {largest:.2g}, where rounding decides on which side of "
        f"0 the input of a ReLU lies, and by {exactly:.2g} in float64: {names}"
    )


def _about(tolerance: float, dtype: str) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in outputs.versions().items())
    yield (
        f"Weights are drawn once and copied by `copy_weights`; numbers are {dtype}. A map agrees where max |a − b| / "
        f"max |a| ≤ {tolerance:g}. *Normalised* maps are divided by their own largest |R| first; the correlation is "
        f"Pearson's, the smallest of the samples. Names that leave μ open have μ = {judging.MU}. {versions}."
    )
    yield ""
    yield "    python examples/comparison/frameworks --output frameworks"


def _rows(result: judging.Result, found: Sequence[judging.Apart], tolerance: float) -> Iterator[str]:
    yield "| name | largest | mean | relative | normalised: largest | mean | correlation | agrees |"
    yield "|---|---|---|---|---|---|---|---|"
    for a in found:
        numbers = " | ".join(f"{getattr(a, column):.2g}" for column in _COLUMNS[:-1])
        agrees = "yes" if result.agrees(a, tolerance) else "**no**"
        if a.name in result.exact:
            agrees = (
                f"{'in' if result.agrees(a, tolerance) else '**not** in'} float64 ({result.exact[a.name].relative:.2g})"
            )
        yield f"| `{a.name}` | {numbers} | {a.correlation:.8f} | {agrees} |"


def _table(path: Path, found: Sequence[judging.Apart]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *_COLUMNS])
    for a in found:
        row = attrs.asdict(a)
        writer.writerow([a.name, *(f"{row[column]:.8g}" for column in _COLUMNS)])
    files.write(path, text.getvalue().encode())


def _pictures(folder: Path, result: judging.Result) -> Iterator[str]:
    """Draw both maps and their difference, each framework's by itself."""
    for name in DRAWN:
        if name not in result.maps:
            continue
        a, b = (part[0] for part in result.maps[name])
        figure = _image(a, b, result, name) if result.x.ndim == 4 else _series(a, b, name)
        path = folder / f"{result.key}_{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
        plt.close(figure)
        yield f"![{name} in PyTorch, in TensorFlow, and their difference]({path.name})"
        yield ""


def _image(a: Any, b: Any, result: judging.Result, name: str) -> Any:
    return plot.difference(a, b, names=("PyTorch", "TensorFlow"), channels="first", title=name).figure


def _series(a: Any, b: Any, name: str) -> Any:
    figure, axes = plt.subplots(3, 1, figsize=(8, 4.5), sharex=True, layout="constrained")
    for place, values, title in zip(
        axes, (a[_LEAD], b[_LEAD], a[_LEAD] - b[_LEAD]), ("PyTorch", "TensorFlow", "difference"), strict=True
    ):
        place.plot(values, linewidth=0.7)
        place.set_title(f"{title}, lead II", fontsize=8)
    figure.suptitle(name, fontsize=9)
    return figure
