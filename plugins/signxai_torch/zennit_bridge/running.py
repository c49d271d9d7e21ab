"""zennit as a second engine: a plan of ours, carried out by zennit's hooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import zennit.attribution
from torch import nn

from signxai_core.engine.backend import Operation
from signxai_core.engine.plan import Assignment, Linearised, Query, resolve
from signxai_core.engine.run import Run
from signxai_core.engine.structure import Group, Structure
from signxai_core.errors import ModelError
from signxai_core.specs import AnyRule, Constant, Exact, MethodSpec, Mix, Rule, Square
from signxai_torch.zennit_bridge.limits import CANNOT
from signxai_torch.zennit_bridge.modules import described
from signxai_torch.zennit_bridge.writing import MethodComposite, to_zennit


def relevance(run: Run, spec: MethodSpec) -> npt.NDArray[Any]:
    """Return the map of a method; see :class:`signxai_torch.with_zennit.WithZennit`."""
    recording = run.clean.recording
    start = run.seeds.starts[run.seed or spec.seed].detach()
    with zennit.attribution.Gradient(model=run.model, composite=to_zennit(spec)) as attributor:
        found: npt.NDArray[Any] = run.backend.to_numpy(attributor(recording.values[recording.input].detach(), start)[1])
    return found


def obstacles(run: Run, spec: MethodSpec) -> Iterator[str]:
    """Yield why zennit would compute something else than the plan says."""
    model, structure = run.model, run.clean
    if not isinstance(model, nn.Module):
        raise ModelError(f"zennit hooks the modules of a torch.nn.Module, got {type(model).__qualname__}")
    if model.training:
        raise ModelError("the model is in training mode: call model.eval() first. zennit runs it as it is")
    recording = structure.recording
    if any(recording.output in operation.inputs for operation in recording.operations):
        yield f"{CANNOT['head']}; hand over the model without its softmax or sigmoid"
    assignment = resolve(Query(spec.composite, spec.input_layer, spec.seed), structure, strict=run.strict)
    yield from _obstacles(model, structure, assignment, to_zennit(spec))


def _obstacles(
    model: nn.Module, structure: Structure, assignment: Assignment, composite: MethodComposite
) -> Iterator[str]:
    leaves = {name: module for name, module in model.named_modules() if not list(module.children())}
    uses = Counter(group.core.path for group in structure.groups)
    composite.register(model)  # finds the positions and checks the batch-normalisation
    composite.remove()
    for group, step in zip(structure.groups, assignment.steps, strict=True):
        whole = step[0].rule if len(step) == 1 else None
        if isinstance(whole, Rule):
            yield from _around(group, whole)
            pairs: list[tuple[Operation, AnyRule]] = [(group.core, whole)]
        else:
            rules = [part.rule for part in step for _ in range(part.count)]
            pairs = list(zip(group.operations, rules, strict=False))
        for operation, rule in pairs:
            if rule == Exact():
                continue
            if isinstance(rule, Linearised):
                yield f"{operation.label}: {CANNOT['linearised']}"
                continue
            if operation.path not in leaves:
                yield f"{operation.label}: {CANNOT['functional']}"
            elif uses[operation.path] > 1:
                yield f"{operation.label}: {CANNOT['reused']}"
            elif described(leaves[operation.path]) is None:
                yield f"{operation.label} in a {type(leaves[operation.path]).__name__}: {CANNOT['class']}"
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
