"""Scripts in cells as Jupyter notebooks."""

from __future__ import annotations

import json
import re
from typing import Any

_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


def notebook(script: str) -> str:
    """Return a script whose cells begin with ``# %%`` or ``# %% [markdown]`` as a notebook."""
    parts = _CELL.split(script)[1:]
    cells = [_cell(body, number, is_text=bool(kind)) for number, (kind, body) in enumerate(_pairs(parts))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}, indent=1
    )


def _pairs(parts: list[str]) -> list[tuple[str, str]]:
    return list(zip(parts[::2], parts[1::2], strict=True))


def _cell(body: str, number: int, *, is_text: bool) -> dict[str, Any]:
    lines = body.strip().splitlines()
    if is_text:
        lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
    source = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    cell: dict[str, Any] = {"cell_type": "markdown" if is_text else "code", "id": f"cell-{number}", "metadata": {}}
    if not is_text:
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": source}
