"""What a recording's operations are to each other: consumers, groups, positions, signs.

A *group* is what a rule sees as one operation: a linear operation with the batch-normalisation,
constant scaling and zero padding that belong to it, or any other operation alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

import attrs

from signxai_core.engine.backend import Array, Backend, Operation, Recording
from signxai_core.engine.batch import Samples, follow, per_sample
from signxai_core.engine.facts import Facts
from signxai_core.engine.roles import read
from signxai_core.errors import UnsupportedOperationError
from signxai_core.specs.composites import Position
from signxai_core.specs.operations import function, kind

#: An output may be taken as the difference of two others where each sums this many products or more
#: (with few, one of them can be so small that the difference is rounding) with this rounding or less.
_WIDE, _PRECISE = 64, 2.0**-23
#: How many times larger than input and output a heavy weight is.
_HEAVY = 16


Axes = tuple[int, ...]


@attrs.frozen(eq=False)
class Group:
    """Operations that one rule may treat as one: ``post(core(pre(x)))``."""

    core: Operation
    pre: tuple[Operation, ...] = ()
    post: tuple[Operation, ...] = ()

    def part(self, start: int, count: int) -> Group:
        """Return some of the operations, one after the other, as a group: that with the core, or a single one."""
        if count == len(self.operations):
            return self
        chosen = self.operations[start : start + count]
        if self.core not in chosen:
            return Group(chosen[0])
        before = len(self.pre) - start
        return Group(self.core, chosen[:before], chosen[before + 1 :])

    @functools.cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All of them, in the order of execution."""
        return (*self.pre, self.core, *self.post)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Ids of the tensors that go in."""
        return self.operations[0].inputs

    @property
    def outputs(self) -> tuple[int, ...]:
        """Ids of the tensors that come out."""
        return self.operations[-1].outputs


@attrs.frozen(eq=False)
class Structure:
    """A recording with its groups.

    Parameters
    ----------
    recording
        Operations that the output does not depend on are left out of everything below.
    groups
        In the order of execution.
    positions
        ``first`` and ``last`` per group.
    passed
        Numbers of the groups on the way from the input to the first layers.
    producer, consumers
        Operations by tensor id.
    non_negative
        Ids of tensors that cannot hold negative numbers: whatever the input, or where it has none.
    rectified
        Id of the output of the ReLU that is the only one to read a tensor, by that tensor's id.
    facts
        What the tensors are made of, and the roles of operands.
    samples
        How tensors hold the samples of the batch, where that is known.
    """

    recording: Recording
    groups: tuple[Group, ...]
    positions: tuple[frozenset[Position], ...]
    passed: frozenset[int]
    producer: dict[int, Operation]
    consumers: dict[int, list[Operation]]
    non_negative: frozenset[int]
    rectified: dict[int, int]
    facts: Facts
    samples: dict[int, Samples]

    def per_sample(self, backend: Backend, tensor: int, array: Array, operation: Operation) -> tuple[Array, Axes]:
        """Return an array like a tensor with an axis for the samples, and the axes of what belongs to one.

        Raises
        ------
        UnsupportedOperationError
            Where it is not known which numbers belong to a sample.
        """
        shape, known = self.facts.shapes[tensor], self.samples.get(tensor)
        found = None if known is None else per_sample(backend, known, shape, array, self.recording.batch)
        if found is None:
            raise UnsupportedOperationError(
                f"{operation.label}: it is not known which numbers of an array of shape {tuple(array.shape)} belong to "
                f"each of the {self.recording.batch} samples, so that no number per sample can be taken; move the "
                "batch axis of that operation to the front, or explain one sample at a time (batch_size=1)",
                function=operation.function,
                path=operation.path,
            )
        return found


def analyse(recording: Recording, *, non_negative: bool = False) -> Structure:
    """Return the structure of a recording; ``non_negative``: its input holds no negative number."""
    key = "structure", recording.output, non_negative
    found = recording.derive(key, lambda: _analysed(recording, non_negative=non_negative))
    return attrs.evolve(found, recording=recording)


def _analysed(recording: Recording, *, non_negative: bool) -> Structure:
    """Return the structure without the recording's numbers."""
    operations = _needed(recording)
    producer = {tensor: operation for operation in operations for tensor in operation.outputs}
    consumers: dict[int, list[Operation]] = {}
    for operation in operations:
        for tensor in dict.fromkeys(operation.inputs):
            consumers.setdefault(tensor, []).append(operation)
    facts = read(recording, operations, producer)
    groups = _groups(recording, operations, producer, consumers, facts)
    first, passed = _before_layers(recording, groups, facts)
    return Structure(
        attrs.evolve(recording, values={}, compiled=None, known={}),
        groups,
        _positions(groups, first),
        frozenset(passed),
        producer,
        consumers,
        _non_negative(operations, {recording.input} if non_negative else set()),
        _rectified(recording, operations, consumers),
        facts,
        follow(operations, facts.shapes, recording.input, recording.batch),
    )


