"""``signxai prepare`` and ``signxai demo``.

Every option of a command is a parameter of its function; that is how typer works.
"""

# ruff: noqa: FBT002

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from signxai_core.cli import options


def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder that the files go to.")],
    ptb_xl: Annotated[
        bool, typer.Option("--ptb-xl", help="Fetch four records of PTB-XL from PhysioNet, too (needs a network).")
    ] = False,
    overwrite: options.OverwriteOption = False,
) -> None:
    """Write examples: ECGs, images, trained networks, scripts and notebooks; needs no network access."""
    from signxai_core import prepare as work  # noqa: PLC0415 - the other commands do without

    work.run(work.Request(folder=folder, ptb_xl=ptb_xl, overwrite=overwrite), Console(), Console(stderr=True))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the files go to.")] = Path("signxai-demo"),
    backend: Annotated[str, typer.Option(help="Backend that trains and explains: torch, tensorflow.")] = "torch",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    methods: Annotated[str, typer.Option(metavar="PATTERN", help="Glob pattern of the methods to compute.")] = "*",
    overwrite: options.OverwriteOption = False,
) -> None:
    """Train on handwritten digits, explain some with every method, then data with known truth; works offline."""
    from signxai_core import demo as work  # noqa: PLC0415 - the other commands do without

    work.run(
        work.Request(output=output, backend=backend, seed=seed, pattern=methods, overwrite=overwrite),
        Console(),
        Console(stderr=True),
    )
