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
from signxai_core.cli.batches import Finished
from signxai_core.cli.labelling import Labelling
from signxai_core.cli.serialise import to_json
from signxai_core.config import to_plain
from signxai_core.engine.facts import REVISION
from signxai_core.explanation import Explanation
from signxai_core.registry import registry

#: Distributions whose versions are noted when they are installed.
_NOTED = ("signxai-core", "numpy", "torch", "tensorflow", "keras")
#: Of the .npz files; changes when their content does.
FORMAT = "signxai-core explanations 2"
COLUMNS = ("sample", "method", "target", "class", "sum", "expected", "gap", "min", "max")


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
        The arguments of the call: ``target``, ``convention``, ``seed``, ``strict``, ``batch_size``,
        ``max_memory``, ``parameters``.
    written
        Names of the files that the call writes besides.
    labelling
        Names of classes and channels.
    """

    explanations: Mapping[str, Explanation | Finished]
    inputs: npt.NDArray[Any]
    labels: tuple[str, ...]
    request: Mapping[str, Any]
    written: tuple[str, ...] = ()
    labelling: Labelling = attrs.field(factory=Labelling)

    @property
    def first(self) -> Explanation | Finished:
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
        "revision": REVISION,
        "labels": list(result.labels),
        "request": to_json(result.request),
        "methods": {name: to_plain(found.spec, registry()) for name, found in result.explanations.items()},
        "files": list(result.written),
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


def earlier_files(path: Path) -> tuple[str, ...]:
    """Return the files that an earlier call wrote beside its maps at ``path``, none where that cannot be read."""
    if not path.exists():
        return ()
    try:
        with path.open("rb") as file:
            noted = json.loads(str(np.load(file, allow_pickle=False)["metadata"]))
    except Exception:  # noqa: BLE001 - NumPy raises nearly anything at a file that is none of its own
        return ()
    return files.safe(noted.get("files")) if isinstance(noted, dict) else ()


def rows(result: Result) -> Iterator[tuple[str, str, int | str, str, float, float, float, float, float]]:
    """Yield one row per sample and method, in the order of :data:`COLUMNS`."""
    for sample, label in enumerate(result.labels):
        for name, e in result.explanations.items():
            total, expected = float(e.conservation.total[sample]), float(e.conservation.expected[sample])
            relevance = e.relevance[sample]
            target = int(e.target[sample]) if e.target is not None else ""
            low, high = float(relevance.min()), float(relevance.max())
            yield (
                label,
                name,
                target,
                result.labelling.of_class(target),
                total,
                expected,
                float(e.conservation.gap[sample]),
                low,
                high,
            )


def write_table(path: Path, table: Sequence[tuple[Any, ...]]) -> Path:
    """Write the rows as CSV; numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(table)
    return files.write(path, text.getvalue().encode())