def _needed(recording: Recording) -> list[Operation]:
    """Return the operations that the output depends on."""
    wanted = {recording.output}
    kept = []
    for operation in reversed(recording.operations):
        if wanted.intersection(operation.outputs):
            wanted.update(operation.inputs)
            kept.append(operation)
    return kept[::-1]


def channel_vector(array: Array, rank: int, axis: int) -> tuple[int, ...] | None:
    """Return the shape that makes ``array`` one number per channel, or ``None`` if it is not that.

    ``(C,)`` for an array that broadcasts along every axis but the channels' of an operand with
    ``rank`` axes, ``()`` for a single number.
    """
    shape = (1,) * (rank - len(array.shape)) + tuple(array.shape)
    if len(shape) != rank:
        return None
    others = shape[:axis] + shape[axis + 1 :]
    if any(length != 1 for length in others):
        return None
    return () if math.prod(shape) == 1 else (shape[axis],)


def is_wide(recording: Recording, core: Operation) -> bool:
    """Return whether an output of a linear operation may be taken as a difference; see :data:`_WIDE`."""
    weight = core.parameters.get("weight")
    if weight is None or core.channel_axis is None or recording.rounding > _PRECISE:
        return False
    outputs = recording.shape(core.outputs[0])[core.channel_axis]
    return bool(math.prod(weight.shape) >= _WIDE * outputs)


def is_heavy(recording: Recording, group: Group) -> bool:
    """Return whether what takes time is to read the weight, so that several arrays are best pulled at once."""
    weight = group.core.parameters.get("weight")
    if weight is None:
        return False
    largest = max(math.prod(recording.shape(tensor)) for tensor in (*group.inputs, *group.outputs))
    return bool(math.prod(weight.shape) >= _HEAVY * largest)


def _is_channelwise(recording: Recording, operation: Operation, axis: int) -> bool:
    rank = len(recording.shape(operation.outputs[0]))
    return channel_vector(operation.parameters["scale"], rank, axis) is not None


def _groups(
    recording: Recording,
    operations: Iterable[Operation],
    producer: dict[int, Operation],
    consumers: dict[int, list[Operation]],
    facts: Facts,
) -> tuple[Group, ...]:
    operations = list(operations)
    # What follows a normalisation within the sample belongs to it.
    claimed = {op.index for op in operations if not facts.affine_parts.isdisjoint(op.outputs)}
    # What belongs to a function that is written out is part of that, and what it starts from is no inside of a group.
    claimed.update(facts.views)
    targets = facts.targets
    post: dict[int, list[Operation]] = {}
    foldable = [op for op in operations if kind(op.kind).layer and op.channel_axis is not None]
    for core in foldable:
        post[core.index] = _chain_behind(recording, core, consumers, targets | {recording.output})
        claimed.update(op.index for op in post[core.index])
    pre: dict[int, list[Operation]] = {}
    for core in foldable:
        pre[core.index] = _chain_before(recording, core, producer, consumers, claimed)
        claimed.update(op.index for op in pre[core.index])
    claimed = {op.index for chain in (*pre.values(), *post.values()) for op in chain}
    groups = [
        Group(op, tuple(pre.get(op.index, ())), tuple(post.get(op.index, ())))
        for op in operations
        if op.index not in claimed
    ]
    return tuple(sorted(groups, key=lambda group: group.operations[-1].index))


