"""Weight and bias of a group: a linear operation with the normalisation and scaling around it."""

from __future__ import annotations

import math

from signxai_core.engine.backend import Array, Backend, Operation
from signxai_core.engine.structure import Group, Structure, channel_vector
from signxai_core.specs.operations import kind


def fold(backend: Backend, structure: Structure, group: Group) -> tuple[Array | None, Array | None]:
    """Return weight and bias of the whole group."""
    core = group.core
    if kind(core.kind).affine:
        return core.parameters["scale"], core.parameters["shift"]
    return _weight(backend, structure, group), _bias(backend, structure, group)


def scale_of(backend: Backend, structure: Structure, group: Group, operations: tuple[Operation, ...]) -> Array | None:
    """Return the product of the scales of some of the group's operations, one number per channel or one in all."""
    product: Array | None = None
    axis = group.core.channel_axis
    for operation in operations:
        if kind(operation.kind).affine and axis is not None:
            rank = len(structure.recording.shape(operation.outputs[0]))
            scale = operation.parameters["scale"]
            shape = channel_vector(scale, rank, axis)
            assert shape is not None, "groups hold channel-wise scales only"
            vector = backend.reshape(scale, shape)
            product = vector if product is None else product * vector
    return product


def scale_behind(backend: Backend, structure: Structure, group: Group, t: Array) -> Array | None:
    """Return the scale behind the core, where it is cheaper to scale what is pulled, ``t``, than the weight."""
    core = group.core
    before = scale_of(backend, structure, group, group.pre)
    if before is not None or math.prod(t.shape) >= math.prod(core.parameters["weight"].shape):
        return None
    scale = scale_of(backend, structure, group, group.post)
    if scale is None or core.channel_axis is None or len(scale.shape) == 0:
        return scale
    places = [1] * len(t.shape)
    places[core.channel_axis] = -1
    return backend.reshape(scale, tuple(places))


def _weight(backend: Backend, structure: Structure, group: Group) -> Array | None:
    inner = scale_of(backend, structure, group, group.pre)
    outer = scale_of(backend, structure, group, group.post)
    weight: Array | None = group.core.parameters.get("weight")
    channels = [None if scale is None or len(scale.shape) == 0 else scale for scale in (inner, outer)]
    if any(scale is not None for scale in channels):
        weight = backend.scale_weight(group.core, channels[0], channels[1])
    for scale in (inner, outer):
        weight = weight * scale if scale is not None and len(scale.shape) == 0 else weight
    return weight


def _bias(backend: Backend, structure: Structure, group: Group) -> Array | None:
    if any(kind(operation.kind).affine for operation in group.pre):
        values: tuple[Array, ...] = (backend.full_like(structure.recording.values[group.inputs[0]], 0.0),)
        for operation in group.operations:
            values = backend.apply(operation, values)
        return values[0]
    bias: Array | None = group.core.parameters.get("bias")
    for operation in (one for one in group.post if kind(one.kind).affine):
        scale, shift = operation.parameters["scale"], operation.parameters["shift"]
        bias = shift if bias is None else scale * bias + shift
    return bias
