"""``signxai run``, an experiment that a file declares, and ``signxai schema``, what a file may say."""

# ruff: noqa: FBT002 - every option of a command is a parameter of its function

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

import signxai_core as sx
from signxai_core import config
from signxai_core.cli import options
from signxai_core.cli import run as running
from signxai_core.cli.inputs import Reading
from signxai_core.config import schema as json_schema
from signxai_core.config.experiments import Experiment
from signxai_core.errors import InputError, UnknownNameError
from signxai_core.registry import registry, registry_without


def run_experiment(
    file: Annotated[Path, typer.Argument(help="TOML file that declares an experiment.")],
    name: Annotated[str | None, typer.Argument(help="Which experiment, where there are several.")] = None,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Carry out an experiment that a file declares: like 'explain', its options written down.

    Imports the module that the file names, after everything else was checked: run only files that you trust.
    """
    run(file, name, Console(), Console(stderr=True), overwrite=overwrite)


def schema() -> None:
    """Print the JSON Schema of configuration files, for editors that complete and check them."""
    typer.echo(json.dumps(json_schema.schema(registry()), indent=2))


def run(file: Path, name: str | None, out: Console, err: Console, *, overwrite: bool) -> None:
    """Load a file and carry out one of its experiments.

    Loading a file runs nothing. This imports the module that the experiment names, which runs the
    module's code, as naming it on the command line does; everything else is checked before.
    """
    sx.load(file)
    experiment = choose(config.experiments(file, registry_without(file)), file, name)
    folder = file.parent
    job = running.Job(
        model=experiment.model,
        weights=None if experiment.weights is None else folder / experiment.weights,
        inputs=[folder / path for path in experiment.inputs],
        reading=_reading(experiment),
        layout=None if experiment.layout is None else options.Layout(experiment.layout),
        methods=experiment.methods,
        exclude=experiment.exclude,
        request=_request(experiment),
        parameters={key: np.array(v) if isinstance(v, list) else v for key, v in experiment.parameters.items()},
        rules=experiment.rules,
        output=folder / experiment.output,
        pictures=options.Pictures(experiment.pictures),
        overwrite=overwrite,
        batch_size=experiment.batch_size,
        max_memory=experiment.max_memory,
    )
    running.run(job, out, err)


def choose(found: dict[str, Experiment], file: Path, name: str | None) -> Experiment:
    """Return the experiment of that name, or the only one."""
    if name is not None:
        if name not in found:
            raise UnknownNameError("experiment", name, found)
        return found[name]
    if len(found) != 1:
        raise InputError(f"{file} declares {len(found)} experiments; name one of: {', '.join(found) or 'none'}")
    return next(iter(found.values()))


def _request(experiment: Experiment) -> dict[str, Any]:
    target: Any = experiment.target
    if target is not None:
        target = target[0] if len(target) == 1 else list(target)
    return {
        "target": target,
        "convention": experiment.convention,
        "backend": experiment.backend,
        "seed": experiment.seed,
        "strict": experiment.strict,
    }


def _reading(experiment: Experiment) -> Reading:
    for key in ("batch_size", "max_memory"):
        given = getattr(experiment, key)
        if given is not None and given < 1:
            raise InputError(f"{key} of an experiment must be at least 1, got {given}")
    for key in ("size", "scale"):
        given = getattr(experiment, key)
        if given is not None and len(given) != 2:
            raise InputError(f"{key} of an experiment must be two numbers, got {list(given)}")
    return Reading(
        size=experiment.size,  # type: ignore[arg-type] # two numbers, as just checked
        scale=experiment.scale,  # type: ignore[arg-type]
        mean=experiment.mean,
        std=experiment.std,
        grey=experiment.grey,
        key=experiment.key,
    )
