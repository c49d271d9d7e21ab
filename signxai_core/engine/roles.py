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
from signxai_core.specs.nonlinear import Shared
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
    affine_parts
        Normalised tensors, and what shape operations and constant scalings make of them.
    activated
        Outputs of activation functions, through shape operations.
    consumers
        Operations by the id of a tensor that they read, as far as the pass has come.
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
    affine_parts: set[int] = attrs.field(factory=set)
    activated: set[int] = attrs.field(factory=set)
    consumers: dict[int, list[Operation]] = attrs.field(factory=dict)
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

    @property
    def targets(self) -> frozenset[int]:
        """Tensors that relevance is handed to past the operations that read them."""
        seen = {operation.inputs[0] for operation in self.views.values()}
        return frozenset(seen.union(self.normalised.values()))

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
        for tensor in operation.inputs:
            facts.consumers.setdefault(tensor, []).append(operation)
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
        _last_factor(facts, operation)
        return
    if len(operation.inputs) < 2 or operation.kind not in ("product", "quotient", "sum", "selection"):
        return
    lineages = [facts.lineage(tensor) for tensor in operation.inputs]
    common = next((tensor for tensor in lineages[0] if all(tensor in one for one in lineages[1:])), None)
    if common is not None:
        facts.ancestors[output] = (output, *facts.lineage(common))
        _see(facts, operation, "activation", operation.function, common)


def _last_factor(facts: Facts, operation: Operation) -> None:
    """Count a number to the function that it is a factor of: ``x · relu6(x + 3) / 6``."""
    inner = facts.producer.get(operation.inputs[0])
    view = None if inner is None else facts.views.get(inner.index)
    is_number = operation.attributes.get("scale") is not None and operation.attributes.get("shift") == 0
    if view is not None and kind(view.kind).elementwise and operation.kind == "scaling" and is_number:
        _see(facts, operation, "activation", view.function, view.inputs[0])


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
        _clipped(facts, operation)
    elif operation.function == "reciprocal":
        _reciprocal_of_exp(facts, operation)
    elif operation.function in _CLIPS:
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


def _unscaled(facts: Facts, tensor: int) -> int:
    """Return what a tensor is a multiple of."""
    base, _, shift = facts.affine.get(tensor, (tensor, 1.0, 0.0))
    return tensor if shift else base


