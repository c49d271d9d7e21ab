"""The comparison as a page, written from the results alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import judging
import methods
import tables

from signxai_core.cli import files, outputs

NAMES = {"aoc": "AOC", "pcc": "PCC", "scc": "SCC"}
_FIGURES = (
    ("curves", "Mean MoRF curves. SIGN variants have full lines."),
    ("scatter", "AOC against PCC and SCC: one point per method, network and inversion."),
    ("histograms", "How often |x| and |R| occur together (largest of each image: 1); logarithmic colours."),
    ("grid", "Maps of one model; every map has its own scale."),
    ("two_classes", "One image explained for two classes."),
    ("misclassified", "Images that the model takes for another digit, explained for that digit."),
    ("snapshots", "The most relevant 0, 5, 20 and 100 % of the pixels replaced, with the class's probability."),
)


def write(
    path: Path,
    results: Sequence[judging.Result],
    plan: judging.Plan,
    source: str,
    pictures: Path,
    more: Iterable[str] = (),
) -> None:
    """Write the page; ``pictures`` is the folder of the figures, below that of the page; ``more`` are further lines."""
    found = tables.differences(results)
    lines = [
        "# The comparison of SIGN methods, redone",
        "",
        "<!-- Written by examples/comparison/paper; do not edit. -->",
        "",
        *_conclusion(found),
        "",
        *_ranges(results),
        "",
        *_what(results, plan, source),
        "",
        "## SIGN variants against the methods beside them",
        "",
        *_difference_table(found),
    ]
    for measure in tables.MEASURES:
        lines += ["", f"## {NAMES[measure]}", "", *_table(results, measure)]
    further = list(more)
    lines += ["", *further] if further else []
    lines += ["", "## Figures", ""]
    for name, text in _FIGURES:
        if (pictures / f"{name}.png").is_file():
            place = (pictures / f"{name}.png").relative_to(path.parent).as_posix()
            lines += [f"![{text}]({place})", "", f"*{text}*", ""]
    lines += ["## Models", "", *_models(results)]
    files.write(path, ("\n".join(lines).rstrip("\n") + "\n").encode())


def conclusion(found: Sequence[tables.Difference]) -> str:
    """Return in how many comparisons the SIGN variant is higher or lower, by measure."""
    texts = []
    for measure in tables.MEASURES:
        verdicts = [d.verdict for d in found if d.measure == measure]
        if verdicts:
            counts = ", ".join(
                f"{verdict} in {verdicts.count(verdict)}" for verdict in ("higher", "lower", "undecided")
            )
            texts.append(f"{NAMES[measure]} is {counts} of {len(verdicts)}")
    return "; ".join(texts)


def _conclusion(found: Sequence[tables.Difference]) -> Iterator[str]:
    yield "SIGN variants (`..._x_sign`, `lrpsign_...`) less the methods beside them, on the same images and models:"
    yield ""
    for kind, pairs in (("a product with the input", methods.PAIRS[:2]), ("the plain method", methods.PAIRS[2:])):
        part = [d for d in found if (d.sign, d.other) in pairs]
        if part:
            yield f"- **Against {kind}: {conclusion(part)} comparisons.**"
    yield ""
    yield (
        "A comparison is one pair of methods on one kind of network, plain or inverted. It is decided where the "
        "interval of the paired difference leaves out 0; all intervals of the table together hold with 95 % "
        "(Student over images, Bonferroni). The SIGN idea promises a higher (or no lower) AOC and a lower PCC and "
        "SCC. A map times a sign has the same |R|, and so the same PCC and SCC, as the plain map: there only AOC is "
        "compared. PCC and SCC keep their signs, as published: below 0, relevance is large where the input is small."
    )


def _ranges(results: Sequence[judging.Result]) -> Iterator[str]:
    """Say in which ranges of the input the means above come about."""
    found = tables.by_range(results)
    worse = [f"`{sign}` in {range_}" for sign, _, range_, interval in found if interval.high < 0]
    even = [f"`{sign}` in {range_}" for sign, _, range_, i in found if i.low <= 0 <= i.high]
    yield "Means over the ranges hide where it comes from. The difference of AOC in each range of the input:"
    yield ""
    yield "| SIGN variant | less | range of the input | AOC |"
    yield "|---|---|---|---|"
    for sign, other, range_, interval in found:
        yield f"| `{sign}` | `{other}` | {range_.replace('_', ' ')} | {interval} |"
    yield ""
    yield f"**Lower AOC than beside: {', '.join(worse) or 'nowhere'}. Undecided: {', '.join(even) or 'nowhere'}.**"


def _what(results: Sequence[judging.Result], plan: judging.Plan, source: str) -> Iterator[str]:
    seconds = sum(float(result.arrays["seconds"]) for result in results)
    models = len({str(result.setting) for result in results})
    versions = ", ".join(f"{name} {version}" for name, version in outputs.versions().items())
    yield "## What was run"
    yield ""
    yield (
        f"- {source}: {models} models × {plan.seeds} training(s) (seeds 0 to {plan.seeds - 1}), {plan.images} test "
        f"images each, {len(tables.rows(results))} methods, convention `{plan.convention}`."
    )
    yield (
        f"- Training: {plan.epochs['dense']} epochs (dense), {plan.epochs['cnn']} (convolutional); published: 5 and 3 "
        "on MNIST. Everything else as published: Adam, batches of 128, five images of each by diagonal shifts, noise."
    )
    yield "- MoRF, AOC, PCC and SCC by the [published protocol](metrics.md#the-published-protocol)."
    yield f"- {versions}. {seconds / 60:.0f} minutes of computing."
    yield ""
    yield "    python examples/comparison/paper --quick   # one training, 50 images"
    yield "    python examples/comparison/paper           # five trainings, 100 images; killed, it goes on where it was"
    yield ""
    yield (
        "Means are over ranges of the input ([0, 1], [−1, 0], [−1, 1]), trainings and images; the intervals are over "
        "images (95 %, bootstrap): they do not say how much another data set would differ. μ lies in the middle of "
        "each range."
    )


def _table(results: Sequence[judging.Result], measure: str) -> Iterator[str]:
    yield f"| method | {' | '.join(tables.TITLES[column] for column in tables.COLUMNS)} |"
    yield "|---" * (1 + len(tables.COLUMNS)) + "|"
    for row, cells in tables.merged(results, measure).items():
        shown = [str(cells[column]) if column in cells and cells[column].count else "–" for column in tables.COLUMNS]
        yield f"| `{row}` | {' | '.join(shown)} |"


def _difference_table(found: Iterable[tables.Difference]) -> Iterator[str]:
    yield "| SIGN variant | less | network | measure | difference | verdict | models that agree |"
    yield "|---|---|---|---|---|---|---|"
    for d in found:
        cells: list[Any] = [f"`{d.sign}`", f"`{d.other}`", tables.TITLES[d.column], NAMES[d.measure], d.interval]
        yield f"| {' | '.join(map(str, cells))} | {d.verdict} | {d.agreeing} of {d.models} |"


def _models(results: Sequence[judging.Result]) -> Iterator[str]:
    yield "Accuracy on all test images, per training:"
    yield ""
    yield "| model | accuracy |"
    yield "|---|---|"
    for setting in dict.fromkeys(result.setting for result in results):
        shares = [float(result.arrays["accuracy"]) for result in results if result.setting == setting]
        yield f"| {setting} | {', '.join(f'{share:.1%}' for share in shares)} |"
