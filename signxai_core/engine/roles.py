"""Roles: what the operands of an operation are to each other, found once for all frameworks.

One pass over the recorded operations, from the input on, notes for every tensor what it is made of:
whether it is an elementwise function of another tensor, a gate, a statistic. From these facts follow,
per operation, the *role* of each operand (``signal``, ``gate``, ``statistic``, ``denominator``), where
it came from, and a *view*: the operation as Layer-wise Relevance Propagation sees it, where a model
writes out in several operations what is one function (``x · σ(x)``, ``1 / (1 + exp(−x))``).

What is recognised here decides maps under unchanged names, so that it has a revision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

import attrs

from signxai_core.engine.backend import Operation, Recording
from signxai_core.specs.operations import function, kind

#: Goes up with every change that alters the map of a network that ran before.
REVISION: Final = 1

Role = Literal["signal", "gate", "statistic", "denominator"]


@attrs.frozen
class Operand:
    """What one operand is to its operation, and where that was decided (``"sigmoid at blocks.0.se"``)."""

    role: Role
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.role}: {self.origin}" if self.origin else self.role


@attrs.frozen
class Statistic:
    """What is known of a tensor that was reduced to statistics.

    Parameters
    ----------
    origin
        Where it was reduced.
    size
        How many numbers the reduction left.
    of
        Ids of the tensors whose squares or magnitudes were reduced.
    """

    origin: str
    size: int
    of: frozenset[int]


@attrs.define(eq=False)
class Facts:
    """What is known of the tensors of a recording.

    Parameters
    ----------
    shapes
        By tensor.
    producer
        Operation by the id of the tensor that it made.

    Attributes
    ----------
    ancestors
        By tensor: the tensors that it is an elementwise function of, itself first, the nearest next.
    affine
        By tensor: base, factor and shift where it is ``factor · base + shift`` with known numbers.
    gates
        By tensor: where the gate came from.
    statistics
        By tensor.
    even
        Tensors that are functions of magnitudes alone, and the tensor whose magnitudes they are.
    summaries
        By tensor: the tensor whose mean or statistics it is a function of, and of nothing else.
    normalised
        By tensor: the tensor that it is a normalisation of, within the sample.
    activated
        Outputs of activation functions, through shape operations.
    operands, views
        By index of the operation.
    """

    shapes: Mapping[int, tuple[int, ...]]
    producer: Mapping[int, Operation]
    ancestors: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    affine: dict[int, tuple[int, float, float]] = attrs.field(factory=dict)
    gates: dict[int, str] = attrs.field(factory=dict)
    statistics: dict[int, Statistic] = attrs.field(factory=dict)
    even: dict[int, int] = attrs.field(factory=dict)
    summaries: dict[int, int] = attrs.field(factory=dict)
    normalised: dict[int, int] = attrs.field(factory=dict)
    activated: set[int] = attrs.field(factory=set)
    operands: dict[int, tuple[Operand, ...]] = attrs.field(factory=dict)
    views: dict[int, Operation] = attrs.field(factory=dict)

    def lineage(self, tensor: int) -> tuple[int, ...]:
        """Return the tensors that a tensor is an elementwise function of, itself first."""
        return self.ancestors.get(tensor, (tensor,))

    def size(self, tensor: int) -> int:
        """Return how many numbers a tensor holds."""
        return math.prod(self.shapes[tensor])

    def view(self, operation: Operation) -> Operation:
        """Return an operation as relevance sees it."""
        return self.views.get(operation.index, operation)

    def through(self, tensor: int, passes: Callable[[Operation], bool]) -> int:
        """Return the tensor that one is made of by operations with one input that may be passed."""
        while tensor in self.producer:
            operation = self.producer[tensor]
            if len(operation.inputs) != 1 or not passes(operation):
                break
            tensor = operation.inputs[0]
        return tensor


def read(recording: Recording, operations: Iterable[Operation], producer: Mapping[int, Operation]) -> Facts:
    """Return the facts about the tensors of a recording, from the input to the output."""
    facts = Facts({tensor: recording.shape(tensor) for tensor in recording.values}, producer)
    for operation in operations:
        _elementwise(facts, operation)
        _forms(facts, operation)
        _gate(facts, operation)
        _statistic(facts, operation)
        _normalisation(facts, operation)
        _activation(facts, operation)
        _roles(facts, operation)
    return facts


def _place(operation: Operation) -> str:
    return f"{operation.function} at {operation.path}" if operation.path else operation.function


def _is_index(operation: Operation) -> bool:
    """Return whether an operation only moves numbers, or does nothing."""
    return operation.kind in ("shape", "dropout")


def _keeps_shape(facts: Facts, operation: Operation) -> bool:
    shapes = {facts.shapes[tensor] for tensor in (*operation.inputs, *operation.outputs)}
    return len(shapes) == 1


# --- elementwise functions of one tensor -----------------------------------------------------------


def _elementwise(facts: Facts, operation: Operation) -> None:
    """Note what tensor the output is an elementwise function of, and the view where that is a shortcut."""
    row = kind(operation.kind)
    if len(operation.outputs) != 1 or not operation.inputs or not _keeps_shape(facts, operation):
        return
    (output,) = operation.outputs
    alone = row.elementwise or row.affine or operation.kind == "dropout" or function(operation.function).identity
    if len(operation.inputs) == 1 and alone:
        facts.ancestors[output] = (output, *facts.lineage(operation.inputs[0]))
        _linear_in_numbers(facts, operation)
        return
    if len(operation.inputs) < 2 or operation.kind not in ("product", "quotient", "sum", "selection"):
        return
    lineages = [facts.lineage(tensor) for tensor in operation.inputs]
    common = next((tensor for tensor in lineages[0] if all(tensor in one for one in lineages[1:])), None)
    if common is not None:
        facts.ancestors[output] = (output, *facts.lineage(common))
        _see(facts, operation, "activation", operation.function, common)


def _see(facts: Facts, operation: Operation, kind_name: str, name: str, tensor: int, **attributes: object) -> None:
    """Note that relevance sees an operation as a function of one tensor."""
    facts.views[operation.index] = attrs.evolve(
        operation, kind=kind_name, function=name, inputs=(tensor,), attributes={**operation.attributes, **attributes}
    )


def _linear_in_numbers(facts: Facts, operation: Operation) -> None:
    """Note ``factor · base + shift`` where both are single numbers that the backend knows."""
    factor, shift = operation.attributes.get("scale"), operation.attributes.get("shift")
    if operation.kind != "scaling" or factor is None or shift is None:
        return
    base, before, offset = facts.affine.get(operation.inputs[0], (operation.inputs[0], 1.0, 0.0))
    facts.affine[operation.outputs[0]] = (base, factor * before, factor * offset + shift)


# --- functions that are written out ----------------------------------------------------------------


def _forms(facts: Facts, operation: Operation) -> None:
    """Recognise sigmoid, hard sigmoid and softmax where a model writes them out."""
    if operation.kind == "scaling":
        _scaled_tanh(facts, operation)
        _scaled_relu6(facts, operation)
    elif operation.function == "reciprocal":
        _reciprocal_of_exp(facts, operation)
    elif operation.function == "clamp":
        _clipped(facts, operation)
    elif operation.kind == "quotient":
        _exp_over_sum(facts, operation)


def _made_by(facts: Facts, tensor: int, name: str) -> Operation | None:
    """Return the operation that made a tensor, if it is of that function."""
    operation = facts.producer.get(tensor)
    return operation if operation is not None and operation.function == name else None


def _is_gate(facts: Facts, operation: Operation, name: str, tensor: int) -> None:
    """Note that an operation is the last one of a written-out gate."""
    _see(facts, operation, "activation", name, tensor)
    facts.ancestors[operation.outputs[0]] = (operation.outputs[0], *facts.lineage(tensor))
    facts.gates[operation.outputs[0]] = _place(facts.views[operation.index])


def _scaled_tanh(facts: Facts, operation: Operation) -> None:
    """``(1 + tanh(x / 2)) / 2`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (0, 0.0, 0.0))
    tanh = _made_by(facts, base, "tanh") if (factor, shift) == (0.5, 0.5) else None
    if tanh is not None:
        _is_gate(facts, operation, "sigmoid", tanh.inputs[0])


def _scaled_relu6(facts: Facts, operation: Operation) -> None:
    """``relu6(x + 3) / 6`` is a hard sigmoid."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (0, 0.0, 0.0))
    relu6 = _made_by(facts, base, "relu6") if math.isclose(6 * factor, 1, rel_tol=1e-6) and shift == 0 else None
    inside = None if relu6 is None else facts.affine.get(relu6.inputs[0])
    if inside is not None and inside[1:] == (1.0, 3.0):
        _is_gate(facts, operation, "hardsigmoid", inside[0])


def _reciprocal_of_exp(facts: Facts, operation: Operation) -> None:
    """``1 / (1 + exp(−x))`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.inputs[0], (0, 0.0, 0.0))
    exp = _made_by(facts, base, "exp") if (factor, shift) == (1.0, 1.0) else None
    if exp is not None:
        _is_gate(facts, operation, "sigmoid", exp.inputs[0])


