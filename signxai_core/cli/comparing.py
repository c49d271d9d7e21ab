"""``signxai compare``: whether two models, such as one and its port, have the same relevance maps.

Every option of a command is a parameter of its function; that is how typer works.
"""

# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import signxai_core as sx
from signxai_core.cli import models, options
from signxai_core.cli.inputs import read
from signxai_core.cli.printing import printable, say
from signxai_core.cli.selection import select
from signxai_core.compare import TOLERANCE, Comparison
from signxai_core.engine.parting import Parting

_MODEL = "As MODEL of 'signxai explain'"
_LAYOUT_B = (
    "Where the second model expects the channels [default: as in the first; where the backends differ, the other way]."
)


def compare(
    model_a: Annotated[str, typer.Argument(help=f"{_MODEL}; its layout is that of the inputs.")],
    model_b: Annotated[str, typer.Argument(help=f"{_MODEL}, of the same or another framework.")],
    inputs: options.InputsArgument,
    method: options.MethodOption,
    exclude: options.ExcludeOption = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest max |a−b| / max |a| that is agreement.")] = TOLERANCE,
    backend_a: options.BackendOption = None,
    backend_b: options.BackendOption = None,
    weights_a: options.WeightsOption = None,
    weights_b: options.WeightsOption = None,
    layout_a: options.LayoutOption = None,
    layout_b: Annotated[options.Layout | None, typer.Option(help=_LAYOUT_B)] = None,
    target: options.TargetOption = None,
    convention: options.ConventionOption = options.Convention.textbook,
    seed: options.SeedOption = None,
    strict: options.StrictOption = True,
    set_: options.SetOption = None,
    size: options.SizeOption = None,
    scale: options.ScaleOption = None,
    mean: options.MeanOption = None,
    std: options.StdOption = None,
    grey: options.GreyOption = False,
    key: options.KeyOption = None,
    config: options.ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
) -> None:
    """Compare the maps of two models on the same inputs; exit status 1 where they differ."""
    parameters = options.parameters(set_)
    how = options.reading(size, scale, mean, std, grey, key)
    one = models.load(model_a, weights=weights_a, backend=backend_a)
    two = models.load(model_b, weights=weights_b, backend=backend_b)
    place = models.layout(one, layout_a, backend_a)
    samples = read(inputs, attrs.evolve(how, layout=place))
    selection = select(method, exclude=exclude or (), ndim=samples.array.ndim, given=parameters)
    found = sx.compare(
        one,
        two,
        samples.array,
        selection.names,
        options.target(target),
        backend_a=backend_a,
        backend_b=backend_b,
        layout_a=None if layout_a is None else layout_a.value,
        layout_b=None if layout_b is None else layout_b.value,
        tolerance=tolerance,
        convention=convention.value,
        seed=None if seed is None else seed.value,
        strict=strict,
        **parameters,
    )
    if as_json:
        typer.echo(json.dumps(_as_json(found, selection.left_out), indent=2))
    else:
        _print(found, selection.left_out)
    if not found.agree:
        raise typer.Exit(1)


def _print(found: Comparison, left_out: dict[str, str]) -> None:
    out, err = Console(), Console(stderr=True)
    for name, reason in left_out.items():
        say(err, f"left out {name}: {reason}", "yellow")
    out.print(_table(found))
    count, agreeing = len(found.methods), sum(entry.agree for entry in found.methods)
    lines = [
        "difference: max |a − b| / max |a|; of sums: |Σa − Σb| / Σ|a| of a sample, the largest",
        f"a: {found.backend_a}, b: {found.backend_b}; their outputs differ by {found.output_difference:.2g}",
        f"{agreeing} of {count} methods agree within {found.tolerance:g}",
    ]
    if found.values is not None and found.values.what == "values":
        place = f"{found.values.a} | {found.values.b}"
        lines.insert(2, f"the models compute different values from {place} on (by {found.values.difference:.2g})")
    for line in lines:
        say(out, line)


def _table(found: Comparison) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("method", "difference", "of sums", "parts at (a | b)"):
        table.add_column(column, overflow="fold")
    for entry in found.methods:
        place = "" if entry.agree else "the finished map" if entry.parting is None else str(entry.parting)
        style = None if entry.agree else "red"
        table.add_row(
            entry.method,
            f"{entry.difference:.2g}",
            f"{entry.sum_difference:.2g}",
            escape(printable(place)),
            style=style,
        )
    return table


def _as_json(found: Comparison, left_out: dict[str, str]) -> dict[str, Any]:
    """Describe a comparison for other programs; differences that are no finite number are ``null``."""
    return {
        "agree": found.agree,
        "tolerance": found.tolerance,
        "backends": [found.backend_a, found.backend_b],
        "output_difference": _finite(found.output_difference),
        "values": _parting(found.values),
        "methods": [
            {
                "method": entry.method,
                "difference": _finite(entry.difference),
                "sum_difference": _finite(entry.sum_difference),
                "agree": entry.agree,
                "parting": _parting(entry.parting),
            }
            for entry in found.methods
        ],
        "left_out": left_out,
    }


def _parting(parting: Parting | None) -> dict[str, Any] | None:
    return None if parting is None else {**attrs.asdict(parting), "difference": _finite(parting.difference)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
