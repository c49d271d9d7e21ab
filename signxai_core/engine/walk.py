"""One walk from the output to the input, for several queries at once.

A *stream* is a set of queries that have had the same rule at every operation so far; it splits
where they differ. Every operation is visited once, and what streams have in common there (mapped
weights, outputs of terms) is computed once and dropped when the walk moves on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import attrs

from signxai_core.engine.backend import Array, Backend, Operation, Released
from signxai_core.engine.function import propagate_function
from signxai_core.engine.linear import Linear
from signxai_core.engine.local import Place, propagate
from signxai_core.engine.plan import Assignment, HandOn, Step, receivers, seen
from signxai_core.engine.propagate import Job, propagate_rules
from signxai_core.engine.streams import Stream, batched
from signxai_core.engine.structure import Group, Structure, is_heavy
from signxai_core.engine.ties import reads_rectified, untied
from signxai_core.specs.nonlinear import AnyRule
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import FunctionRule, LinearRule, Rule, Term


def _linear(linear: Linear, rule: LinearRule, relevance: Array, rectified: Array | None = None) -> tuple[Array, ...]:
    if isinstance(rule, FunctionRule):
        return propagate_function(linear, rule, relevance)
    return propagate_rules(linear, [Job(rule, relevance, rectified)])[0]


def _uses(steps: list[tuple[Stream, Step]]) -> Counter[Term]:
    """Sort steps, so that what a rule computes is shared at once, and return how often a term will be used."""
    if len(steps) == 1:
        return Counter()
    order = {parts: place for place, (_, parts) in enumerate(reversed(steps))}
    steps.sort(key=lambda step: order[step[1]])
    rules = [part.rule for _, parts in steps for part in parts if isinstance(part.rule, Rule)]
    return Counter(term for rule in rules for term in {term for share in rule.shares for term in share.terms})


def _job(step: Step) -> Rule | None:
    """Return the rule where a group is taken in one part, by a rule that is a value."""
    rule = step[0].rule if len(step) == 1 else None
    return rule if isinstance(rule, Rule) else None


@attrs.define(eq=False)
class Walk:
    """One walk.

    Parameters
    ----------
    backend, structure
        What was recorded, and how to compute with it.
    assignments
        The rules of each query.
    captures
        Ids of tensors whose relevance is wanted besides the input's.
    step
        Called after every group with the number of queries that were taken through it.
    consume
        No other walk will need the recording: its arrays are released as soon as this one is done
        with them, so that relevance takes their place in memory.
    memory
        How many numbers the streams may hold at a time: where all of them together would hold more,
        some go to the input before the others go on. One stream is always taken.

    Attributes
    ----------
    captured
        Relevance by query and tensor, as far as the walk has come.
    """

    backend: Backend
    structure: Structure
    assignments: Sequence[Assignment]
    captures: frozenset[int] = frozenset()
    step: Callable[[int], None] = lambda _: None
    consume: bool = False
    memory: float = math.inf
    captured: dict[tuple[int, int], Array] = attrs.field(factory=dict, init=False)
    _untied: list[set[int]] = attrs.field(init=False)
    _kept: set[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kept = {*self.captures, self.structure.recording.input, self.structure.recording.output}
        self._untied = [untied(self.structure, assignment) for assignment in self.assignments]

    def run(self, seeds: Mapping[str, Array], kinds: Sequence[str]) -> list[dict[int, Array]]:
        """Return, per query, relevance by tensor id: the input's and the captured tensors'.

        Parameters
        ----------
        seeds
            Relevance at the output by kind of seed.
        kinds
            Kind of seed of each query.
        """
        self._descend(self.begin(seeds, kinds), len(self.structure.groups), self.memory, consume=self.consume)
        return self.found()

    def _descend(self, streams: list[Stream], position: int, memory: float, *, consume: bool) -> None:
        """Take streams from where the groups before ``position`` are still to be visited to the input."""
        while position:
            batches = batched(self.structure, streams, position, memory)
            if len(batches) > 1:
                streams.clear()  # so that what a batch holds is freed with it
                while batches:
                    batch, left = batches.pop(0)
                    self._descend(batch, position, left, consume=consume and not batches)
                return
            position -= 1
            if consume:
                self._release_unread(position)
            streams[:] = self.visit(position, streams)
            if consume:
                self._release_visited(self.structure.groups[position])
            self.step(sum(len(stream.members) for stream in streams))
        self.finish(streams)

    def _release_unread(self, position: int) -> None:
        """Release what no query asks for: the inside of a group taken in one step, and z where max(z, 0) does.

        That is done as late as possible: what the step itself makes fits into the memory of what it spares.
        """
        group = self.structure.groups[position]
        z = group.outputs[0]
        is_tied = z in self.structure.rectified and not any(z in untied for untied in self._untied)
        if not is_tied and not group.post:
            return
        steps = [assignment.steps[position] for assignment in self.assignments]
        unread = [z] if is_tied and all(reads_rectified(step) for step in steps) else []
        inside = group.post and all(not step or step[-1].count > len(group.post) for step in steps)
        if inside:
            unread += [tensor for operation in (group.core, *group.post[:-1]) for tensor in operation.outputs]
        self._release(group.post if inside else (), unread)

    def _release_visited(self, group: Group) -> None:
        """Release what a group made; what a ReLU made may stand for its input until that is done with."""
        rectified = self.structure.rectified
        made = [tensor for operation in group.operations for tensor in operation.outputs]
        if rectified.get(group.inputs[0]) in made:
            made = []
        self._release(group.operations, [*made, *(rectified[tensor] for tensor in made if tensor in rectified)])

    def _release(self, operations: Sequence[Operation], tensors: Sequence[int]) -> None:
        recording = self.structure.recording
        for operation in operations:
            self.backend.forget(operation)
        # What was made of a tensor goes first: a backend may need the tensor as long as that is there.
        for tensor in sorted(tensors, reverse=True):
            if tensor not in self._kept:
                recording.values[tensor] = Released(recording.shape(tensor))

    def begin(self, seeds: Mapping[str, Array], kinds: Sequence[str]) -> list[Stream]:
        """Return the streams at the output; parameters as in :meth:`run`."""
        output = self.structure.recording.output
        by_kind: dict[str, list[int]] = {}
        for index, seed in enumerate(kinds):
            by_kind.setdefault(seed, []).append(index)
        return [Stream(tuple(members), {output: seeds[seed]}) for seed, members in by_kind.items()]

    def finish(self, streams: Sequence[Stream]) -> None:
        """Capture what has arrived at the input."""
        source = self.structure.recording.input
        for stream in streams:
            self._capture(stream, source, stream.relevance.get(source))

    def found(self) -> list[dict[int, Array]]:
        """Return what was captured as one mapping per query."""
        tensors = {self.structure.recording.input, *self.captures}
        return [
            {tensor: self.captured[query, tensor] for tensor in tensors if (query, tensor) in self.captured}
            for query in range(len(self.assignments))
        ]

    def visit(self, position: int, streams: Sequence[Stream]) -> list[Stream]:
        """Take streams through one group of operations."""
        group = self.structure.groups[position]
        visited = [stream for stream in streams if stream.relevance.keys().isdisjoint(group.outputs)]
        steps: list[tuple[Stream, Step]] = []
        for stream in streams:
            by_rules: dict[Step, list[int]] = {}
            if not stream.relevance.keys().isdisjoint(group.outputs):
                for member in stream.members:
                    by_rules.setdefault(self.assignments[member].steps[position], []).append(member)
            for rules, members in by_rules.items():
                split = len(by_rules) > 1
                steps.append((Stream(tuple(members), dict(stream.relevance)) if split else stream, rules))
        linear = Linear(self.backend, self.structure, group, uses=_uses(steps))
        together = len(steps) > 1 and is_heavy(self.structure.recording, group)
        jobs = {stream: rule for stream, step in steps if (rule := _job(step)) is not None} if together else {}
        if jobs:
            self._together(jobs, group, linear)
        for stream, rules in steps:
            if stream not in jobs:
                self._step(stream, group, rules, linear)
        return [*visited, *(stream for stream, _ in steps)]

    def _together(self, rules: Mapping[Stream, Rule], group: Group, linear: Linear) -> None:
        """Take several streams through a group at once, which takes more memory and less time."""
        jobs = []
        for stream, rule in rules.items():
            (relevance,) = self._take(stream, group.outputs)
            jobs.append(Job(rule, relevance, self._rectified(stream, group.outputs[0])))
        for stream, relevances in zip(rules, propagate_rules(linear, jobs), strict=True):
            self._give(stream, group.inputs, relevances, are_own=linear.makes_arrays)

    def _step(self, stream: Stream, group: Group, step: Step, linear: Linear) -> None:
        """Take a stream through a group, from its last operation to its first."""
        end = len(group.operations)
        for part in reversed(step):
            start, rule = end - part.count, part.rule
            inner = group.part(start, part.count)
            arrived = self._take(stream, inner.outputs)
            end = start
            if all(relevance is None for relevance in arrived):
                continue
            if isinstance(rule, LinearRule) and (part.count > 1 or kind(inner.core.kind).linear):
                alone = linear if inner is group else Linear(self.backend, self.structure, inner)
                relevances = _linear(alone, rule, arrived[0], self._rectified(stream, inner.outputs[0]))
                is_value = isinstance(rule, Rule)  # what a function returns may be anything
                self._give(stream, inner.inputs, relevances, are_own=is_value and alone.makes_arrays)
            else:
                self._through(stream, inner.core, rule, arrived)

    def _rectified(self, stream: Stream, tensor: int) -> Array | None:
        """Return what a ReLU made of a tensor, if the tensor's relevance is 0 where that is 0."""
        output = self.structure.rectified.get(tensor)
        if output is None or tensor in self._untied[stream.members[0]]:
            return None
        return self.structure.recording.values[output]

    def _through(self, stream: Stream, operation: Operation, rule: AnyRule, relevances: Sequence[Array | None]) -> None:
        """Take a stream through one operation by a rule that is not a linear one's."""
        place = Place(self.backend, self.structure, seen(self.structure, operation, rule), tuple(relevances))
        handed = propagate(place, rule)
        tensors = (rule.tensor,) if isinstance(rule, HandOn) else place.operation.inputs
        receiving = receivers(self.structure, operation, rule)
        pairs = [(tensor, one) for tensor, one in zip(tensors, handed, strict=True) if tensor in receiving]
        self._give(stream, [tensor for tensor, _ in pairs], [one for _, one in pairs])

    def _take(self, stream: Stream, tensors: Sequence[int]) -> list[Array | None]:
        """Remove and return the relevance of tensors; all their consumers have been visited."""
        taken = [stream.relevance.pop(tensor, None) for tensor in tensors]
        for tensor, relevance in zip(tensors, taken, strict=True):
            self._capture(stream, tensor, relevance)
        return taken

    def _give(
        self, stream: Stream, tensors: Sequence[int], relevances: Sequence[Array], *, are_own: bool = False
    ) -> None:
        for tensor, relevance in zip(tensors, relevances, strict=True):
            stream.add(tensor, relevance, is_own=are_own)

    def _capture(self, stream: Stream, tensor: int, relevance: Array | None) -> None:
        if relevance is not None and (tensor in self.captures or tensor == self.structure.recording.input):
            for member in stream.members:
                self.captured[member, tensor] = relevance