def _clipped(facts: Facts, operation: Operation) -> None:
    """An affine function, clipped to [0, 1], is a hard sigmoid."""
    inside = facts.affine.get(operation.inputs[0])
    bounds = operation.attributes.get("low"), operation.attributes.get("high")
    if bounds == (0.0, 1.0):
        _is_gate(facts, operation, "hardsigmoid", operation.inputs[0] if inside is None else inside[0])


def _exp_over_sum(facts: Facts, operation: Operation) -> None:
    """``exp(x − m) / Σ exp(x − m)`` is a softmax of x."""
    top, bottom = operation.inputs
    exp = _made_by(facts, top, "exp")
    total = facts.producer.get(facts.through(bottom, _is_index))
    if exp is None or total is None or total.function != "sum" or total.inputs != (top,):
        return
    axes = total.attributes.get("axes", ())
    if len(axes) == 1:
        logits = _without_largest(facts, exp.inputs[0])
        _see(facts, operation, "softmax", "softmax", logits, axis=axes[0])
        facts.gates[operation.outputs[0]] = _place(facts.views[operation.index])


def _without_largest(facts: Facts, tensor: int) -> int:
    """Return x where a tensor is x minus its maximum, which softmax does not see."""
    operation = facts.producer.get(tensor)
    if operation is None or operation.kind != "sum" or operation.signs != (1, -1):
        return tensor
    largest = facts.producer.get(facts.through(operation.inputs[1], _is_index))
    is_maximum = largest is not None and largest.kind == "max_pooling" and largest.inputs == operation.inputs[:1]
    return operation.inputs[0] if is_maximum else tensor


