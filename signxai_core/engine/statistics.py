"""Statistics of tensors, and normalisation by them within the sample."""

from __future__ import annotations

from collections.abc import Sequence

from signxai_core.engine.backend import Operation
from signxai_core.engine.facts import Facts, Statistic, is_index, place_of
from signxai_core.specs.operations import function, kind


def note_statistic(facts: Facts, operation: Operation) -> None:
    """Note squares and magnitudes, what is reduced of them, and what keeps a statistic one."""
    row = kind(operation.kind)
    if len(operation.outputs) != 1 or not operation.inputs:
        return
    (output,) = operation.outputs
    first = operation.inputs[0]
    if _is_even(operation):
        facts.even[output] = first
    elif len(operation.inputs) == 1 and first in facts.even and (row.elementwise or row.affine or is_index(operation)):
        facts.even[output] = facts.even[first]
    known = [facts.statistics.get(tensor) for tensor in operation.inputs]
    if operation.kind == "average_pooling" and first in facts.even:
        source = facts.even[first]
        of = frozenset({source, _centred(facts, source)})
        facts.statistics[output] = Statistic(place_of(operation), facts.size(output), of)
    elif _keeps_statistic(operation) and None not in known:
        found = [one for one in known if one is not None]
        size = max(one.size for one in found)
        if operation.kind == "average_pooling":
            size = min(size, facts.size(output))
        facts.statistics[output] = Statistic(found[0].origin, size, frozenset().union(*(one.of for one in found)))


def _is_even(operation: Operation) -> bool:
    """Return whether the output is a function of magnitudes."""
    exponent = operation.attributes.get("exponent")
    squared = operation.kind == "product" and len(set(operation.inputs)) == 1
    return function(operation.function).even or squared or (exponent is not None and exponent % 2 == 0)


def _keeps_statistic(operation: Operation) -> bool:
    row = kind(operation.kind)
    combines = operation.kind in ("sum", "product", "quotient", "average_pooling", "max_pooling", "selection")
    return row.elementwise or row.affine or is_index(operation) or combines


def note_normalisation(facts: Facts, operation: Operation) -> None:
    """Note where a tensor is x normalised by statistics of x, and what is a summary of one tensor."""
    if len(operation.outputs) != 1 or not operation.inputs:
        return
    (output,) = operation.outputs
    _summary(facts, operation)
    source = _normalises(facts, operation)
    if source is not None:
        facts.normalised[output] = source
    follows = len(operation.inputs) == 1 and operation.inputs[0] in facts.affine_parts
    if output in facts.normalised or (follows and (kind(operation.kind).affine or is_index(operation))):
        facts.affine_parts.add(output)


def _normalises(facts: Facts, operation: Operation) -> int | None:
    """Return the tensor that an operation's output is a normalisation of."""
    (output,) = operation.outputs
    if operation.kind in ("product", "quotient"):
        for signal, other in _pairs(operation):
            statistic = facts.statistics.get(other)
            source = _centred(facts, signal)
            is_broadcast = statistic is not None and statistic.size < facts.size(output)
            if statistic is not None and is_broadcast and statistic.of & {signal, source}:
                return source if signal not in facts.statistics else None
    elif operation.kind == "sum" and len(operation.inputs) == 2:
        for signal, other in (operation.inputs, operation.inputs[::-1]):
            known = facts.normalised.get(signal)
            if known is not None and facts.summaries.get(other) == known:
                return known
    elif kind(operation.kind).affine:
        return facts.normalised.get(operation.inputs[0])
    return None


def _pairs(operation: Operation) -> Sequence[tuple[int, int]]:
    """Return signal and statistic as an operation may hold them."""
    a, b = operation.inputs
    return ((a, b),) if operation.kind == "quotient" else ((a, b), (b, a))


def _centred(facts: Facts, tensor: int) -> int:
    """Return x where a tensor is ``x − mean(x)``, else the tensor."""
    operation = facts.producer.get(tensor)
    if operation is None or operation.kind != "sum" or operation.signs != (1, -1):
        return tensor
    x, other = operation.inputs
    return x if facts.summaries.get(other) == x else tensor


def _summary(facts: Facts, operation: Operation) -> None:
    """Note that the output is a function of means and statistics of one tensor alone."""
    (output,) = operation.outputs
    if operation.kind == "average_pooling":
        first = operation.inputs[0]
        facts.summaries[output] = facts.summaries.get(first, _centred(facts, facts.even.get(first, first)))
        return
    row = kind(operation.kind)
    keeps = row.elementwise or row.affine or is_index(operation) or operation.kind in ("sum", "product", "quotient")
    sources = {facts.summaries.get(tensor) for tensor in operation.inputs}
    if keeps and len(sources) == 1 and None not in sources:
        facts.summaries[output] = next(iter(source for source in sources if source is not None))
