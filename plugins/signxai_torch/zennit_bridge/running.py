"""zennit as a second engine: a plan of ours, carried out by zennit's hooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zennit.attribution
from torch import nn

import signxai_core as sx
from signxai_core import grammar
from signxai_core.engine.backend import Array, Operation
from signxai_core.engine.check import check_input, check_output, without_head
from signxai_core.engine.plan import Assignment, Plan, Query, StepRule, resolve
from signxai_core.engine.structure import Group, Structure, analyse
from signxai_core.engine.target import seeds, select
from signxai_core.errors import ModelError, PlanError
from signxai_core.explanation import Conservation, Explanation
from signxai_core.registry import registry
from signxai_core.specs import Constant, Exact, MethodSpec, Mix, Rule, Square
from signxai_torch.backend import TorchBackend
from signxai_torch.zennit_bridge.limits import CANNOT, refuse
from signxai_torch.zennit_bridge.writing import MethodComposite, to_zennit


def explain(
    model: nn.Module, x: Any, method: str | MethodSpec, target: Any, parameters: Mapping[str, Any]
) -> Explanation:
    """Return an explanation; see :func:`signxai_torch.zennit_bridge.explain_with_zennit`."""
    spec = sx.parse(method) if isinstance(method, str) else method
    spec = grammar.configure(spec, parameters, registry(), str(method))
    composite = to_zennit(spec)
    if model.training:
        raise ModelError("the model is in training mode: call model.eval() first. zennit runs it as it is")
    backend = TorchBackend()
    structure = _recorded(backend, model, x)
    assignment = resolve(Query(spec.composite, spec.input_layer, spec.seed), structure)
    reasons = list(_obstacles(model, structure, assignment, composite))
    if reasons:
        raise PlanError("\n  ".join(["zennit cannot carry this plan out:", *dict.fromkeys(reasons)]))
    recording = structure.recording
    output = backend.to_numpy(recording.values[recording.output])
    selection = select(target, output)
    start = seeds(backend, recording, selection)[0][spec.seed].detach()
    with zennit.attribution.Gradient(model=model, composite=composite) as attributor:
        relevance = backend.to_numpy(attributor(recording.values[recording.input].detach(), start)[1])
    name = grammar.describe(spec, registry())
    return Explanation(
        relevance=relevance,
        target=selection.indices,
        output=output,
        method=name,
        spec=spec,
        convention=spec.convention,
        backend="zennit",
        plan=Plan(name, assignment.rows, ("carried out by zennit",), assignment.warnings),
        conservation=Conservation(_sums(relevance), _sums(backend.to_numpy(start))),
    )


def _recorded(backend: TorchBackend, model: nn.Module, x: Any) -> Structure:
    array = backend.prepare(model, x)
    check_input(array)
    recording = backend.record(model, array)
    if without_head(recording).output != recording.output:
        raise refuse("head", "a model that ends in a softmax or sigmoid; hand over the model without it")
    check_output(backend, recording)
    return analyse(recording)


def _sums(array: Array) -> npt.NDArray[np.float64]:
    return np.asarray(array.astype(np.float64).reshape(len(array), -1).sum(axis=1))


def _obstacles(
    model: nn.Module, structure: Structure, assignment: Assignment, composite: MethodComposite
) -> Iterator[str]:
    """Yield why zennit would compute something else than the plan says."""
    leaves = {name: module for name, module in model.named_modules() if not list(module.children())}
    uses = Counter(group.core.path for group in structure.groups)
    composite.register(model)  # finds the positions and checks the batch-normalisation
    composite.remove()
    for group, step in zip(structure.groups, assignment.steps, strict=True):
        if len(step) == 1 and isinstance(step[0], Rule):
            yield from _around(group, step[0])
            pairs: list[tuple[Operation, StepRule]] = [(group.core, step[0])]
        else:
            pairs = list(zip(group.operations, step, strict=True))
        for operation, rule in pairs:
            if rule == Exact():
                continue
            if operation.path not in leaves:
                yield f"{operation.label}: {CANNOT['functional']}"
            elif uses[operation.path] > 1:
                yield f"{operation.label}: {CANNOT['reused']}"
            elif composite.rule_of(operation.path, leaves[operation.path]) != rule:
                yield f"{operation.label}, which the plan gives {rule.name!r}: {CANNOT['order']}"


def _around(group: Group, rule: Rule) -> Iterator[str]:
    """Yield what is wrong with what was folded into a linear operation."""
    for operation in group.pre:
        if not operation.padding:
            yield f"{operation.label}: {CANNOT['before']}"
        elif any(not _keeps_zero(term.x) for share in rule.shares for term in share.terms):
            yield f"{operation.label}: {CANNOT['padding']}"


def _keeps_zero(cell: Any) -> bool:
    return isinstance(cell, (Mix, Square)) or cell == Constant(0)