# --- gates and statistics --------------------------------------------------------------------------


def _gate(facts: Facts, operation: Operation) -> None:
    """Note whether the outputs are gates: born here, or kept by what may follow a gate."""
    row = kind(operation.kind)
    view = facts.view(operation)
    if function(operation.function).gate and view is operation:
        origin: str | None = _place(operation)
    elif row.keeps_gate or operation.kind in ("product", "quotient"):
        origins = [facts.gates.get(tensor) for tensor in operation.inputs]
        origin = origins[0] if operation.inputs and None not in origins else None
    else:
        return
    if origin is not None:
        for tensor in operation.outputs:
            facts.gates.setdefault(tensor, origin)


def _statistic(facts: Facts, operation: Operation) -> None:
    """Note squares and magnitudes, what is reduced of them, and what keeps a statistic one."""
    row = kind(operation.kind)
    if len(operation.outputs) != 1 or not operation.inputs:
        return
    (output,) = operation.outputs
    first = operation.inputs[0]
    if _is_even(operation):
        facts.even[output] = first
    elif len(operation.inputs) == 1 and first in facts.even and (row.elementwise or row.affine or _is_index(operation)):
        facts.even[output] = facts.even[first]
    known = [facts.statistics.get(tensor) for tensor in operation.inputs]
    if operation.kind == "average_pooling" and first in facts.even:
        facts.statistics[output] = Statistic(_place(operation), facts.size(output), frozenset({facts.even[first]}))
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
    return row.elementwise or row.affine or _is_index(operation) or combines


