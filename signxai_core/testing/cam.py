"""Class-activation maps from the gradient at one tensor of a network."""

from __future__ import annotations

import numpy as np

from signxai_core.errors import PlanError
from signxai_core.specs.methods import Cam, MethodSpec
from signxai_core.testing.network import Network
from signxai_core.testing.nodes import Activation, Array, BatchNorm, Conv, ConvTranspose, Node, Scaling, Shape
from signxai_core.testing.structure import Dropout


def _named(network: Network, layer: str | None) -> Node | None:
    return next((node for node in reversed(network.nodes) if layer is not None and node.layer == layer), None)


def _convolution(network: Network, spec: MethodSpec) -> Node:
    """Return the layer of the preset, where the network has one of that name, else the last convolution."""
    named = _named(network, None if spec.preset is None else spec.preset.last_conv)
    if named is not None:
        return named
    convolutions = [node for node in network.nodes if isinstance(node, (Conv, ConvTranspose))]
    if not convolutions:
        raise PlanError(f"a class-activation map needs a convolution, and there is none in\n{network!r}")
    return convolutions[-1]


def activation_name(network: Network, spec: MethodSpec, cam: Cam) -> str:
    """Return the name of the tensor A: a named layer's output, or the last convolution's with its activation."""
    if cam.last_conv is not None:
        named = _named(network, cam.last_conv)
        if named is None:
            layers = sorted({node.layer for node in network.nodes})
            raise PlanError(f"no layer {cam.last_conv!r} for the class-activation map; layers: {', '.join(layers)}")
        return named.name
    node = start = _convolution(network, spec)
    while True:
        consumers = network.consumers(node.name)
        if len(consumers) != 1:
            return start.name
        node = network.node(consumers[0])
        if isinstance(node, Activation):
            return node.name
        if not isinstance(node, (BatchNorm, Scaling, Dropout)):
            return start.name


def _interpolation(size: int, target: int, *, align: bool) -> Array:
    """Return the matrix of linear interpolation from ``size`` to ``target`` points on one axis."""
    matrix = np.zeros((target, size))
    for i in range(target):
        if align:
            position = i * (size - 1) / (target - 1) if target > 1 else 0.0
        else:
            position = min(max((i + 0.5) * size / target - 0.5, 0.0), size - 1.0)
        low = min(int(position), size - 1)
        high = min(low + 1, size - 1)
        matrix[i, low] += 1 - (position - low)
        matrix[i, high] += position - low
    return matrix


def class_activation(cam: Cam, activation: Array, gradient: Array, input_shape: Shape) -> Array:
    """Return the map of one sample in the input's shape."""
    axes = len(input_shape) - 1
    if axes < 1 or activation.ndim != axes + 1:
        raise PlanError(f"the layer's output {activation.shape} has not the spatial axes of the input {input_shape}")
    if cam.series and axes != 1:
        raise PlanError(f"a map of a time series needs an input with one spatial axis, got {input_shape}")
    weights = gradient.reshape(gradient.shape[0], -1).mean(axis=1)
    heat: Array = np.zeros(activation.shape[1:])
    for weight, channel in zip(weights, activation, strict=True):
        heat += weight * channel
    heat = np.maximum(heat, 0.0)
    if cam.normalise and heat.max() > 0:
        heat = heat / heat.max()
    for axis, size in enumerate(input_shape[1:]):
        matrix = _interpolation(heat.shape[axis], size, align=cam.align)
        heat = np.moveaxis(np.tensordot(matrix, heat, axes=(1, axis)), 0, axis)
    return np.array(np.broadcast_to(heat, input_shape))
