"""Where the relevance of engine and reference first differs, from the output back."""

from __future__ import annotations

import itertools

import numpy as np

from signxai_core.engine.check import without_head
from signxai_core.engine.plan import Query, resolve
from signxai_core.engine.structure import analyse
from signxai_core.engine.target import seeds, select
from signxai_core.engine.walk import Walk
from signxai_core.testing import reference
from signxai_core.testing.planning import plan
from signxai_torch.backend import TorchBackend


def first_difference(network, model, x, spec, target, seed):
    """Return one line per tensor: its name and how far engine and reference are apart."""
    seed = seed or spec.seed
    backend = TorchBackend()
    recording = without_head(backend.record(model, x))
    structure = analyse(recording)
    query = Query(spec.composite, spec.input_layer, seed)
    starts, _ = seeds(backend, recording, select(target, backend.to_numpy(recording.values[recording.output])))
    walk = Walk(backend, structure, [resolve(query, structure)], frozenset(recording.values))
    found = walk.run(starts, [seed])[0]
    reduced = reference._model(network)
    planned = plan(reduced.network, spec.composite, spec.input_layer)
    samples = zip(x, target, strict=True)
    expected = [reference._walk(planned, reduced.run(sample), int(index), seed) for sample, index in samples]
    lines = []
    for name, tensor in reversed(_tensors(reduced.network, recording)):
        if tensor in found and name in expected[0]:
            right = np.stack([one[name] for one in expected])
            left = backend.to_numpy(found[tensor])
            apart = np.abs(left - right).max() if left.shape == right.shape else np.inf
            lines.append(f"relevance at {name}: {apart:.2e} of {np.abs(right).max():.2e}")
    return "\n".join(lines)


def _tensors(network, recording):
    """Return (node, tensor) in order; a node's tensor is what the last operation of its call made."""
    runs = [list(group)[-1] for _, group in itertools.groupby(recording.operations, key=lambda op: op.path)]
    pairs = [("input", recording.input)]
    for node in network.nodes:
        if runs and runs[0].path == node.layer:
            pairs.append((node.name, runs.pop(0).outputs[0]))  # noqa: PERF401 - it takes from the list that it asks
    return pairs
