"""Linear operations with what TensorFlow puts around them, as one operation.

A convolution along one axis is ExpandDims, Conv2D and Squeeze, a dilated one SpaceToBatchND, Conv2D
and BatchToSpaceND, a dense layer on sequences Reshape, MatMul and Reshape; the bias follows alone.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_core.engine.structure import channel_vector
from signxai_tf import convolutions
from signxai_tf.calls import Layout, compose
from signxai_tf.layer_groups import RECURRENT
from signxai_tf.traits import Net, Unit, constant
from signxai_tf.values import FREE, TRACKED, Step, Value
from signxai_tf.vocabulary import AVERAGE_POOLS, CONVOLUTIONS, KIND, MATMULS, POOLS, TRANSPOSED


@attrs.define(eq=False)
class Core:
    """A linear operation or pooling, before anything is put around it.

    Parameters
    ----------
    step, data, weight
        What runs, and which arguments are which.
    axis
        Of the channels of the output.
    layout
        Of the weight.
    """

    step: Step
    data: Value
    weight: Value | None
    axis: int | None
    layout: Layout | None


def core(step: Step) -> Core | None:
    """Return a step as a core, if it is one."""
    if step.op in POOLS:
        x = step.arguments[0]
        return Core(step, x, None, convolutions.channel_axis(step.attributes, len(x.array.shape)), None)
    if step.op in CONVOLUTIONS:
        return _convolution(step)
    if step.op in MATMULS:
        return _product(step)
    return _einsum(step) if step.op == "Einsum" else None


def _convolution(step: Step) -> Core | None:
    transposed = step.op in TRANSPOSED
    x, weight = step.arguments[2 if transposed else 0], step.arguments[1]
    if x.state != TRACKED or weight.state != FREE:
        return None
    rank = len(weight.array.shape)
    parts = convolutions.groups(step.op, step.attributes, x.array, weight.array)
    if step.op == "DepthwiseConv2dNative":
        layout = Layout(rank - 2, rank - 1, depthwise=True)
    else:
        layout = Layout(rank - 1, rank - 2) if transposed else Layout(rank - 2, rank - 1, parts)
    return Core(step, x, weight, convolutions.channel_axis(step.attributes, rank), layout)


def _product(step: Step) -> Core | None:
    a, b = step.arguments
    rank = len(step.outputs[0].array.shape)
    if a.state == TRACKED and b.state == FREE:
        if step.attributes.get("transpose_a", step.attributes.get("adj_x", False)):
            return Core(step, a, b, None, None)
        turned = step.attributes.get("transpose_b", step.attributes.get("adj_y", False))
        plain = len(b.array.shape) == 2
        return Core(step, a, b, rank - 1, Layout(int(turned), 1 - int(turned)) if plain else None)
    if a.state == FREE and b.state == TRACKED:
        turned = step.attributes.get("transpose_b", step.attributes.get("adj_y", False))
        return Core(step, b, a, None if turned else rank - 2, None)
    return None


def _einsum(step: Step) -> Core | None:
    operands = step.inputs
    if len(operands) != 2 or {value.state for value in operands} != {FREE, TRACKED}:
        return None
    place = 0 if operands[0].state == FREE else 1
    equation = step.attributes["equation"]
    equation = equation.decode() if isinstance(equation, bytes) else equation
    terms, _, result = equation.replace(" ", "").partition("->")
    parts = terms.split(",")
    own = [
        letter for letter in result if letter in parts[place] and letter not in parts[1 - place] and letter.isalpha()
    ]
    summed = [letter for letter in parts[place] if letter in parts[1 - place] and letter not in result]
    known = "." not in equation and len(own) == 1
    simple = known and len(summed) == 1 and len(parts[place]) == 2
    layout = Layout(parts[place].index(summed[0]), parts[place].index(own[0])) if simple else None
    axis = result.index(own[0]) if known else None
    return Core(step, operands[1 - place], operands[place], axis, layout)


def grow(net: Net, start: Core, claimed: set[int]) -> Unit:
    """Return a core with everything that belongs to it."""
    before: list[Step] = []
    after: list[Step] = []
    value, result, axis = start.data, start.step.outputs[0], start.axis
    while True:
        previous = value.step if value.step is not None and net.sole(value) is not None else None
        following = net.sole(result)
        if previous is None or following is None or id(previous) in claimed or id(following) in claimed:
            break
        if not _paired(previous, following, start.step):
            break
        before.insert(0, previous)
        after.append(following)
        value, result, axis = previous.arguments[0], following.outputs[0], _moved(following, axis)
    if start.step.group in RECURRENT:
        axis = None  # biases are added behind the sum of both products, and nothing is folded into them
    bias = _bias(net, result, axis, claimed) if start.weight is not None else None
    padding = _padding(net, start, value, claimed)
    if padding is not None:
        before, value = [padding, *before], padding.arguments[0]
    steps = [*before, start.step, *after]
    if bias is not None:
        steps.append(bias[0])
        result = bias[0].outputs[0]
    return _unit(start, steps, value, result, axis, bias)


def _unit(
    start: Core, steps: list[Step], value: Value, result: Value, axis: int | None, bias: tuple[Step, Any] | None
) -> Unit:
    op, weight = start.step.op, start.weight
    spatial = len(value.array.shape) - 2
    if weight is None:
        kind, name = KIND[op]
        function = f"{name.removesuffix('2d').removesuffix('3d')}{spatial}d"
        return Unit(steps=tuple(steps), inputs=(value,), outputs=(result,), kind=kind, function=function)
    convolution = op in CONVOLUTIONS
    function = f"conv{'_transpose' if op in TRANSPOSED else ''}{spatial}d" if convolution else "linear"
    parameters = {"weight": weight.array}
    if bias is not None:
        parameters["bias"] = bias[1]
    return Unit(
        steps=tuple(steps),
        inputs=(value,),
        outputs=(result,),
        kind="convolution" if convolution else "dense",
        function="einsum" if op == "Einsum" else function,
        parameters=parameters,
        channel_axis=axis,
        linear=compose(steps, (value,), (result,), weight=weight, without=None if bias is None else bias[0]),
        layout=start.layout,
        weight=weight,
    )


def _padding(net: Net, start: Core, value: Value, claimed: set[int]) -> Step | None:
    """Return the zero padding that an average pooling's layer writes in front of it.

    TensorFlow's average pooling has no padding that counts as zeros. One that is written so is one
    operation, as it is in frameworks that have it; zeros that another layer adds are that layer's.
    """
    step = value.step
    if start.step.op not in AVERAGE_POOLS or step is None or step.op not in ("Pad", "PadV2"):
        return None
    if id(step) in claimed or net.sole(value) is None or step.path != start.step.path:
        return None
    amounts, filled = constant(step.arguments[1]), step.arguments[2:]
    if amounts is None or step.arguments[0].state != TRACKED or (filled and np.any(constant(filled[0]) != 0)):
        return None
    channels = 1 if convolutions.is_first(start.step.attributes) else len(amounts) - 1
    return None if np.any(amounts[[0, channels]]) else step


_PAIRS = frozenset(
    {("ExpandDims", "Squeeze"), ("SpaceToBatchND", "BatchToSpaceND"), ("Transpose", "Transpose")}
    | {("Reshape", "Reshape")}
)


def _paired(previous: Step, following: Step, middle: Step) -> bool:
    """Return whether a step after the core undoes what one before it did."""
    ops = (previous.op, following.op)
    if ops not in _PAIRS or previous.arguments[0].state != TRACKED:
        return False
    x, y = previous.arguments[0].array, following.outputs[0].array
    if ops == ("ExpandDims", "Squeeze"):
        rank = len(x.shape) + 1
        added = np.ravel(constant(previous.arguments[1])) % rank
        removed = sorted(d % rank for d in following.attributes.get("squeeze_dims", ()))
        return removed == sorted(added.tolist())
    if ops == ("SpaceToBatchND", "BatchToSpaceND"):
        return np.array_equal(constant(previous.arguments[1]), constant(following.arguments[1]))
    if ops == ("Transpose", "Transpose"):
        first, second = constant(previous.arguments[1]), constant(following.arguments[1])
        return first is not None and second is not None and list(np.argsort(first)) == list(second)
    if ops == ("Reshape", "Reshape") and middle.op in MATMULS:
        inner = previous.outputs[0].array
        return bool(x.shape[:-1] == y.shape[:-1] and x.shape[-1] == inner.shape[-1])
    return False


def _moved(step: Step, axis: int | None) -> int | None:
    """Return the place of an axis behind a step."""
    if axis is None:
        return None
    if step.op == "Squeeze":
        rank = len(step.arguments[0].array.shape)
        return axis - sum(int(d) % rank < axis for d in step.attributes["squeeze_dims"])
    if step.op == "Transpose":
        return [int(place) for place in constant(step.arguments[1])].index(axis)
    return len(step.outputs[0].array.shape) - 1 if step.op == "Reshape" else axis


def _bias(net: Net, result: Value, axis: int | None, claimed: set[int]) -> tuple[Step, Any] | None:
    """Return the step that adds one constant per channel, and the constant, broadcastable."""
    step = net.sole(result)
    if step is None or id(step) in claimed or axis is None or step.op not in ("BiasAdd", "Add", "AddV2"):
        return None
    a, b = step.arguments
    other = b if a is result else a
    rank = len(result.array.shape)
    if other.state != FREE or len(step.outputs[0].array.shape) != rank:
        return None
    array = other.array
    if step.op == "BiasAdd":
        own = convolutions.channel_axis(step.attributes, rank)
        array = tf.reshape(array, [-1 if place == own else 1 for place in range(rank)])
    if channel_vector(array, rank, axis) is None or array.shape.num_elements() != result.array.shape[axis]:
        return None
    return step, array