def _normalisation(facts: Facts, operation: Operation) -> None:
    """Note where a tensor is x normalised by statistics of x, and what is a summary of one tensor."""
    if len(operation.outputs) != 1 or not operation.inputs:
        return
    (output,) = operation.outputs
    _summary(facts, operation)
    if operation.kind in ("product", "quotient"):
        for signal, other in _pairs(operation):
            statistic = facts.statistics.get(other)
            if statistic is None or statistic.size >= facts.size(output) or signal in facts.statistics:
                continue
            source = _centred(facts, signal)
            if statistic.of & {signal, source}:
                facts.normalised[output] = source
    elif operation.kind == "sum" and len(operation.inputs) == 2:
        for signal, other in (operation.inputs, operation.inputs[::-1]):
            source_of = facts.normalised.get(signal)
            if source_of is not None and facts.summaries.get(other) == source_of:
                facts.normalised[output] = source_of
    elif kind(operation.kind).affine and operation.inputs[0] in facts.normalised:
        facts.normalised[output] = facts.normalised[operation.inputs[0]]


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
    keeps = row.elementwise or row.affine or _is_index(operation) or operation.kind in ("sum", "product", "quotient")
    sources = {facts.summaries.get(tensor) for tensor in operation.inputs}
    if keeps and len(sources) == 1 and None not in sources:
        facts.summaries[output] = next(iter(source for source in sources if source is not None))


def _activation(facts: Facts, operation: Operation) -> None:
    """Note the outputs of activation functions, through shape operations."""
    view = facts.view(operation)
    made = kind(view.kind).elementwise
    kept = _is_index(operation) and len(operation.inputs) == 1 and operation.inputs[0] in facts.activated
    if made or kept:
        facts.activated.update(operation.outputs)


def _roles(facts: Facts, operation: Operation) -> None:
    """Note the role of each operand of a product or quotient."""
    if not kind(operation.kind).multiplies and operation.kind != "quotient":
        return
    size = max(facts.size(tensor) for tensor in operation.outputs)
    roles = []
    for place, tensor in enumerate(operation.inputs):
        statistic = facts.statistics.get(tensor)
        if operation.kind == "quotient" and place == 1:
            roles.append(Operand("denominator"))
        elif tensor in facts.gates:
            roles.append(Operand("gate", facts.gates[tensor]))
        elif operation.kind == "product" and statistic is not None and statistic.size < size:
            roles.append(Operand("statistic", statistic.origin))
        else:
            roles.append(Operand("signal"))
    facts.operands[operation.index] = tuple(roles)


# --- shares ----------------------------------------------------------------------------------------


def shares(facts: Facts, operation: Operation, frozen: frozenset[str]) -> tuple[float, ...]:
    """Return the share of each operand; a frozen one has none.

    Parameters
    ----------
    facts
        Of the recording.
    operation
        A product or quotient.
    frozen
        Roles that are constants to the rule; ``"activated"`` stands for the one operand of a product
        without a gate that is the output of an activation function.

    Notes
    -----
    An operand's share is the number of its leaves over the number of all, so that a product of
    several factors does not depend on how it is grouped.
    """
    live = _live(facts, operation, frozen)
    leaves = [_leaves(facts, tensor, operation.kind, frozen) for tensor in operation.inputs]
    counted: set[int] = set()
    counts = [0] * len(operation.inputs)
    # A leaf that several operands have counts for the one with the most leaves.
    for place in sorted(live, key=lambda place: (-len(leaves[place]), place)):
        counts[place] = len(leaves[place] - counted)
        counted |= leaves[place]
    return tuple(count / len(counted) for count in counts)


def _live(facts: Facts, operation: Operation, frozen: frozenset[str]) -> list[int]:
    """Return the places of the operands that are not frozen; the last one is never frozen."""
    operands = facts.operands[operation.index]
    live = [place for place, operand in enumerate(operands) if operand.role not in frozen]
    if not live:
        live = [place for place, operand in enumerate(operands) if operand.role != "denominator"]
    if "activated" in frozen and len(live) > 1 and all(operand.role != "gate" for operand in operands):
        outputs = [place for place in live if operation.inputs[place] in facts.activated]
        if len(outputs) == 1:
            live.remove(outputs[0])
    return live


def _leaves(facts: Facts, tensor: int, family: str, frozen: frozenset[str]) -> frozenset[int]:
    """Return the factors that a tensor is a product of; functions of one tensor are one factor."""

    def passes(operation: Operation) -> bool:
        scales = operation.kind == "scaling" and function(operation.function).scales
        return _is_index(operation) or scales

    origin = facts.through(tensor, passes)
    operation = facts.producer.get(origin)
    if operation is None or operation.kind != family or operation.index in facts.views:
        return frozenset({facts.lineage(tensor)[-1]})
    live = _live(facts, operation, frozen)
    return frozenset().union(*(_leaves(facts, operation.inputs[place], family, frozen) for place in live))
