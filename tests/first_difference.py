"""Where the relevance of a backend and the reference first differs, from the output back."""

from __future__ import annotations

import numpy as np

from signxai_core.engine.head import without_head
from signxai_core.engine.plan import resolve
from signxai_core.engine.run import raw_of
from signxai_core.engine.structure import analyse
from signxai_core.engine.target import seeds, select
from signxai_core.engine.walk import Walk
from signxai_core.testing import reference
from signxai_core.testing.planning import plan


def first_difference(example, side, model, spec, target):
    """Return one line per tensor, and before it the node where more than the rounding first appears.

    A method that samples is followed on the input itself, a class-activation map by its gradient.
    """
    if spec.family == "control":
        return "nothing is propagated"
    raw = raw_of(spec, example.seed)
    query = raw.main or raw.gradient(example.seed)
    got = _engine(example, side, model, query, target)
    expected = _reference(example, query, target)
    lines, first = [], None
    for name in (node for node in reversed(list(expected)) if node in got):
        apart, largest = np.abs(got[name] - expected[name]).max(), np.abs(expected[name]).max()
        lines.append(f"  {name}: {apart:.2e} of {largest:.2e}")
        if first is None and not apart <= side.tolerance * largest:
            first = name
    place = "nowhere on the way" if first is None else f"at {first}"
    return "\n".join([f"relevance of {side} first differs {place}; from the output back:", *lines])


def _engine(example, side, model, query, target):
    """Return the relevance at the outputs of the nodes that the walk passes, channels first."""
    subject = side.subject
    backend, network = subject.backend, example.network.without_head()
    given = backend.prepare(model, subject.given(example.x.astype(side.dtype)))
    recording = without_head(backend.record(model, given))
    structure = analyse(recording)
    selection = select(target, backend.to_numpy(recording.values[recording.output]))
    walk = Walk(backend, structure, [resolve(query, structure)], frozenset(recording.values))
    found = walk.run(seeds(backend, recording, selection).starts, [query.seed])[0]
    tensors = {"input": recording.input}
    for node in network.nodes:
        if operations := subject.of_node(recording, network, node):
            tensors[node.name] = operations[-1].outputs[0]
    return {
        name: subject.neutral(backend.to_numpy(found[tensor])) for name, tensor in tensors.items() if tensor in found
    }


def _reference(example, query, target):
    """Return the relevance at the input and at every node, in the order of the network."""
    reduced = reference._model(example.network)
    planned = plan(reduced.network, query.composite, query.input_layer)
    samples = zip(example.x, target, strict=True)
    walks = [reference._walk(planned, reduced.run(sample), int(index), query.seed) for sample, index in samples]
    return {name: np.stack([walk[name] for walk in walks]) for name in walks[0]}
