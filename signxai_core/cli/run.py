"""The work of ``signxai explain``: compute batch by batch, then write everything."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

import signxai_core as sx
from signxai_core import calls
from signxai_core.cli import files, models, options, outputs
from signxai_core.cli.batches import Work, batch_size, compute, joined
from signxai_core.cli.inputs import Inputs, Layout, Reading, read
from signxai_core.cli.labelling import Labelling
from signxai_core.cli.naming import picture_names
from signxai_core.cli.options import Pictures
from signxai_core.cli.printing import say
from signxai_core.cli.selection import Selection, select
from signxai_core.cli.serialise import to_json
from signxai_core.cli.store import Store, create, find
from signxai_core.config import to_plain
from signxai_core.engine.target import per_sample
from signxai_core.errors import InputShapeError
from signxai_core.extras import need
from signxai_core.registry import registry
from signxai_core.specs import MethodSpec

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
    """One call of ``signxai explain``, its texts already turned into values; nothing was read or imported yet.

    ``layout`` is ``None`` where the model decides it, ``reading`` says everything else about inputs.
    """

    model: str
    weights: Path | None
    inputs: Sequence[Path]
    reading: Reading
    layout: options.Layout | None
    methods: Sequence[str]
    exclude: Sequence[str]
    request: dict[str, Any]
    parameters: dict[str, Any]
    rules: dict[str, str]
    output: Path
    pictures: Pictures
    overwrite: bool
    classes: Sequence[str] = ()
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

    def without(self, methods: Collection[str]) -> _Files:
        """Return the files that there are when some methods were left out."""
        return _Files({file: pair for file, pair in self.singles.items() if pair[1] not in methods}, self.sheets)


def run(job: Job, out: Console, err: Console) -> None:
    """Compute and write; ``out`` gets the table, ``err`` progress and what was left out.

    The model is imported, which runs its code, when everything else was read and checked.
    """
    layout: Layout = "channels_first" if job.layout is None else job.layout.value
    first = models.own_images(job.model, None, job.inputs, attrs.evolve(job.reading, layout=layout))
    inputs = read(job.inputs, first)
    selection = select(job.methods, exclude=job.exclude, ndim=inputs.array.ndim, given=job.parameters)
    for name, reason in selection.left_out.items():
        say(err, f"left out {name}: {reason}", "yellow")
    planned = _planned(job, inputs, selection, err)
    specs, target = _specs(job, selection), _target(job, inputs)
    model = models.load(job.model, weights=job.weights, backend=job.request["backend"])
    layout = models.layout(model, job.layout, job.request["backend"])
    how = models.own_images(job.model, model, job.inputs, attrs.evolve(job.reading, layout=layout))
    inputs = inputs if how == first else read(job.inputs, how)
    labelling = Labelling(
        classes=tuple(job.classes) or models.class_names(job.model, job.weights),
        sampling_rate=inputs.sampling_rate,
        leads=inputs.leads or (),
        preprocess=how.preprocess,
    )
    work = Work(
        model=model,
        x=inputs.array,
        specs=specs,
        target=target,
        arguments={key: job.request[key] for key in ("backend", "seed", "strict")} | {"max_memory": job.max_memory},
        size=batch_size(job.batch_size, len(inputs.array)),
        collect=frozenset(selection.names) - selection.named,
    )
    _carry_out(job, work, inputs.labels, planned, labelling, layout, out, err)


def _carry_out(
    job: Job,
    work: Work,
    labels: tuple[str, ...],
    planned: _Files,
    labelling: Labelling,
    layout: Layout,
    out: Console,
    err: Console,
) -> None:
    call = _call(job, work, labels, planned, labelling, layout)
    store, over = find(job.output, call, overwrite=job.overwrite)
    if over:
        say(out, f"the run in {job.output} was finished; nothing was left to compute")
        return
    if store is None:
        files.refuse_existing([job.output / name for name in planned.names], overwrite=job.overwrite)
        store = create(job.output, call, outputs.earlier_files(job.output / MAPS), overwrite=job.overwrite)
    with _kept(store, len(work.rows()), err):
        compute(work, store, err)
        explanations, warnings, failed = joined(work, store)
        for name, reason in failed.items():
            say(err, f"left out {name}: {reason}", "yellow")
        planned = planned.without(failed)
        for warning in warnings:
            say(err, f"warning: {warning}", "yellow")
        request = {**_request(job, work), "parameters": job.parameters, "rules": job.rules}
        result = outputs.Result(explanations, work.x, labels, request, planned.names[1:], labelling)
        table = list(outputs.rows(result))
        _write(store, result, table, planned, layout, err)
    out.print(_render(table, out.width, labelling))
    for line in _summary(job, result, planned):
        say(out, line)


def _specs(job: Job, selection: Selection) -> dict[str, MethodSpec]:
    """Return the methods with their parameters; those that are wrong are found out here."""
    convention, found = calls.convention_of(job.request["convention"]), registry()
    specs = [
        (name, sx.with_rules(name, job.rules, convention=convention.name))
        if job.rules
        else (name, calls.spec_of(name, convention, found))
        for name in selection.names
    ]
    return calls.labelled_specs(specs, job.parameters, found)


def _target(job: Job, inputs: Inputs) -> npt.NDArray[np.int64] | None:
    target = job.request["target"]
    return None if target is None else per_sample(target, len(inputs.array))


def _request(job: Job, work: Work) -> dict[str, Any]:
    return {**job.request, "batch_size": work.size, "max_memory": job.max_memory}


def _call(
    job: Job, work: Work, labels: tuple[str, ...], planned: _Files, labelling: Labelling, layout: Layout
) -> dict[str, Any]:
    """Return everything that decides the final files, as JSON has it."""
    x = np.ascontiguousarray(work.x)
    call = {
        "versions": outputs.versions(),
        "model": models.origin(job.model, job.weights),
        "inputs": [x.dtype.str, list(x.shape), hashlib.sha256(x.tobytes()).hexdigest(), list(labels)],
        "methods": {name: to_plain(spec, registry()) for name, spec in work.specs.items()},
        "options": to_json(_request(job, work)),
        "parameters": to_json(job.parameters),
        "rules": job.rules,
        "layout": layout,
        "labelling": attrs.asdict(labelling),
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
    store: Store,
    result: outputs.Result,
    table: Sequence[tuple[Any, ...]],
    planned: _Files,
    layout: Layout,
    err: Console,
) -> None:
    """Write every final file as a draft, then move all of them to their places."""
    outputs.write_maps(store.draft(MAPS), result)
    outputs.write_table(store.draft(TABLE), table)
    if planned.singles or planned.sheets:
        from signxai_core.cli import drawing  # noqa: PLC0415 - matplotlib is an extra, and slow to import

        last = layout == "channels_last"
        singles = planned.singles.items()
        silent = not err.is_terminal or not singles
        tracked = track(singles, "pictures", console=err, disable=silent, transient=True)
        for name, content in drawing.singles(result, tracked, channels_last=last):
            files.write(store.draft(name), content)
        for name, content in drawing.sheets(result, planned.sheets.items(), channels_last=last):
            files.write(store.draft(name), content)
    store.publish(planned.names)


def _planned(job: Job, inputs: Inputs, selection: Selection, err: Console) -> _Files:
    """Decide which files there will be, and refuse pictures of what cannot be drawn."""
    kind, singles, sheets = _kind(job, inputs.array.shape, len(selection.names), err), {}, {}
    if kind is Pictures.each:
        names = picture_names(inputs.labels, selection.names)
        singles = {f"{FOLDER}/{file}": pair for pair, file in names.items()}
    if kind is Pictures.sheets:
        count = len(inputs.labels)
        ranges = [range(start, min(start + _PER_SHEET, count)) for start in range(0, count, _PER_SHEET)]
        sheets = {f"sheet_{i}.png" if len(ranges) > 1 else "sheet.png": rows for i, rows in enumerate(ranges, start=1)}
    return _Files(singles, sheets)


def _kind(job: Job, shape: tuple[int, ...], methods: int, err: Console) -> Pictures:
    """Decide what ``--pictures auto`` means here."""
    if job.pictures is Pictures.none:
        return Pictures.none
    if not 2 <= len(shape) <= 4:
        text = f"inputs of shape {shape} cannot be drawn: only vectors, series and images can"
        if job.pictures is not Pictures.auto:
            raise InputShapeError(f"{text}; use --pictures none")
        say(err, f"no pictures: {text}")
        return Pictures.none
    need("matplotlib", "PIL", purpose="drawing pictures (--pictures none does without)")
    if job.pictures is not Pictures.auto:
        return job.pictures
    return Pictures.each if methods <= FEW else Pictures.sheets


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
