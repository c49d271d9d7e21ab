"""Roles: what the operands of an operation are to each other, found once for all frameworks.

One pass over the recorded operations, from the input on, notes for every tensor what it is made of:
whether it is an elementwise function of another tensor, a gate, a statistic. From these facts follow,
per operation, the *role* of each operand (``signal``, ``gate``, ``statistic``, ``denominator``), where
it came from, and a *view*: the operation as Layer-wise Relevance Propagation sees it, where a model
writes out in several operations what is one function (``x · σ(x)``, ``1 / (1 + exp(−x))``).

What is recognised here decides maps under unchanged names, so that it has a revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from signxai_core.engine.backend import Operation, Recording
from signxai_core.engine.facts import Facts, Operand, is_index, keeps_shape, place_of, see
from signxai_core.engine.forms import note_forms, note_numbers
from signxai_core.engine.statistics import note_normalisation, note_statistic
from signxai_core.specs.operations import function, kind


def read(recording: Recording, operations: Iterable[Operation], producer: Mapping[int, Operation]) -> Facts:
    """Return the facts about the tensors of a recording, from the input to the output."""
    facts = Facts({tensor: recording.shape(tensor) for tensor in recording.values}, producer)
    for operation in operations:
        for tensor in operation.inputs:
            facts.consumers.setdefault(tensor, []).append(operation)
        _elementwise(facts, operation)
        note_forms(facts, operation)
        _gate(facts, operation)
        note_statistic(facts, operation)
        note_normalisation(facts, operation)
        _activation(facts, operation)
        _roles(facts, operation)
    return facts


def _elementwise(facts: Facts, operation: Operation) -> None:
    """Note what tensor the output is an elementwise function of, and the view where that is a shortcut."""
    row = kind(operation.kind)
    if len(operation.outputs) != 1 or not operation.inputs or not keeps_shape(facts, operation):
        return
    (output,) = operation.outputs
    alone = row.elementwise or row.affine or operation.kind == "dropout" or function(operation.function).identity
    if len(operation.inputs) == 1 and alone:
        facts.ancestors[output] = (output, *facts.lineage(operation.inputs[0]))
        note_numbers(facts, operation)
        _last_factor(facts, operation)
        return
    if len(operation.inputs) < 2 or operation.kind not in ("product", "quotient", "sum", "selection"):
        return
    lineages = [facts.lineage(tensor) for tensor in operation.inputs]
    common = next((tensor for tensor in lineages[0] if all(tensor in one for one in lineages[1:])), None)
    if common is not None:
        facts.ancestors[output] = (output, *facts.lineage(common))
        see(facts, operation, "activation", operation.function, common)


def _last_factor(facts: Facts, operation: Operation) -> None:
    """Count a number to the function that it is a factor of: ``x · relu6(x + 3) / 6``."""
    inner = facts.producer.get(operation.inputs[0])
    view = None if inner is None else facts.views.get(inner.index)
    is_number = operation.attributes.get("scale") is not None and operation.attributes.get("shift") == 0
    if view is not None and kind(view.kind).elementwise and operation.kind == "scaling" and is_number:
        see(facts, operation, "activation", view.function, view.inputs[0])


def _gate(facts: Facts, operation: Operation) -> None:
    """Note whether the outputs are gates: born here, or kept by what may follow a gate."""
    row = kind(operation.kind)
    view = facts.view(operation)
    if function(operation.function).gate and view is operation:
        origin: str | None = place_of(operation)
    elif row.keeps_gate or operation.kind in ("product", "quotient"):
        origins = [facts.gates.get(tensor) for tensor in operation.inputs]
        origin = origins[0] if operation.inputs and None not in origins else None
    else:
        return
    if origin is not None:
        for tensor in operation.outputs:
            facts.gates.setdefault(tensor, origin)


def _activation(facts: Facts, operation: Operation) -> None:
    """Note the outputs of activation functions, through shape operations."""
    view = facts.view(operation)
    made = kind(view.kind).elementwise
    kept = is_index(operation) and len(operation.inputs) == 1 and operation.inputs[0] in facts.activated
    if made or kept:
        facts.activated.update(operation.outputs)


def _roles(facts: Facts, operation: Operation) -> None:
    """Note the role of each operand of a product or quotient."""
    if _is_beside_constant(facts, operation):
        facts.views[operation.index] = attrs.evolve(operation, kind="product")
        facts.operands[operation.index] = (Operand("gate", facts.gates[operation.inputs[0]]),)
        return
    if not kind(operation.kind).multiplies and operation.kind != "quotient":
        return
    roles = []
    for place, tensor in enumerate(operation.inputs):
        if operation.kind == "quotient" and place == 1:
            roles.append(Operand("denominator"))
        elif tensor in facts.gates:
            roles.append(Operand("gate", facts.gates[tensor]))
        elif operation.kind == "product" and _is_broadcast(facts, operation, tensor):
            roles.append(Operand("statistic", facts.statistics[tensor].origin))
        else:
            roles.append(Operand("signal"))
    facts.operands[operation.index] = tuple(roles)


#: Groups of operations in which a gate has a signal, even if that is a constant: the first state of a cell.
_RECURRENT: Final = frozenset({"lstm", "gru", "rnn"})


def _is_beside_constant(facts: Facts, operation: Operation) -> bool:
    """Return whether an operation is a gate of a recurrent cell times a signal that is a constant."""
    inside = operation.group is not None and operation.group[0] in _RECURRENT
    is_number = operation.attributes.get("scale") is not None
    scales = operation.kind == "scaling" and function(operation.function).scales
    return inside and scales and not is_number and operation.inputs[0] in facts.gates


def _is_broadcast(facts: Facts, operation: Operation, tensor: int) -> bool:
    """Return whether an operand is a statistic, broadcast along the axes over which it was taken.

    The mean of a tensor times a statistic of it (``x·s − mean(x)·s``) is broadcast with its result.
    """
    statistic = facts.statistics.get(tensor)
    if statistic is None:
        return False
    if statistic.size < max(facts.size(output) for output in operation.outputs):
        return True
    others = [one for one in operation.inputs if one != tensor]
    return any(one not in facts.statistics and facts.summaries.get(one) in statistic.of for one in others)
