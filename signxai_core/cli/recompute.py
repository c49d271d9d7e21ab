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

import signxai_core as sx
from signxai_core import calls
from signxai_core.cli.outputs import FORMAT
from signxai_core.cli.progress import bar
from signxai_core.config import from_plain
from signxai_core.engine.facts import REVISION
from signxai_core.errors import FileError, SignxaiError
from signxai_core.registry import registry
from signxai_core.specs import MethodSpec

#: Maps count as the same up to this share of their largest value: float32 sums in another order.
TOLERANCE = 1e-4


@attrs.frozen(eq=False)
class Stored:
    """What a file of ``signxai explain`` holds.

    Parameters
    ----------
    maps, specs
        By name of the method.
    inputs
        What was explained.
    request
        The arguments of the call.
    """

    maps: Mapping[str, npt.NDArray[Any]]
    specs: Mapping[str, MethodSpec]
    inputs: npt.NDArray[Any]
    request: Mapping[str, Any]


@attrs.frozen
class Comparison:
    """How one method's map compares.

    Parameters
    ----------
    difference
        Largest difference, as a share of the stored map's largest value.
    meaning
        What the name stands for today, against the stored specification, which was computed: ``the
        same``, ``changed``, or ``declared in a file`` that is not loaded.
    """

    method: str
    difference: float
    meaning: str

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
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        given = metadata.get("format") if isinstance(metadata, dict) else metadata
        raise FileError(f"{path} has the format {given!r}; this version reads {FORMAT!r}")
    revision = metadata.get("revision", 1)  # the first one was not written down
    if revision != REVISION:
        raise FileError(
            f"{path} was written with revision {revision!r} of what is recognised as functions, gates and statistics, "
            f"and this version has revision {REVISION}, which may give other maps; recompute it with the version of "
            f"signxai-core that wrote it ({metadata.get('versions', {}).get('signxai-core', 'unknown')})"
        )
    maps = {key.removeprefix("maps/"): array for key, array in arrays.items() if key.startswith("maps/")}
    try:
        specs = from_plain({name: metadata["methods"][name] for name in maps}, str(path), registry())
        stored = Stored(maps, specs, arrays["inputs"], _request(metadata["request"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, SignxaiError):
            raise
        raise FileError(f"{path} lacks {error} or has something else in its place; it was changed") from error
    for name, relevance in maps.items():
        if relevance.shape != stored.inputs.shape:
            raise FileError(
                f"{path} was changed: the map of {name!r} has shape {relevance.shape}, the inputs {stored.inputs.shape}"
            )
    return stored


def _request(noted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call, arrays among them."""
    keys = ("target", "convention", "backend", "seed", "strict", "batch_size", "max_memory", "rules")
    return {**{key: noted[key] for key in keys}, "parameters": {k: _value(v) for k, v in noted["parameters"].items()}}


def compare(model: Any, stored: Stored, err: Console) -> list[Comparison]:
    """Compute every map again, as it was asked for then."""
    keys = ("backend", "seed", "strict", "batch_size", "max_memory")
    with bar(err, "explaining") as progress:
        found = calls.explain_specs(
            model,
            stored.inputs,
            stored.specs,
            stored.request["target"],
            progress=progress,
            found=registry(),
            **{key: stored.request[key] for key in keys},
        )
    return [
        Comparison(name, _difference(e.relevance, stored.maps[name]), _meaning(name, stored))
        for name, e in found.items()
    ]


def _meaning(name: str, stored: Stored) -> str:
    """Compare what a name stands for today with the stored specification."""
    request = stored.request
    try:
        bare = sx.with_rules(name, request["rules"], convention=request["convention"])
        (spec,) = calls.labelled_specs([(name, bare)], _taken(bare, request["parameters"]), registry()).values()
    except SignxaiError:
        return "declared in a file"
    return "the same" if spec == stored.specs[name] else "changed"


def _taken(spec: MethodSpec, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return calls.taken(spec, parameters, registry())


def _difference(relevance: npt.NDArray[Any], before: npt.NDArray[Any]) -> float:
    largest = float(np.abs(before).max(initial=0.0))
    difference = float(np.abs(relevance - before).max(initial=0.0))
    return difference / largest if largest > 0 else difference


def _value(value: Any) -> Any:
    """Undo :func:`~signxai_core.cli.serialise.to_json` for arrays."""
    if isinstance(value, dict):
        return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
    return value
