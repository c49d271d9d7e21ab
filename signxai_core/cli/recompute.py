"""Compute the maps of an earlier call again, and say how far they are from those in its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from rich.console import Console

from signxai_core.cli.outputs import FORMAT
from signxai_core.cli.progress import bar
from signxai_core.cli.run import explain
from signxai_core.cli.serialise import to_json
from signxai_core.errors import FileError

#: Maps count as the same up to this share of their largest value: float32 sums in another order.
TOLERANCE = 1e-4


@attrs.frozen(eq=False)
class Stored:
    """What a file of ``signxai explain`` holds."""

    maps: Mapping[str, npt.NDArray[Any]]
    inputs: npt.NDArray[Any]
    metadata: Mapping[str, Any]


@attrs.frozen
class Comparison:
    """How one method's map compares.

    Parameters
    ----------
    difference
        Largest difference, as a share of the stored map's largest value.
    same_spec
        Whether the name still stands for the same specification.
    """

    method: str
    difference: float
    same_spec: bool

    @property
    def same(self) -> bool:
        """Whether the map is the stored one."""
        return self.difference <= TOLERANCE


def read(path: Path) -> Stored:
    """Read a file that ``signxai explain`` or ``signxai demo`` wrote."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {} if isinstance(found, np.ndarray) else dict(found)
    except Exception as error:  # NumPy raises nearly anything at a broken file
        raise FileError(f"cannot read {path}: {error}") from error
    try:
        metadata = json.loads(str(arrays["metadata"]))
    except (KeyError, ValueError) as error:
        raise FileError(f"{path} was not written by 'signxai explain': it holds no metadata") from error
    if metadata.get("format") != FORMAT:
        raise FileError(f"{path} has the format {metadata.get('format')!r}; this version reads {FORMAT!r}")
    maps = {key.removeprefix("maps/"): array for key, array in arrays.items() if key.startswith("maps/")}
    return Stored(maps, arrays["inputs"], metadata)


def compare(model: Any, stored: Stored, err: Console) -> list[Comparison]:
    """Compute every map again, as it was asked for then."""
    request = dict(stored.metadata["request"])
    parameters = {key: _value(value) for key, value in request.pop("parameters").items()}
    rules = request.pop("rules", {})
    with bar(err, "explaining") as progress:
        found = explain(model, stored.inputs, list(stored.maps), rules, progress, {**request, **parameters})
    return [
        Comparison(
            name,
            _difference(explanation.relevance, stored.maps[name]),
            # Through JSON, because tuples become lists there.
            json.loads(json.dumps(to_json(explanation.spec))) == stored.metadata["methods"][name],
        )
        for name, explanation in found.items()
    ]


def _difference(relevance: npt.NDArray[Any], before: npt.NDArray[Any]) -> float:
    largest = float(np.abs(before).max(initial=0.0))
    difference = float(np.abs(relevance - before).max(initial=0.0))
    return difference / largest if largest > 0 else difference


def _value(value: Any) -> Any:
    """Undo :func:`~signxai_core.cli.serialise.to_json` for arrays."""
    if isinstance(value, dict):
        return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
    return value
