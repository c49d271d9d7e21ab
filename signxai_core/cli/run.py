"""The work of ``signxai explain``: compute, and write everything or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

import signxai_core as sx
from signxai_core.cli import files, outputs
from signxai_core.cli.inputs import Inputs, Layout
from signxai_core.cli.naming import picture_names
from signxai_core.cli.options import Pictures
from signxai_core.cli.printing import say
from signxai_core.cli.progress import bar
from signxai_core.cli.selection import Selection
from signxai_core.errors import InputShapeError
from signxai_core.explanation import Explanation
from signxai_core.extras import need

MAPS = "explanations.npz"
TABLE = "table.csv"
FOLDER = "maps"
#: Up to this many methods, ``--pictures auto`` draws one picture per sample and method.
FEW = 24
_SHOWN = 40
_PER_SHEET = 6
_WIDE = 100


@attrs.frozen(kw_only=True)
class Job:
    """One call of ``signxai explain``, its texts already turned into values."""

    model: Any
    inputs: Inputs
    selection: Selection
    request: dict[str, Any]
    parameters: dict[str, Any]
    rules: dict[str, str]
    output: Path
    layout: Layout
    pictures: Pictures
    overwrite: bool
    limits: dict[str, int | None] = attrs.field(factory=dict)


def run(job: Job, out: Console, err: Console) -> None:
    """Compute and write; ``out`` gets the table, ``err`` progress and what was left out."""
    for name, reason in job.selection.left_out.items():
        say(err, f"left out {name}: {reason}", "yellow")
    kind = _kind(job, err)
    singles, sheets = list(_singles(job, kind)), list(_sheets(job, kind))
    planned = [job.output / MAPS, job.output / TABLE, *(path for path, *_ in singles), *(path for path, _ in sheets)]
    files.refuse_existing(planned, overwrite=job.overwrite)
    result = _compute(job, err)
    table = list(outputs.rows(result))
    outputs.write_maps(job.output / MAPS, result)
    outputs.write_table(job.output / TABLE, table)
    if singles or sheets:
        _draw(job, result, singles, sheets, err)
    out.print(_render(table, out.width))
    for line in _summary(job, result, len(singles), sheets):
        say(out, line)


def _compute(job: Job, err: Console) -> outputs.Result:
    with bar(err, "explaining") as progress:
        explanations = explain(
            job.model,
            job.inputs.array,
            job.selection.names,
            job.rules,
            progress,
            {**job.request, **job.limits, **job.parameters},
        )
    for warning in dict.fromkeys(text for e in explanations.values() for text in e.plan.warnings):
        say(err, f"warning: {warning}", "yellow")
    request = {**job.request, "parameters": job.parameters, "rules": job.rules}
    return outputs.Result(explanations, job.inputs.array, job.inputs.labels, request)


def explain(
    model: Any, x: Any, names: Sequence[str], rules: Mapping[str, str], progress: Any, arguments: Mapping[str, Any]
) -> dict[str, Explanation]:
    """Explain with several methods, all of them with the same rules of layers; by name."""
    convention = arguments["convention"]
    methods = [sx.with_rules(name, rules, convention=convention) for name in names] if rules else names
    found = sx.explain_many(model, x, methods, progress=progress, **arguments)
    return dict(zip(names, found.values(), strict=True))


def _draw(
    job: Job,
    result: outputs.Result,
    singles: Sequence[tuple[Path, int, str]],
    sheets: Sequence[tuple[Path, range]],
    err: Console,
) -> None:
    from signxai_core.cli import drawing  # noqa: PLC0415 - matplotlib is an extra, and slow to import

    last = job.layout == "channels_last"
    tracked = track(singles, "pictures", console=err, disable=not err.is_terminal or not singles, transient=True)
    for path, content in drawing.singles(result, tracked, channels_last=last):
        files.write(path, content)
    for path, content in drawing.sheets(result, sheets, channels_last=last):
        files.write(path, content)


def _kind(job: Job, err: Console) -> Pictures:
    """Decide what ``--pictures auto`` means here, and refuse what cannot be drawn."""
    if job.pictures is Pictures.none:
        return Pictures.none
    shape = job.inputs.array.shape
    if not 2 <= len(shape) <= 4:
        text = f"inputs of shape {shape} cannot be drawn: only vectors, series and images can"
        if job.pictures is not Pictures.auto:
            raise InputShapeError(f"{text}; use --pictures none")
        say(err, f"no pictures: {text}")
        return Pictures.none
    need("matplotlib", "PIL", purpose="drawing pictures (--pictures none does without)")
    if job.pictures is not Pictures.auto:
        return job.pictures
    return Pictures.each if len(job.selection.names) <= FEW else Pictures.sheets


def _singles(job: Job, kind: Pictures) -> Iterator[tuple[Path, int, str]]:
    """Yield path, sample and method of every single picture."""
    if kind is Pictures.each:
        for (sample, name), file in picture_names(job.inputs.labels, job.selection.names).items():
            yield job.output / FOLDER / file, sample, name


def _sheets(job: Job, kind: Pictures) -> Iterator[tuple[Path, range]]:
    """Yield path and samples of every contact sheet."""
    if kind is Pictures.sheets:
        count = len(job.inputs.labels)
        for number, start in enumerate(range(0, count, _PER_SHEET), start=1):
            name = "sheet.png" if count <= _PER_SHEET else f"sheet_{number}.png"
            yield job.output / name, range(start, min(start + _PER_SHEET, count))


def _render(table: Sequence[tuple[Any, ...]], width: int) -> Table:
    """Lay the rows out by sample; a narrow terminal gets no extremes, so that names stay whole."""
    shown = outputs.COLUMNS[3:] if width >= _WIDE else outputs.COLUMNS[3:-2]
    rendered = Table(box=None, header_style="bold", pad_edge=False)
    rendered.add_column("method", overflow="fold")
    for column in shown:
        rendered.add_column(column, justify="right", no_wrap=True)
    previous = None
    for label, name, target, *numbers in table[:_SHOWN]:
        if label != previous:
            rendered.add_row(f"[bold]{escape(label)}[/], target {target}" if target != "" else escape(label))
            previous = label
        rendered.add_row(f"  {name}", *(f"{number:.4g}" for number in numbers[: len(shown)]))
    if len(table) > _SHOWN:
        rendered.caption = f"... and {len(table) - _SHOWN} more rows in {TABLE}"
    return rendered


def _summary(job: Job, result: outputs.Result, singles: int, sheets: Sequence[tuple[Path, range]]) -> Iterator[str]:
    shape = "×".join(map(str, result.inputs.shape))
    yield f"{len(result.explanations)} method(s), input {shape}, {result.first.backend} backend"
    yield f"maps     {job.output / MAPS}"
    yield f"table    {job.output / TABLE}"
    if singles:
        yield f"pictures {job.output / FOLDER} ({singles} files)"
    for path, _ in sheets:
        yield f"pictures {path}"