def _scaled_tanh(facts: Facts, operation: Operation) -> None:
    """``(1 + tanh(x / 2)) / 2`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (0, 0.0, 0.0))
    tanh = _made_by(facts, base, "tanh") if (factor, shift) == (0.5, 0.5) else None
    if tanh is not None:
        _is_gate(facts, operation, "sigmoid", _unscaled(facts, tanh.inputs[0]))


def _reciprocal_of_exp(facts: Facts, operation: Operation) -> None:
    """``1 / (1 + exp(−x))`` is a sigmoid."""
    base, factor, shift = facts.affine.get(operation.inputs[0], (0, 0.0, 0.0))
    exp = _made_by(facts, base, "exp") if (factor, shift) == (1.0, 1.0) else None
    if exp is not None:
        _is_gate(facts, operation, "sigmoid", _unscaled(facts, exp.inputs[0]))


#: Functions that clip, and their bounds where these are not attributes.
_CLIPS: Final[Mapping[str, tuple[float, float] | None]] = {"clamp": None, "hardtanh": None, "relu6": (0.0, 6.0)}


def _clipped(facts: Facts, operation: Operation) -> None:
    """An affine function that is clipped, and scaled to [0, 1], is a hard sigmoid: ``relu6(x + 3) / 6``."""
    base, factor, shift = facts.affine.get(operation.outputs[0], (operation.outputs[0], 1.0, 0.0))
    clip = facts.producer.get(base, operation if base == operation.outputs[0] else None)
    if clip is None or clip.function not in _CLIPS:
        return
    low, high = _CLIPS[clip.function] or (clip.attributes.get("low"), clip.attributes.get("high"))
    if low is None or high is None or not _is_unit(factor * low + shift, factor * high + shift):
        return
    inside = clip.inputs[0]
    _is_gate(facts, operation, "hardsigmoid", facts.affine.get(inside, (inside, 1.0, 0.0))[0])


def _is_unit(low: float, high: float) -> bool:
    """Return whether bounds are 0 and 1, to the rounding of constants in single precision."""
    return math.isclose(low, 0, abs_tol=1e-6) and math.isclose(high, 1, rel_tol=1e-6)


def _exp_over_sum(facts: Facts, operation: Operation) -> None:
    """``exp(x − m) / Σ exp(x − m)`` is a softmax of x."""
    top, bottom = operation.inputs
    exp = _made_by(facts, top, "exp")
    total = facts.producer.get(facts.through(bottom, _is_index))
    if exp is None or total is None or total.function != "sum":
        return
    summed = _made_by(facts, total.inputs[0], "exp")
    if summed is None or summed.inputs != exp.inputs:
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
        source = facts.even[first]
        of = frozenset({source, _centred(facts, source)})
        facts.statistics[output] = Statistic(_place(operation), facts.size(output), of)
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
    source = _normalises(facts, operation)
    if source is not None:
        facts.normalised[output] = source
    follows = len(operation.inputs) == 1 and operation.inputs[0] in facts.affine_parts
    if output in facts.normalised or (follows and (kind(operation.kind).affine or _is_index(operation))):
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


# --- shares ----------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Factor:
    """A factor of a product of products: what its occurrences have in common.

    Parameters
    ----------
    role
        ``signal`` if any occurrence is one.
    activated
        Whether it is the output of an activation function.
    """

    role: Role
    activated: bool


def shares(facts: Facts, operation: Operation, rule: Shared) -> tuple[float, ...]:
    """Return the share of each operand; a frozen one has none.

    Parameters
    ----------
    facts
        Of the recording.
    operation
        A product or quotient.
    rule
        Says which roles are constants, and may say what the operands are.

    Notes
    -----
    A product of products is one product of its distinct factors, and an operand's share is the number
    of its live factors over the number of all: it does not matter how the product is grouped.
    """
    if rule.roles is not None:
        live = [role not in {*rule.frozen, "denominator", "frozen"} for role in rule.roles]
        live = live if any(live) else [role not in ("denominator", "frozen") for role in rule.roles]
        return tuple(one / max(sum(live), 1) for one in live)
    if operation.kind == "quotient":
        return (1.0, 0.0)
    if len(operation.inputs) == 1:
        return _beside_constant(rule)
    constants = _frozen_factors(facts, _whole(facts, operation), rule.frozen)
    if operation.kind == "matrix_product":
        return _by_uses(facts, operation, constants)
    found = [_factors(facts, tensor, operation.kind) for tensor in operation.inputs]
    factors = [{root for root in one if root not in constants} for one in found]
    if not any(factors):
        factors = [set(one) for one in found]  # the whole product hands nothing to this part of it
    counted: set[int] = set()
    counts = [0] * len(factors)
    # A factor that several operands have counts for the one with the most factors.
    for place in sorted(range(len(factors)), key=lambda place: (-len(factors[place]), place)):
        counts[place] = len(factors[place] - counted)
        counted |= factors[place]
    return tuple(count / len(counted) for count in counts)


def _beside_constant(rule: Shared) -> tuple[float, ...]:
    """Return the share of a gate whose signal is a constant."""
    return (0.0 if "gate" in rule.frozen else 0.5,)


def _by_uses(facts: Facts, operation: Operation, constants: set[int]) -> tuple[float, ...]:
    """Return the shares in a matrix product, where a factor counts as often as it is used."""
    uses = [_uses(facts, tensor, operation.kind) for tensor in operation.inputs]
    live = [sum(root not in constants for root in one) for one in uses]
    counts = live if any(live) else [len(one) for one in uses]
    return tuple(count / sum(counts) for count in counts)


def _uses(facts: Facts, tensor: int, family: str) -> list[int]:
    """Return the factors that a tensor is a product of, as often as they are used."""
    origin = facts.through(tensor, _keeps_factor)
    operation = facts.producer.get(origin)
    if operation is None or operation.kind != family or operation.index in facts.views:
        return [facts.lineage(tensor)[-1]]
    return [root for operand in operation.inputs for root in _uses(facts, operand, family)]


def _whole(facts: Facts, operation: Operation) -> Operation:
    """Return the largest product that a product is a factor of, and of nothing else."""
    whole = operation
    tensor = operation.outputs[0]
    while len(facts.consumers.get(tensor, ())) == 1:
        (following,) = facts.consumers[tensor]
        if following.kind == operation.kind and following.index not in facts.views:
            whole = following
        elif len(following.inputs) != 1 or not _keeps_factor(following):
            break
        tensor = following.outputs[0]
    return whole


def _frozen_factors(facts: Facts, whole: Operation, frozen: frozenset[str]) -> set[int]:
    """Return the factors of a whole product that are constants; one at least is none."""
    factors: dict[int, Factor] = {}
    for place, tensor in enumerate(whole.inputs):
        for root, factor in _factors(facts, tensor, whole.kind, facts.operands[whole.index][place].role).items():
            factors[root] = _merged(factors.get(root), factor)
    constants = {root for root, factor in factors.items() if factor.role in frozen}
    if len(constants) == len(factors):
        return set()
    live = factors.keys() - constants
    without_gate = all(factor.role != "gate" for factor in factors.values())
    if "activated" in frozen and whole.kind == "product" and without_gate and len(live) > 1:
        activated = [root for root in live if factors[root].activated]
        if len(activated) == 1:
            constants.add(activated[0])
    return constants


def _merged(known: Factor | None, factor: Factor) -> Factor:
    """Return what two occurrences of a factor are together: functions of one tensor make an activation."""
    if known is None:
        return factor
    roles = {known.role, factor.role}
    return Factor("signal" if "signal" in roles else factor.role, activated=True)


def _keeps_factor(operation: Operation) -> bool:
    """Return whether a factor of a product stays one: shape operations, dropout, constant factors."""
    return _is_index(operation) or (operation.kind == "scaling" and function(operation.function).scales)


def _factors(facts: Facts, tensor: int, family: str, role: Role = "signal") -> dict[int, Factor]:
    """Return the factors that a tensor is a product of; all functions of one tensor are one factor."""
    origin = facts.through(tensor, _keeps_factor)
    operation = facts.producer.get(origin)
    if operation is None or operation.kind != family or operation.index in facts.views:
        return {facts.lineage(tensor)[-1]: Factor(role, origin in facts.activated)}
    found: dict[int, Factor] = {}
    for place, operand in enumerate(operation.inputs):
        for root, factor in _factors(facts, operand, family, facts.operands[operation.index][place].role).items():
            found[root] = _merged(found.get(root), factor)
    return found
