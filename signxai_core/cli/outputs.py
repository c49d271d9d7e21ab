"""What ``signxai explain`` writes: maps with everything needed to recompute them, and a table."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.cli import files
from signxai_core.cli.serialise import to_json
from signxai_core.explanation import Explanation

#: Distributions whose versions are noted when they are installed.
_NOTED = ("signxai-core", "numpy", "torch", "tensorflow", "keras")
#: Of the .npz files; changes when their content does.
FORMAT = "signxai-core explanations 1"
COLUMNS = ("sample", "method", "target", "sum", "expected", "gap", "min", "max")


@attrs.frozen(eq=False)
class Result:
    """Everything that one call computed.

    Parameters
    ----------
    explanations
        By the name that was asked for; at least one.
    inputs, labels
        What was explained, and what each sample is called.
    request
        The arguments of the call: ``target``, ``convention``, ``seed``, ``strict``, ``parameters``.
    """

    explanations: Mapping[str, Explanation]
    inputs: npt.NDArray[Any]
    labels: tuple[str, ...]
    request: Mapping[str, Any]

    @property
    def first(self) -> Explanation:
        """One of the explanations; they share output and target."""
        return next(iter(self.explanations.values()))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a map depends on."""
    installed = [name for name in _NOTED if next(iter(importlib.metadata.distributions(name=name)), None) is not None]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in installed}}


def metadata(result: Result) -> dict[str, Any]:
    """Return what is needed to compute the maps again, and to see whether they mean the same."""
    return {
        "format": FORMAT,
        "versions": versions(),
        "backend": result.first.backend,
        "labels": list(result.labels),
        "request": to_json(result.request),
        "methods": {name: to_json(explanation.spec) for name, explanation in result.explanations.items()},
    }


def write_maps(path: Path, result: Result) -> Path:
    """Write ``maps/<name>``, ``inputs``, ``outputs``, ``targets`` and ``metadata`` (JSON) as ``.npz``.

    The file holds plain arrays only and loads with ``allow_pickle=False``.
    """
    arrays: dict[str, Any] = {f"maps/{name}": e.relevance for name, e in result.explanations.items()}
    arrays |= {"inputs": result.inputs, "outputs": result.first.output}
    if result.first.target is not None:
        arrays["targets"] = result.first.target
    arrays["metadata"] = np.array(json.dumps(metadata(result), ensure_ascii=False))
    with files.whole(path) as file:
        np.savez_compressed(file, **arrays)
    return path


def rows(result: Result) -> Iterator[tuple[str, str, int | str, float, float, float, float, float]]:
    """Yield one row per sample and method, in the order of :data:`COLUMNS`."""
    for sample, label in enumerate(result.labels):
        for name, e in result.explanations.items():
            total, expected = float(e.conservation.total[sample]), float(e.conservation.expected[sample])
            relevance = e.relevance[sample]
            target = int(e.target[sample]) if e.target is not None else ""
            low, high = float(relevance.min()), float(relevance.max())
            yield label, name, target, total, expected, float(e.conservation.gap[sample]), low, high


def write_table(path: Path, table: Sequence[tuple[Any, ...]]) -> Path:
    """Write the rows as CSV; numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(table)
    return files.write(path, text.getvalue().encode())
