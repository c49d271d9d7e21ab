"""What a recording must hold: every operation of a network, with its kind, path, values and facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from signxai_core.engine.backend import Operation, Recording
from signxai_core.testing import network as net
from signxai_core.testing.conformance.probes import Probe
from signxai_core.testing.conformance.subject import Subject, inputs_of, require, same
from signxai_core.testing.reference import tensors

#: Relative; both sides compute the same sums in float64, in another order.
TOLERANCE: Final = 1e-12
#: Kinds of nodes that a framework may leave out or do in passing.
OPTIONAL: Final = frozenset({"dropout"})


def check_operations(subject: Subject, probe: Probe) -> None:
    """Every node is recorded in order: in its layer, of its kind, with its values."""
    recording, network = subject.record(probe), probe.network
    shown = ", ".join(f"{op.label}: {op.kind}" for op in recording.operations)
    expected = tensors(network, probe.x)
    found = 0
    for node in network.nodes:
        operations = subject.of_node(recording, network, node)
        found += len(operations)
        if not operations:
            missing = f"nothing was recorded for {node!r} of kind {node.kind!r}; recorded: {shown}"
            require(node.kind in OPTIONAL, missing)
            continue
        kinds = [operation.kind for operation in operations]
        fits = set(kinds) <= {node.kind, "shape"} and node.kind in kinds
        require(fits, f"{node!r} was recorded as {kinds}, expected {node.kind!r}; shape operations may stand beside it")
        if node.name in expected:
            values = subject.neutral(subject.numpy(recording.values[operations[-1].outputs[0]]))
            same(f"the value of {node.name}", values, expected[node.name], TOLERANCE, scale=1.0)
    require(found == len(recording.operations), f"more was recorded than the network has: {shown}")


def check_structure(subject: Subject, probe: Probe) -> None:
    """Ids, batch, channel axis and indices are consistent."""
    recording = subject.record(probe)
    known = {recording.input}
    for index, operation in enumerate(recording.operations):
        require(operation.index == index, f"{operation.label} has index {operation.index} at position {index}")
        for tensor in operation.inputs:
            require(tensor in known, f"{operation.label} reads tensor {tensor}, which no operation before it made")
        for tensor in operation.outputs:
            require(tensor not in known, f"{operation.label} makes tensor {tensor}, which exists already")
        known.update(operation.outputs)
    missing = sorted(known - set(recording.values))
    require(not missing, f"the recording has no values for the tensors {missing}")
    require(recording.output in known, f"the output {recording.output} is no output of an operation")
    require(recording.batch == len(probe.x), f"batch is {recording.batch}, expected {len(probe.x)}")
    rank = probe.x.ndim
    expected = rank - 1 if subject.channels_last else 1
    axis = recording.channel_axis % rank
    require(axis == expected, f"channel_axis is {recording.channel_axis}, expected {expected}")
    same("the input", subject.numpy(recording.values[recording.input]), subject.given(probe.x), 0.0)


def _affine(subject: Subject, recording: Recording, operation: Operation) -> None:
    for name in ("scale", "shift"):
        require(name in operation.parameters, f"{operation.label} has no parameter {name!r}")
    x = subject.numpy(inputs_of(recording, operation)[0])
    y = subject.numpy(recording.values[operation.outputs[0]])
    own = {name: subject.numpy(value) for name, value in operation.parameters.items()}
    same(f"scale · x + shift of {operation.label}", own["scale"] * x + own["shift"], y, TOLERANCE, scale=1.0)
    if operation.kind == "normalisation":
        for name in ("mean", "beta"):
            require(name in own, f"{operation.label} has no parameter {name!r}")
        other = own["scale"] * (x - own["mean"]) + own["beta"]
        same(f"scale · (x − mean) + beta of {operation.label}", other, y, TOLERANCE, scale=1.0)


def _weighted(subject: Subject, recording: Recording, operation: Operation, node: net.Node) -> None:
    require("weight" in operation.parameters, f"{operation.label} has no parameter 'weight'")
    bias = node.own()["bias"]
    require(
        ("bias" in operation.parameters) == (bias is not None),
        f"{operation.label} has a layer {'without' if bias is None else 'with'} bias, but its parameters are "
        f"{sorted(operation.parameters)}",
    )
    if bias is not None:
        output = recording.values[operation.outputs[0]]
        axis = _channels(operation, len(output.shape))
        shape = [-1 if i == axis else 1 for i in range(len(output.shape))]
        wide = np.broadcast_to(bias.reshape(shape), tuple(output.shape))
        given = np.broadcast_to(subject.numpy(operation.parameters["bias"]), tuple(output.shape))
        same(f"the bias of {operation.label}, broadcast to the output", given, wide, 0.0)


def _channels(operation: Operation, rank: int) -> int:
    axis = operation.channel_axis
    require(axis is not None, f"{operation.label} names no channel_axis")
    return (axis or 0) % rank


def check_facts(subject: Subject, probe: Probe) -> None:
    """Parameters, channel axis, padding flag, signs and function name of the operation under test."""
    recording = subject.record(probe)
    for node in _distinct(probe.network.nodes):
        if node.kind in OPTIONAL and not subject.of_node(recording, probe.network, node):
            continue
        operation = subject.core(recording, probe.network, node)
        rank = len(recording.values[operation.outputs[0]].shape)
        if node.kind in ("dense", "convolution", "normalisation"):
            axis = _channels(operation, rank)
            expected = rank - 1 if subject.channels_last else 1
            require(axis == expected, f"{operation.label}: channel_axis is {operation.channel_axis}, not {expected}")
        if node.kind in ("dense", "convolution"):
            _weighted(subject, recording, operation, node)
        if node.kind in ("normalisation", "scaling"):
            _affine(subject, recording, operation)
        if node.kind == "activation":
            require(operation.function == node.function, f"{operation.label} is to be called {node.function!r}")
        if node.kind == "sum":
            require(operation.signs == (1,) * len(node.inputs), f"{operation.label}: signs are {operation.signs}")
        pads = isinstance(node, net.Pad)
        flag = operation.padding
        require(flag == pads, f"{operation.label}: padding is {flag}, expected {pads} (zero padding only)")


def _distinct(nodes: Sequence[net.Node]) -> list[net.Node]:
    """Return the first node of every layer."""
    return list({node.layer: node for node in reversed(nodes)}.values())[::-1]
