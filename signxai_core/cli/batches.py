"""Maps of one batch of inputs after the other, each kept as soon as it is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from rich.console import Console

from signxai_core import calls
from signxai_core.cli import files
from signxai_core.cli.printing import say
from signxai_core.cli.progress import bar
from signxai_core.cli.store import Store
from signxai_core.engine.executor import Executor
from signxai_core.errors import ModelError, PlanError
from signxai_core.explanation import Conservation, Explanation, Explanations
from signxai_core.registry import registry
from signxai_core.specs import Composite, Control, MethodSpec
from signxai_core.specs.fill import sliced

Array = npt.NDArray[Any]
#: Samples of a batch, unless the caller says another number.
BATCH = 32
#: Outputs of the model count as the same up to this share of the largest: float32 sums in another order.
_SAME = 1e-4


@attrs.frozen(eq=False)
class Finished:
    """What a run keeps of an explanation: everything but its plan."""

    relevance: Array
    target: npt.NDArray[np.int64] | None
    output: Array
    spec: MethodSpec
    convention: str
    backend: str
    conservation: Conservation


@attrs.frozen(eq=False, kw_only=True)
class Work:
    """What is to be computed.

    Parameters
    ----------
    model, x
        As for :func:`signxai_core.explain`.
    specs
        Methods by name, parameters filled in.
    target
        Class of every sample, or ``None`` for the arg-max.
    arguments
        ``backend``, ``seed``, ``strict`` and ``max_memory``.
    size
        Samples of a batch.
    collect
        Names of methods that are left out where they cannot be carried out.
    """

    model: Any
    x: Array
    specs: Mapping[str, MethodSpec]
    target: npt.NDArray[np.int64] | None
    arguments: Mapping[str, Any]
    size: int
    collect: frozenset[str] = frozenset()

    def rows(self) -> list[slice]:
        """Return the samples of every batch."""
        return [slice(start, start + self.size) for start in range(0, max(len(self.x), 1), self.size)]

    def explain(self, rows: slice, specs: Mapping[str, MethodSpec], progress: calls.Progress) -> Explanations:
        """Explain one batch."""
        target = None if self.target is None else self.target[rows]
        chosen = {name: sliced(spec, rows, self.x.shape) for name, spec in specs.items()}
        return calls.explain_specs(
            self.model,
            self.x[rows],
            chosen,
            target,
            progress=progress,
            batch_size=None,
            found=registry(),
            collect=self.collect,
            **self.arguments,
        )


def compute(work: Work, store: Store, err: Console) -> None:
    """Compute every batch that the store does not have yet."""
    done, rows = finished(work, store, err), work.rows()
    if done:
        say(err, f"going on with the run in {store.folder}: {len(done)} of {len(rows)} batches are there")
        _check_model(work, store, done[-1])
    failed = _failed(work, store, done)
    with bar(err, "explaining") as progress:
        for number in range(len(rows)):
            if number in done:
                continue
            specs = {name: spec for name, spec in work.specs.items() if name not in failed}

            def report(steps: int, total: int, *, before: int = number) -> None:
                assert callable(progress), "asked for only where there is a bar"
                progress(before * total + steps, len(rows) * total)

            explanations = work.explain(rows[number], specs, report if callable(progress) else False)
            failed |= {name: " ".join(str(error).split()) for name, error in explanations.errors.items()}
            if not explanations:
                reasons = "".join(f"\n  {name}: {text}" for name, text in failed.items())
                raise PlanError(f"no method could be carried out:{reasons}")
            _write(store.part(number), explanations, failed)


def _failed(work: Work, store: Store, done: Sequence[int]) -> dict[str, str]:
    """Return the methods that batches have left out, and why."""
    found: dict[str, str] = {}
    for number in done:
        part = _read(store.part(number), work)
        assert part is not None, "it was read before"
        found |= json.loads(str(part["metadata"]))["failed"]
    return found


def finished(work: Work, store: Store, err: Console) -> list[int]:
    """Return the batches that the store has; a broken file is removed."""
    found = []
    for number in range(len(work.rows())):
        if store.part(number).exists():
            if _read(store.part(number), work) is not None:
                found.append(number)
            else:
                say(err, f"computing the batch in {store.part(number)} again: the file is broken", "yellow")
                store.part(number).unlink()
    return found


def joined(work: Work, store: Store) -> tuple[dict[str, Finished], list[str], dict[str, str]]:
    """Return the explanations of all batches together, the warnings, and what was left out and why."""
    parts = [_read(store.part(number), work) for number in range(len(work.rows()))]
    whole = [part for part in parts if part is not None]
    assert len(whole) == len(parts), "every batch is there"
    noted = [json.loads(str(part["metadata"])) for part in whole]

    def together(key: str) -> Array:
        return np.concatenate([part[key] for part in whole])

    failed = {name: text for entry in noted for name, text in entry["failed"].items()}
    target = together("targets") if "targets" in whole[0] else None
    output = together("outputs")
    explanations = {
        name: Finished(
            relevance=together(f"maps/{name}"),
            target=target,
            output=output,
            spec=spec,
            convention=spec.convention,
            backend=noted[0]["backend"],
            conservation=Conservation(together(f"totals/{name}"), together(f"expected/{name}")),
        )
        for name, spec in work.specs.items()
        if name not in failed
    }
    return explanations, list(dict.fromkeys(text for entry in noted for text in entry["warnings"])), failed


def _write(path: Path, explanations: Mapping[str, Explanation], failed: Mapping[str, str]) -> None:
    first = next(iter(explanations.values()))
    warnings = list(dict.fromkeys(text for e in explanations.values() for text in e.warnings))
    arrays: dict[str, Any] = {"outputs": first.output}
    if first.target is not None:
        arrays["targets"] = first.target
    for name, e in explanations.items():
        arrays |= {f"maps/{name}": e.relevance, f"totals/{name}": e.conservation.total}
        arrays[f"expected/{name}"] = e.conservation.expected
    arrays["metadata"] = np.array(json.dumps({"backend": first.backend, "warnings": warnings, "failed": failed}))
    with files.whole(path) as file:
        np.savez(file, **arrays)


def _read(path: Path, work: Work) -> dict[str, Array] | None:
    """Read one batch; ``None`` where the file is broken or lacks something."""
    try:
        with path.open("rb") as file:
            arrays = dict(np.load(file, allow_pickle=False))
        failed = json.loads(str(arrays["metadata"]))["failed"]
    except Exception:  # noqa: BLE001 - NumPy raises nearly anything at a broken file
        return None
    wanted = {
        "outputs",
        *(f"{kind}/{name}" for name in work.specs if name not in failed for kind in ("maps", "totals", "expected")),
    }
    return arrays if wanted <= set(arrays) else None


def _check_model(work: Work, store: Store, number: int) -> None:
    """Refuse to go on with a model that gives other outputs than the one that the run began with."""
    if isinstance(calls.backend_for(work.model, work.arguments["backend"], registry()), Executor):
        return  # which has no method that only runs the model
    part = _read(store.part(number), work)
    assert part is not None, "it was read before"
    control = MethodSpec(family="control", composite=Composite(()), sampling=Control())
    found = work.explain(work.rows()[number], {"outputs": control}, progress=False)["outputs"].output
    before = part["outputs"]
    largest = float(np.abs(before).max(initial=0.0))
    if found.shape == before.shape and float(np.abs(found - before).max(initial=0.0)) <= _SAME * largest:
        return
    raise ModelError(
        f"the model gives other outputs than when the run in {store.folder} began; its maps would be of two models. "
        "Remove that folder to start anew, or choose another --output"
    )


def batch_size(given: int | None, samples: int) -> int:
    """Return how many samples a batch has."""
    return given if given is not None else max(1, min(BATCH, samples))
