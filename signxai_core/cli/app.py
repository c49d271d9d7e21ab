"""The commands of ``signxai``.

Every option of a command is a parameter of its function; that is how typer works.
"""

# ruff: noqa: FBT001, FBT002, PLR0913, PLR0917

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, TextIO

import attrs
import typer
from rich.console import Console

import signxai_core as sx
from signxai_core.cli import comparing, examples, experiment, judging, listing, models, options, show
from signxai_core.cli import recompute as recomputing
from signxai_core.cli import run as running
from signxai_core.cli.inputs import read
from signxai_core.cli.printing import printable
from signxai_core.cli.selection import matching
from signxai_core.errors import InputError, SignxaiError, SignxaiWarning
from signxai_core.registry import check, discover, registry

app = typer.Typer(
    name="signxai",
    help="Explain what a neural network looked at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error of the library is a message and exit status 1."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            app()
        except SignxaiError as error:
            typer.echo(f"error: {printable(str(error))}", err=True)
            sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    place = "" if issubclass(category, SignxaiWarning) else f" ({category.__name__}, {filename}:{lineno})"
    typer.echo(f"warning: {printable(str(message))}{place}", err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signxai-core {sx.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Explain what a neural network looked at."""


@app.command()
def methods(
    pattern: Annotated[str | None, typer.Argument(help="Glob pattern, such as 'lrpsign_*'.")] = None,
    family: Annotated[options.Family | None, typer.Option(help="Only this family.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print only how many.")] = False,
    beyond: Annotated[bool, typer.Option("--all", help="Names beyond the published table, too.")] = False,
    update: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Put the table of methods between the markers of a file.")
    ] = None,
    config: options.ConfigOption = None,
) -> None:
    """List the methods of the published table; any other name of the grammar works too."""
    if update is not None:
        typer.echo(f"{update}: {'updated' if listing.update(update) else 'up to date'}")
        return
    names = matching(pattern or "*", beyond=beyond)
    if family is not None:
        names = [name for name in names if sx.parse(name).family == family.value]
    if count:
        typer.echo(len(names))
    elif as_json:
        typer.echo(json.dumps(listing.as_json(names), indent=2))
    elif names:
        typer.echo("\n".join(names))
    else:
        raise InputError(f"no listed method matches {pattern or '*'!r}; 'signxai methods' lists them all")


@app.command(name="show")
def show_method(
    name: Annotated[str, typer.Argument(help="Any name of the grammar, listed or not.")],
    convention: options.ConventionOption = options.Convention.textbook,
    config: options.ConfigOption = None,
) -> None:
    """Show what a name stands for: its parts, and the formula and reference of every rule."""
    Console().print(show.render(name, convention.value))


@app.command()
def rules(config: options.ConfigOption = None) -> None:
    """List the rules of propagation, and the plugins that they come from."""
    Console().print(listing.rules(registry()))


@app.command()
def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what each plugin registered, and try its rules and words.")
    ] = False,
) -> None:
    """List the plugins, and what is wrong with those that have problems."""
    found = discover()
    Console().print(listing.plugins(found))
    if verbose:
        Console().print()
        Console().print(listing.entries(found))
    for problem in (*found.problems, *(check(found) if verbose else ())):
        typer.echo(f"problem: {printable(str(problem))}", err=True)


@app.command()
def plan(
    model: options.ModelArgument,
    inputs: options.InputsArgument,
    method: Annotated[str, typer.Option("--method", "-m", help="Any name of the grammar.")],
    weights: options.WeightsOption = None,
    convention: options.ConventionOption = options.Convention.textbook,
    backend: options.BackendOption = None,
    strict: options.StrictOption = True,
    set_: options.SetOption = None,
    rule: options.RuleOption = None,
    layout: options.LayoutOption = None,
    size: options.SizeOption = None,
    scale: options.ScaleOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    grey: options.GreyOption = False,
    preprocess: options.PreprocessOption = None,
    sampling_rate: options.SamplingRateOption = None,
    leads: options.LeadsOption = None,
    key: options.KeyOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Show which rule every operation of the model gets, and why."""
    how = options.reading(
        size, scale, mean, std, grey, key, preprocess=preprocess, sampling_rate=sampling_rate, leads=leads
    )
    spec = sx.with_rules(method, options.rules(rule), convention=convention.value)
    parameters = options.parameters(set_)
    loaded = models.load(model, weights=weights, backend=backend)
    place = models.layout(loaded, layout, backend)
    how = models.own_images(model, loaded, inputs, attrs.evolve(how, layout=place))
    found = sx.plan(
        loaded,
        read(inputs, how).array,
        spec,
        backend=backend,
        convention=convention.value,
        strict=strict,
        **parameters,
    )
    typer.echo(printable(str(found)))


@app.command()
def explain(
    model: options.ModelArgument,
    inputs: options.InputsArgument,
    method: options.MethodOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the files go to.")],
    exclude: options.ExcludeOption = None,
    weights: options.WeightsOption = None,
    target: options.TargetOption = None,
    convention: options.ConventionOption = options.Convention.textbook,
    backend: options.BackendOption = None,
    seed: options.SeedOption = None,
    strict: options.StrictOption = True,
    batch_size: options.BatchSizeOption = None,
    max_memory: options.MaxMemoryOption = None,
    set_: options.SetOption = None,
    rule: options.RuleOption = None,
    layout: options.LayoutOption = None,
    size: options.SizeOption = None,
    scale: options.ScaleOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    grey: options.GreyOption = False,
    preprocess: options.PreprocessOption = None,
    sampling_rate: options.SamplingRateOption = None,
    leads: options.LeadsOption = None,
    key: options.KeyOption = None,
    config: options.ConfigOption = None,
    pictures: Annotated[
        options.Pictures, typer.Option(help="One PNG per sample and method, contact sheets, or what is fewer.")
    ] = options.Pictures.auto,
    labels: options.LabelsOption = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Compute relevance maps; write them as .npz, as pictures and as a table."""
    job = running.Job(
        model=model,
        weights=weights,
        inputs=inputs,
        reading=options.reading(
            size, scale, mean, std, grey, key, preprocess=preprocess, sampling_rate=sampling_rate, leads=leads
        ),
        layout=layout,
        methods=method,
        exclude=exclude or (),
        request={
            "target": options.target(target),
            "convention": convention.value,
            "backend": backend,
            "seed": None if seed is None else seed.value,
            "strict": strict,
        },
        parameters=options.parameters(set_),
        rules=options.rules(rule),
        output=output,
        pictures=pictures,
        classes=options.names(labels, "--labels") or (),
        overwrite=overwrite,
        batch_size=batch_size,
        max_memory=max_memory,
    )
    running.run(job, Console(), Console(stderr=True))


@app.command()
def recompute(
    file: Annotated[Path, typer.Argument(help="explanations.npz of an earlier call.")],
    model: options.ModelArgument,
    weights: options.WeightsOption = None,
    config: options.ConfigOption = None,
) -> None:
    """Compute the maps of an earlier call again; exit status 1 where they differ."""
    stored = recomputing.read(file)
    loaded = models.load(model, weights=weights, backend=stored.request["backend"])
    compared = recomputing.compare(loaded, stored, Console(stderr=True))
    Console().print(listing.comparisons(compared))
    different = sum(not entry.same for entry in compared)
    typer.echo(f"{len(compared) - different} of {len(compared)} maps are the same")
    if different:
        raise typer.Exit(1)


app.command(name="compare")(comparing.compare)
app.command(name="metrics")(judging.judge)
app.command(name="run")(experiment.run_experiment)
app.command(name="schema")(experiment.schema)
app.command(name="prepare")(examples.prepare)
app.command(name="demo")(examples.demo)