def _chain_behind(
    recording: Recording, core: Operation, consumers: dict[int, list[Operation]], ends: frozenset[int]
) -> list[Operation]:
    """Return the batch-norm and scaling behind a linear operation, past dropout, and that dropout.

    ``ends``: tensors that have to stay outputs.
    """
    chain: list[Operation] = []
    skipped: list[Operation] = []
    tensor = core.outputs[0]
    while tensor not in ends and len(consumers.get(tensor, ())) == 1 and core.channel_axis is not None:
        following = consumers[tensor][0]
        if following.kind == "dropout":
            skipped.append(following)
        elif kind(following.kind).affine and _is_channelwise(recording, following, core.channel_axis):
            chain += [*skipped, following]
            skipped = []
        else:
            break
        tensor = following.outputs[0]
    return chain


def _chain_before(
    recording: Recording,
    core: Operation,
    producer: dict[int, Operation],
    consumers: dict[int, list[Operation]],
    claimed: set[int],
) -> list[Operation]:
    """Return batch-norm, scaling and zero padding in front of a linear operation, past dropout, and that dropout."""
    chain: list[Operation] = []
    skipped: list[Operation] = []
    tensor = core.inputs[0]
    while tensor in producer and tensor != recording.output and len(consumers[tensor]) == 1:
        previous = producer[tensor]
        if previous.index in claimed or core.channel_axis is None:
            break
        scales = kind(previous.kind).affine and _is_channelwise(recording, previous, core.channel_axis)
        if previous.kind == "dropout":
            skipped.append(previous)
        elif scales or previous.padding:
            chain += [*skipped, previous]
            skipped = []
        else:
            break
        tensor = previous.inputs[0]
    return chain[::-1]


def _before_layers(recording: Recording, groups: tuple[Group, ...], facts: Facts) -> tuple[set[int], set[int]]:
    """Return which groups are the first layers, and which lie on the way there and may be passed."""
    reached = {recording.input}
    first: set[int] = set()
    passed: set[int] = set()
    for index, group in enumerate(groups):
        source = next((facts.normalised[one] for one in group.outputs if one in facts.normalised), None)
        if source in reached:
            passed.add(index)
            reached.update(group.outputs)
        if reached.isdisjoint(group.inputs):
            continue
        if kind(group.core.kind).layer:
            first.add(index)
        elif kind(group.core.kind).before_first:
            passed.add(index)
            reached.update(group.outputs)
    return first, passed


def _positions(groups: tuple[Group, ...], first: set[int]) -> tuple[frozenset[Position], ...]:
    """Return which groups of a layer come first and last."""
    followed: set[int] = set()
    last: set[int] = set()
    for index, group in reversed(list(enumerate(groups))):
        is_followed = not followed.isdisjoint(group.outputs)
        if kind(group.core.kind).layer and not is_followed:
            last.add(index)
        if kind(group.core.kind).layer or is_followed:
            followed.update(group.inputs)
    named: list[frozenset[Position]] = []
    for index in range(len(groups)):
        positions: list[Position] = []
        positions += ["first"] if index in first else []
        positions += ["last"] if index in last else []
        named.append(frozenset(positions))
    return tuple(named)


def _rectified(
    recording: Recording, operations: Iterable[Operation], consumers: dict[int, list[Operation]]
) -> dict[int, int]:
    return {
        operation.inputs[0]: operation.outputs[0]
        for operation in operations
        if operation.function == "relu" and operation.inputs[0] != recording.output
        if consumers[operation.inputs[0]] == [operation]
    }


def _non_negative(operations: Iterable[Operation], known: set[int]) -> frozenset[int]:
    found = set(known)
    for operation in operations:
        keeps = kind(operation.kind).keeps_sign and not operation.constants
        adds = operation.kind == "sum" and min(operation.signs) > 0
        if function(operation.function).non_negative or ((keeps or adds) and found.issuperset(operation.inputs)):
            found.update(operation.outputs)
    return frozenset(found)
