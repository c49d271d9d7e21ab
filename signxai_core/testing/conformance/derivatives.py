"""Linear forms, their adjoints and exact derivatives, against the reference and against differences."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from signxai_core.engine.backend import Operation, Recording
from signxai_core.specs.cells import SQUARE
from signxai_core.testing.conformance.probes import SAMPLES, Probe
from signxai_core.testing.conformance.subject import Subject, inputs_of, require, same
from signxai_core.testing.linear import linear
from signxai_core.testing.nodes import Array

#: Relative; sums of the same products in float64, in another order.
TOLERANCE: Final = 1e-12
#: Central differences with this step are exact to about 1e-9 in float64.
_STEP: Final = 1e-5
_DIFFERENCES: Final = 1e-7
LINEAR: Final = frozenset({"dense", "convolution", "average_pooling", "interpolation", "sum", "shape"})


def _draw(subject: Subject, like: Any, salt: int) -> tuple[Array, Any]:
    """Return random numbers in the shape of a native array, and the native array of them."""
    drawn = np.random.default_rng([salt, *like.shape]).normal(size=tuple(like.shape))
    return drawn, subject.native(drawn, like)


def _core(subject: Subject, probe: Probe, *, generic: bool = True) -> tuple[Recording, Operation]:
    recording = subject.record(probe, generic=generic)
    return recording, subject.core(recording, probe.network, probe.node)


def _dot(left: Array, right: Any) -> float:
    return float((left * np.asarray(right)).sum())


def check_apply(subject: Subject, probe: Probe) -> None:
    """``apply`` repeats what was recorded; ``linear`` makes the same without what does not depend on x."""
    recording = subject.record(probe)
    for operation in recording.operations:
        inputs = inputs_of(recording, operation)
        again = subject.backend.apply(operation, inputs)
        require(len(again) == len(operation.outputs), f"{operation.label}: apply returns {len(again)} arrays")
        y = subject.numpy(recording.values[operation.outputs[0]])
        same(f"apply of {operation.label}", subject.numpy(again[0]), y, TOLERANCE, scale=1.0)
        if operation.kind in LINEAR:
            nothing = subject.backend.apply(operation, [subject.backend.full_like(x, 0.0) for x in inputs])
            constant = subject.numpy(nothing[0])
            z = subject.numpy(subject.backend.linear(operation, inputs, None))
            same(f"linear of {operation.label}, against apply(x) − apply(0)", z, y - constant, TOLERANCE, scale=1.0)
            if operation.kind in ("dense", "convolution"):
                given = operation.parameters.get("bias")
                bias = np.broadcast_to(0.0 if given is None else subject.numpy(given), y.shape)
                same(f"the bias of {operation.label}, against apply(0)", bias, constant, TOLERANCE, scale=1.0)


def check_linear(subject: Subject, probe: Probe) -> None:
    """``linear`` is linear in its inputs, and ``pull`` is its adjoint; nothing recorded changes."""
    recording, operation = _core(subject, probe)
    backend = subject.backend
    like = inputs_of(recording, operation)
    before = [subject.numpy(x).copy() for x in like]
    first, second = ([_draw(subject, x, salt + i) for i, x in enumerate(like)] for salt in (0, 10))
    out, cotangent = _draw(subject, recording.values[operation.outputs[0]], 20)
    for weight in _weights(operation):
        at = "with its own weight" if weight is None else "with another weight"
        z = [subject.numpy(backend.linear(operation, [native for _, native in x], weight)) for x in (first, second)]
        mixed = [a + 2 * b for (_, a), (_, b) in zip(first, second, strict=True)]
        total = subject.numpy(backend.linear(operation, mixed, weight))
        same(f"linear of {operation.label} {at}: f(a + 2b)", total, z[0] + 2 * z[1], TOLERANCE, scale=1.0)
        pulled = backend.pull(operation, weight, cotangent)
        require(
            len(pulled) == len(like), f"{operation.label}: pull returns {len(pulled)} arrays for {len(like)} inputs"
        )
        for one, x in zip(pulled, like, strict=True):
            require(tuple(one.shape) == tuple(x.shape), f"{operation.label}: pull has shape {tuple(one.shape)}")
        left = sum(_dot(x, subject.numpy(p)) for (x, _), p in zip(first, pulled, strict=True))
        same(f"pull of {operation.label} {at}: ⟨x, pull(r)⟩ = ⟨f(x), r⟩", left, _dot(out, z[0]), 1e-11, scale=1.0)
        if "weight" in operation.parameters:
            _check_many(subject, operation, weight, cotangent)
    for x, unchanged in zip(like, before, strict=True):
        same(f"the recorded input of {operation.label}", subject.numpy(x), unchanged, 0.0)


def _check_many(subject: Subject, operation: Operation, weight: Any, cotangent: Any) -> None:
    relevances = [cotangent, 2 * cotangent + 1, cotangent * cotangent]
    many = subject.backend.pull_many(operation, weight, relevances)
    require(len(many) == len(relevances), f"{operation.label}: pull_many returns {len(many)} arrays for 3")
    for array, relevance in zip(many, relevances, strict=True):
        alone = subject.numpy(subject.backend.pull(operation, weight, relevance)[0])
        same(f"pull_many of {operation.label}, against pull", subject.numpy(array), alone, TOLERANCE, scale=1.0)


def _weights(operation: Operation) -> list[Any]:
    weight = operation.parameters.get("weight")
    return [None] if weight is None else [None, weight * weight - 0.5 * weight]


def check_samples(subject: Subject, probe: Probe) -> None:
    """``pull`` and ``vjp`` keep samples apart: what arrives at one stays at that one."""
    recording, operation = _core(subject, probe)
    out = np.zeros(tuple(recording.values[operation.outputs[0]].shape))
    out[1] = 1.0
    native = subject.native(out, recording.values[operation.outputs[0]])
    found = {"vjp": subject.backend.vjp(operation, (native,))}
    if operation.kind in LINEAR:
        found["pull"] = subject.backend.pull(operation, None, native)
    for name, arrays in found.items():
        for array in arrays:
            others = np.delete(subject.numpy(array), 1, axis=0)
            require(len(others) == SAMPLES - 1, f"{name} of {operation.label} changes the number of samples")
            require(not others.any(), f"{name} of {operation.label}: one sample's relevance reaches another sample")


def check_weights(subject: Subject, probe: Probe) -> None:
    """Another weight is used as given: ``W²`` against the explicit matrix; scaled channels."""
    recording, operation = _core(subject, probe)
    backend, node = subject.backend, probe.node
    weight = operation.parameters["weight"]
    (x,) = inputs_of(recording, operation)
    shapes = [probe.network.shapes[name] for name in node.inputs]
    matrix = linear(node, shapes)
    assert matrix is not None, "operations with weights are linear"
    flat = subject.neutral(subject.numpy(x)).reshape(len(probe.x), -1)
    if len(subject.of_node(recording, probe.network, node)) == 1:  # else padding is a recorded operation of its own
        expected = (flat @ matrix.matrix(SQUARE).T).reshape(-1, *probe.network.shapes[node.name])
        got = subject.neutral(subject.numpy(backend.linear(operation, [x], weight * weight)))
        same(f"linear of {operation.label} with W²", got, expected, TOLERANCE, scale=1.0)
    axis = operation.channel_axis or 0
    factors = [_channel_factors(subject, array, axis) for array in (x, recording.values[operation.outputs[0]])]
    (inner, wide_inner), (outer, wide_outer) = factors
    scaled = backend.scale_weight(operation, inner, outer)
    plain = subject.numpy(backend.linear(operation, [x * wide_inner], None))
    got = subject.numpy(backend.linear(operation, [x], scaled))
    same(f"scale_weight of {operation.label}", got, plain * subject.numpy(wide_outer), TOLERANCE, scale=1.0)


def _channel_factors(subject: Subject, like: Any, axis: int) -> tuple[Any, Any]:
    """Return one number per channel of an array, flat and broadcastable."""
    count = like.shape[axis]
    values = np.linspace(0.5, 1.5, count)
    shape = [count if i == axis % len(like.shape) else 1 for i in range(len(like.shape))]
    return subject.native(values, like), subject.native(values.reshape(shape), like)


def check_vjp(subject: Subject, probe: Probe) -> None:
    """``vjp`` equals the difference quotient, for every recorded operation, every time it is asked."""
    recording = subject.record(probe, generic=True)
    backend = subject.backend
    for operation in recording.operations:
        inputs = inputs_of(recording, operation)
        out, cotangent = _draw(subject, recording.values[operation.outputs[0]], 30)
        directions = [_draw(subject, x, 40 + i) for i, x in enumerate(inputs)]
        ends = []
        for step in (_STEP, -_STEP):
            moved = [x + step * native for x, (_, native) in zip(inputs, directions, strict=True)]
            ends.append(subject.numpy(backend.apply(operation, moved)[0]))
        quotient = _dot(out, (ends[0] - ends[1]) / (2 * _STEP))
        for _ in range(2):
            pulled = backend.vjp(operation, (cotangent,))
            require(len(pulled) == len(inputs), f"{operation.label}: vjp returns {len(pulled)} arrays")
            exact = sum(_dot(d, subject.numpy(p)) for (d, _), p in zip(directions, pulled, strict=True))
            what = f"vjp of {operation.label} along a direction, against the difference quotient"
            same(what, exact, quotient, _DIFFERENCES, scale=1.0)
