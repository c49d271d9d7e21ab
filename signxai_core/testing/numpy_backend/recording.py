"""From a node to the operations that it runs, and from a network to a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from signxai_core.engine.backend import Operation, Recording
from signxai_core.testing import network as net
from signxai_core.testing.nodes import Array, Shape
from signxai_core.testing.numpy_backend import linear, pointwise
from signxai_core.testing.numpy_backend.linear import Layer


@attrs.frozen(eq=False)
class Call:
    """The backend's handle of an operation: its functions, and the inputs that were recorded."""

    layer: Layer
    inputs: tuple[Array, ...]


@attrs.frozen(eq=False, kw_only=True)
class Step:
    """An operation before it ran; fields of :class:`Operation`."""

    layer: Layer
    kind: Any
    function: str
    parameters: Mapping[str, Array] = attrs.field(factory=dict)
    channel_axis: int | None = None
    signs: tuple[int, ...] = ()
    padding: bool = False
    attributes: Mapping[str, Any] = attrs.field(factory=dict)


def per_channel(values: Array, rank: int) -> Array:
    """Return numbers per channel so that they broadcast to an array of that rank."""
    return values.reshape(-1, *(1,) * (rank - 2)) if values.ndim else values


def _weighted(node: Any, layer: Layer, rank: int) -> Step:
    parameters = {"weight": node.weight}
    if node.bias is not None:
        parameters["bias"] = per_channel(node.bias, rank)
    return Step(layer=layer, kind=node.kind, function=node.function, parameters=parameters, channel_axis=1)


def _conv(node: net.Conv, rank: int) -> Iterator[Step]:
    padded = node.mode != "zeros" and any(node.padding)
    if padded:
        yield Step(layer=linear.surround(node), kind="shape", function="pad")
    yield _weighted(node, linear.conv(node, padded=padded), rank)


def _batch_norm(node: net.BatchNorm, rank: int) -> Step:
    scale = node.gamma / np.sqrt(node.var + node.eps)
    numbers = {"scale": scale, "shift": node.beta - scale * node.mean, "mean": node.mean, "beta": node.beta}
    parameters = {name: per_channel(values, rank) for name, values in numbers.items()}
    layer = pointwise.affine(parameters["scale"], parameters["shift"])
    return Step(layer=layer, kind=node.kind, function=node.function, parameters=parameters, channel_axis=1)


def _scaling(node: net.Scaling, rank: int) -> Step:
    parameters = {"scale": per_channel(node.scale, rank), "shift": per_channel(node.shift, rank)}
    layer = pointwise.affine(parameters["scale"], parameters["shift"])
    attributes = {"increasing": True} if node.is_increasing else {}
    return Step(layer=layer, kind=node.kind, function=node.function, parameters=parameters, attributes=attributes)


#: Nodes that are one operation without parameters, from the node and the shapes of input and output.
_PLAIN: Mapping[type[net.Node], Callable[[Any, Shape, Shape], Layer]] = {
    net.AvgPool: lambda node, before, _: linear.avg_pool(node, len(before) - 1),
    net.GlobalAvgPool: lambda *_: linear.global_avg_pool(),
    net.MaxPool: lambda node, before, _: pointwise.max_pool(node, len(before) - 1),
    net.Flatten: lambda _, __, after: linear.reshape(after),
    net.Reshape: lambda _, __, after: linear.reshape(after),
    net.Concat: lambda *_: linear.concat(),
    net.Dropout: lambda *_: pointwise.identity(),
    net.Softmax: lambda *_: pointwise.softmax(),
    net.Activation: lambda node, _, __: pointwise.activation(node),
}


def steps(node: net.Node, before: Shape, after: Shape) -> Iterator[Step]:
    """Yield what a node runs; ``before`` and ``after`` are the shapes of its first input and its output."""
    rank = len(after) + 1
    if isinstance(node, net.Dense):
        yield _weighted(node, linear.dense(node), rank)
    elif isinstance(node, net.Conv):
        yield from _conv(node, rank)
    elif isinstance(node, net.ConvTranspose):
        yield _weighted(node, linear.conv_transpose(node, after), rank)
    elif isinstance(node, net.BatchNorm):
        yield _batch_norm(node, rank)
    elif isinstance(node, net.Scaling):
        yield _scaling(node, rank)
    elif isinstance(node, net.Add):
        yield Step(layer=linear.add(), kind=node.kind, function=node.function, signs=(1,) * len(node.inputs))
    elif isinstance(node, net.Pad):
        yield Step(layer=linear.zero_pad(node), kind=node.kind, function=node.function, padding=True)
    else:
        layer = _PLAIN[node.__class__](node, before, after)
        attributes = {"axis": rank - 1} if node.kind == "softmax" else {}
        yield Step(layer=layer, kind=node.kind, function=node.function, attributes=attributes)


def output_of(layer: Layer, parameters: Mapping[str, Array], inputs: Sequence[Array]) -> Array:
    """Return what an operation computes, bias included."""
    z = layer.value(inputs, None)
    return z + parameters["bias"] if "bias" in parameters else z


def record(network: net.Network, x: Array) -> Recording:
    """Run a network and write down every operation; tensors are numbered in the order they appear."""
    operations: list[Operation] = []
    values: dict[int, Array] = {0: x}
    made = {net.INPUT: 0}
    for node in network.nodes:
        used = tuple(made[name] for name in node.inputs)
        for step in steps(node, network.shapes[node.inputs[0]], network.shapes[node.name]):
            inputs, tensor = tuple(values[i] for i in used), len(values)
            values[tensor] = output_of(step.layer, step.parameters, inputs)
            fields = {f.name: getattr(step, f.name) for f in attrs.fields(Step) if f.name != "layer"}
            operations.append(
                Operation(
                    index=len(operations),
                    path=node.layer,
                    inputs=used,
                    outputs=(tensor,),
                    call=Call(step.layer, inputs),
                    **fields,
                )
            )
            used = (tensor,)
        made[node.name] = used[0]
    return Recording(
        operations=tuple(operations),
        values=values,
        input=0,
        output=made[network.output],
        batch=len(x),
        channel_axis=1,
    )
