"""Backends that carry out whole plans with an engine of their own, instead of the walk of this one.

A :class:`~signxai_core.engine.backend.Backend` differentiates one operation at a time and knows no
rule. An :class:`Executor` is the opposite: another program that knows rules and has its own way
through the model. What it computes is independent of this engine; what stands around it is not: the
recording, the selected outputs and the plan are made here, so that both say what they explain in the
same words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy.typing as npt

from signxai_core.engine.attribute import Failures, Outcome, Result, make_plan, make_result
from signxai_core.engine.backend import Backend
from signxai_core.engine.plan import Plan
from signxai_core.engine.run import Run, raw_of
from signxai_core.errors import PlanError
from signxai_core.specs.methods import MethodSpec


@runtime_checkable
class Executor(Protocol):
    """An engine of its own, registered like a backend.

    ``backend`` prepares the input and records the model.
    """

    name: str
    backend: Backend

    def obstacles(self, run: Run, spec: MethodSpec) -> Iterable[str]:
        """Return the reasons why it would compute something else than the plan says."""

    def relevance(self, run: Run, spec: MethodSpec) -> npt.NDArray[Any]:
        """Return the finished map of a method without obstacles, in the input's shape."""


def recorder(engine: Backend | Executor) -> Backend:
    """Return the backend that records."""
    return engine.backend if isinstance(engine, Executor) else engine


def executed_plan(executor: Executor, run: Run, label: str, spec: MethodSpec) -> Plan:
    """Return the plan of a method, or refuse it.

    Raises
    ------
    PlanError
        With every obstacle.
    """
    plan = make_plan(run, label, spec, raw_of(spec, run.seed))
    reasons = dict.fromkeys(executor.obstacles(run, spec))
    if reasons:
        raise PlanError("\n  ".join([f"{executor.name} cannot carry out {label!r} on this model:", *reasons]))
    return attrs.evolve(plan, notes=(*plan.notes, f"carried out by {executor.name}"))


def execute(
    executor: Executor,
    model: Any,
    x: npt.NDArray[Any],
    specs: Mapping[str, MethodSpec],
    target: Any,
    *,
    seed: str | None,
    strict: bool,
    progress: Callable[[int, int], None],
    collect: Collection[str] = (),
) -> Outcome:
    """Return the maps of all methods, one after the other; see :func:`signxai_core.engine.attribute.attribute`."""
    run = Run(executor.backend, model, x, seed, strict, lambda _: None)
    run.start(target)
    failures, plans = Failures(collect), {}
    for label, spec in specs.items():
        with failures.of([label]):
            plans[label] = executed_plan(executor, run, label, spec)
    results: dict[str, Result] = {}
    for label, plan in plans.items():
        spec = specs[label]
        with failures.of([label]):
            found = make_result(run, label, spec, executor.relevance(run, spec), raw_of(spec, seed))
            results[label] = attrs.evolve(found, plan=plan)
        progress(len(results), len(plans))
    return Outcome(results, run.selection.indices, run.output, failures.found)
