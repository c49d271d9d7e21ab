"""The work of ``signxai explain``: compute batch by batch, then write everything."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

import signxai_core as sx
from signxai_core import calls
from signxai_core.cli import files, outputs
from signxai_core.cli.batches import Work, batch_size, compute, joined
from signxai_core.cli.inputs import Inputs, Layout
from signxai_core.cli.labelling import Labelling
from signxai_core.cli.naming import picture_names
from signxai_core.cli.options import Pictures
from signxai_core.cli.printing import say
from signxai_core.cli.selection import Selection
from signxai_core.cli.serialise import to_json
from signxai_core.cli.store import Store, create, find
from signxai_core.config import to_plain
from signxai_core.engine.target import per_sample
from signxai_core.errors import InputShapeError
from signxai_core.extras import need
from signxai_core.registry import registry

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
    """One call of ``signxai explain``, its texts already turned into values.

    ``origin`` says what the model was made of: texts and hashes of files.
    """

    model: Any
    origin: Mapping[str, str]
    inputs: Inputs
    selection: Selection
    request: dict[str, Any]
    parameters: dict[str, Any]
    rules: dict[str, str]
    output: Path
    layout: Layout
    pictures: Pictures
    overwrite: bool
    labelling: Labelling = attrs.field(factory=Labelling)
    batch_size: int | None = None
    max_memory: int | None = None


@attrs.frozen(eq=False)
class _Files:
    """The final files: single pictures by name, sample and method, and contact sheets by name and samples."""

    singles: Mapping[str, tuple[int, str]]
    sheets: Mapping[str, range]

    @property
    def names(self) -> tuple[str, ...]:
        return (MAPS, TABLE, *self.singles, *self.sheets)


def run(job: Job, out: Console, err: Console) -> None:
    """Compute and write; ``out`` gets the table, ``err`` progress and what was left out."""
    for name, reason in job.selection.left_out.items():
        say(err, f"left out {name}: {reason}", "yellow")
    kind = _kind(job, err)
    planned = _Files(_singles(job, kind), _sheets(job, kind))
    work = _work(job)
    call = _call(job, work, planned)
    store, over = find(job.output, call, overwrite=job.overwrite)
    if over:
        say(out, f"the run in {job.output} was finished; nothing was left to compute")
        return
    if store is None:
        files.refuse_existing([job.output / name for name in planned.names], overwrite=job.overwrite)
        store = create(job.output, call, outputs.earlier_files(job.output / MAPS), overwrite=job.overwrite)
    with _kept(store, len(work.rows()), err):
        compute(work, store, err)
        explanations, warnings = joined(work, store)
        for warning in warnings:
            say(err, f"warning: {warning}", "yellow")
        request = {**_request(job, work), "parameters": job.parameters, "rules": job.rules}
        result = outputs.Result(
            explanations, job.inputs.array, job.inputs.labels, request, planned.names[1:], job.labelling
        )
        table = list(outputs.rows(result))
        _write(job, store, result, table, planned, err)
    out.print(_render(table, out.width, job.labelling))
    for line in _summary(job, result, planned):
        say(out, line)


def _work(job: Job) -> Work:
    """Return what is to be computed; methods, parameters and targets that are wrong are found out here."""
    convention, found = calls.convention_of(job.request["convention"]), registry()
    specs = [
        (name, sx.with_rules(name, job.rules, convention=convention.name))
        if job.rules
        else (name, calls.spec_of(name, convention, found))
        for name in job.selection.names
    ]
    x, target = job.inputs.array, job.request["target"]
    return Work(
        model=job.model,
        x=x,
        specs=calls.labelled_specs(specs, job.parameters, found),
        target=None if target is None else per_sample(target, len(x)),
        arguments={key: job.request[key] for key in ("backend", "seed", "strict")} | {"max_memory": job.max_memory},
        size=batch_size(job.batch_size, len(x)),
    )


def _request(job: Job, work: Work) -> dict[str, Any]:
    return {**job.request, "batch_size": work.size, "max_memory": job.max_memory}


def _call(job: Job, work: Work, planned: _Files) -> dict[str, Any]:
    """Return everything that decides the final files, as JSON has it."""
    x = np.ascontiguousarray(work.x)
    call = {
        "versions": outputs.versions(),
        "model": dict(job.origin),
        "inputs": [x.dtype.str, list(x.shape), hashlib.sha256(x.tobytes()).hexdigest(), list(job.inputs.labels)],
        "methods": {name: to_plain(spec, registry()) for name, spec in work.specs.items()},
        "options": to_json(_request(job, work)),
        "parameters": to_json(job.parameters),
        "rules": job.rules,
        "layout": job.layout,
        "labelling": attrs.asdict(job.labelling),
        "files": list(planned.names),
    }
    loaded: dict[str, Any] = json.loads(json.dumps(call))
    return loaded


@contextlib.contextmanager
def _kept(store: Store, batches: int, err: Console) -> Iterator[None]:
    """Say, when the block is left by an exception, what is kept; leave nothing where that is nothing."""
    try:
        yield
    except BaseException:
        kept = sum(store.part(number).exists() for number in range(batches))
        if kept:
            say(err, f"{kept} of {batches} batches are kept in {store.folder}; the same command goes on from there")
        else:
            store.abandon()
        raise


def _write(
    job: Job,
    store: Store,
    result: outputs.Result,
    table: Sequence[tuple[Any, ...]],
    planned: _Files,
    err: Console,
) -> None:
    """Write every final file as a draft, then move all of them to their places."""
    outputs.write_maps(store.draft(MAPS), result)
    outputs.write_table(store.draft(TABLE), table)
    if planned.singles or planned.sheets:
        from signxai_core.cli import drawing  # noqa: PLC0415 - matplotlib is an extra, and slow to import

        last = job.layout == "channels_last"
        singles = planned.singles.items()
        silent = not err.is_terminal or not singles
        tracked = track(singles, "pictures", console=err, disable=silent, transient=True)
        for name, content in drawing.singles(result, tracked, channels_last=last):
            files.write(store.draft(name), content)
        for name, content in drawing.sheets(result, planned.sheets.items(), channels_last=last):
            files.write(store.draft(name), content)
    store.publish(planned.names)


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


def _singles(job: Job, kind: Pictures) -> dict[str, tuple[int, str]]:
    """Return sample and method of every single picture, by file name."""
    if kind is not Pictures.each:
        return {}
    names = picture_names(job.inputs.labels, job.selection.names)
    return {f"{FOLDER}/{file}": pair for pair, file in names.items()}


def _sheets(job: Job, kind: Pictures) -> dict[str, range]:
    """Return the samples of every contact sheet, by file name."""
    if kind is not Pictures.sheets:
        return {}
    count = len(job.inputs.labels)
    ranges = [range(start, min(start + _PER_SHEET, count)) for start in range(0, count, _PER_SHEET)]
    return {"sheet.png" if len(ranges) == 1 else f"sheet_{i}.png": found for i, found in enumerate(ranges, start=1)}


def _render(table: Sequence[tuple[Any, ...]], width: int, labelling: Labelling) -> Table:
    """Lay the rows out by sample; a narrow terminal gets no extremes, so that names stay whole."""
    shown = outputs.COLUMNS[4:] if width >= _WIDE else outputs.COLUMNS[4:-2]
    rendered = Table(box=None, header_style="bold", pad_edge=False)
    rendered.add_column("method", overflow="fold")
    for column in shown:
        rendered.add_column(column, justify="right", no_wrap=True)
    previous = None
    for label, name, target, _, *numbers in table[:_SHOWN]:
        if label != previous:
            rendered.add_row(
                f"[bold]{escape(label)}[/], target {escape(labelling.target(target))}"
                if target != ""
                else escape(label)
            )
            previous = label
        rendered.add_row(f"  {name}", *(f"{number:.4g}" for number in numbers[: len(shown)]))
    if len(table) > _SHOWN:
        rendered.caption = f"... and {len(table) - _SHOWN} more rows in {TABLE}"
    return rendered


def _summary(job: Job, result: outputs.Result, planned: _Files) -> Iterator[str]:
    shape = "×".join(map(str, result.inputs.shape))
    yield f"{len(result.explanations)} method(s), input {shape}, {result.first.backend} backend"
    yield f"maps     {job.output / MAPS}"
    yield f"table    {job.output / TABLE}"
    if planned.singles:
        yield f"pictures {job.output / FOLDER} ({len(planned.singles)} files)"
    for name in planned.sheets:
        yield f"pictures {job.output / name}"
