"""Layers that Keras computes in another order than other frameworks, run in the common order.

Three things have a common form, in which rules see the same operations everywhere:

* a bias is added to a matrix product before its channels are split (``EinsumDense``), so that it is
  that operation's bias;
* a normalisation is ``(x − mean) · r``, then weight and bias, where TensorFlow computes
  ``x · (r · weight) + (bias − mean · (r · weight))``;
* in recurrent layers ``W x + U h`` comes first and the biases are added to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import tensorflow as tf

from signxai_tf.convolutions import is_first
from signxai_tf.layer_groups import RECURRENT, Origin
from signxai_tf.values import FREE, TRACKED, Step, Value
from signxai_tf.vocabulary import MATMULS

Execute = Callable[[str, Mapping[str, Any], list[Value], Origin], tuple[Value, ...]]
_ADD = frozenset({"Add", "AddV2", "BiasAdd"})
#: Operations that take some of the numbers along the last axis.
_PARTS = frozenset({"Split", "SplitV", "StridedSlice"})


@attrs.frozen(eq=False)
class Runner:
    """Runs operations in place of one.

    Parameters
    ----------
    execute
        Runs an operation.
    origin
        Of the operation that is replaced.
    """

    execute: Execute
    origin: Origin

    def run(self, op: str, *inputs: Value, **attributes: Any) -> Value:
        """Return the first output of an operation."""
        return self.execute(op, attributes, list(inputs), self.origin)[0]


def add(execute: Execute, attributes: Mapping[str, Any], inputs: list[Value], origin: Origin) -> Value | None:
    """Run a sum in the common order; ``None`` where it is no sum of these kinds."""
    runner = Runner(execute, origin)
    group = "" if origin.group is None else origin.group[0]
    if group in RECURRENT:
        return _recurrent(runner, inputs)
    if all(value.state == TRACKED for value in inputs):
        return _normalised(runner, inputs)
    if is_first(attributes):
        return None
    return _early_bias(runner, inputs)


def made_by(value: Value, *ops: str) -> Step | None:
    """Return the step that computed a value that depends on the input, if it is one of these operations."""
    return value.step if value.state == TRACKED and value.step is not None and value.step.op in ops else None


# --- biases of products whose channels are split -----------------------------------------------------


def _early_bias(runner: Runner, inputs: list[Value]) -> Value | None:
    """``reshape(W x) + b`` as ``reshape(W x + b)``, where the reshape splits the last axis alone."""
    split, bias = inputs if inputs[0].state == TRACKED else inputs[::-1]
    step = made_by(split, "Reshape")
    product = None if step is None else made_by(step.arguments[0], *MATMULS)
    if bias.state != FREE or step is None or product is None or product.arguments[1].state != FREE:
        return None
    whole: Value = step.arguments[0]
    narrow, wide = whole.array.shape.as_list(), split.array.shape.as_list()
    if None in (*narrow, *wide):
        return None
    own = wide[_leading(narrow, wide) :]
    shape = bias.array.shape.as_list()
    while shape and shape[0] == 1:
        shape = shape[1:]
    if (
        len(own) < 2
        or not 0 < len(shape) <= len(own)
        or not all(a in (1, b) for a, b in zip(shape[::-1], own[::-1], strict=False))
    ):
        return None
    full = runner.run("BroadcastTo", runner.run("Reshape", bias, _shape(shape)), _shape(own))
    total = runner.run("AddV2", whole, runner.run("Reshape", full, _shape([-1])))
    return runner.run("Reshape", total, step.arguments[1])


def _shape(lengths: list[int]) -> Value:
    return Value(tf.constant(lengths, tf.int32))


def _leading(narrow: list[int], wide: list[int]) -> int:
    """Return how many axes of ``wide`` hold all axes of ``narrow`` but the last, whose axes are split behind them."""
    numbers = 1
    for length in narrow[:-1]:
        numbers *= length
    known = 1
    for place, length in enumerate(wide):
        if known == numbers and (place >= len(narrow) - 1 or length != 1):
            return place
        known *= length
    return len(wide)


# --- normalisations ----------------------------------------------------------------------------------


def _normalised(runner: Runner, inputs: list[Value]) -> Value | None:
    """``x · r + (bias − mean · r)`` as ``(x − mean) · r`` with weight and bias behind."""
    for product, rest in (inputs, inputs[::-1]):
        step = made_by(product, "Mul")
        found = None if step is None else _shifted(rest)
        if step is None or found is None:
            continue
        mean, factor, bias = found
        x = next((value for value in step.arguments if value is not factor), None)
        source = made_by(mean, "Mean")
        if x is None or factor not in step.arguments or source is None or source.arguments[0] is not x:
            continue
        rate, weight = _unweighted(factor)
        result = runner.run("Mul", _difference(runner, x, mean, rate), rate)
        if weight is not None:
            result = runner.run("Mul", result, weight)
        return result if bias is None else runner.run("AddV2", result, bias)
    return None


def _shifted(value: Value) -> tuple[Value, Value, Value | None] | None:
    """Read mean, factor and bias from ``−mean · factor + bias`` or ``bias − mean · factor``."""
    bias: Value | None = None
    step = made_by(value, "Add", "AddV2", "Sub")
    if step is not None:
        left, right = step.arguments
        if step.op == "Sub":
            stretched = made_by(right, "BroadcastTo")
            product = made_by(right if stretched is None else stretched.arguments[0], "Mul")
            return _mean_first(product, left) if product is not None and left.state == FREE else None
        value, bias = (left, right) if right.state == FREE else (right, left)
        if bias.state != FREE:
            return None
    stretched = made_by(value, "BroadcastTo")
    step = made_by(value if stretched is None else stretched.arguments[0], "Mul", "Neg")
    if step is None:
        return None
    if step.op == "Neg":
        product = made_by(step.arguments[0], "Mul")
        return None if product is None else _mean_first(product, bias)
    for one, other in (step.arguments, step.arguments[::-1]):
        negated = made_by(one, "Neg")
        if negated is not None:
            return negated.arguments[0], other, bias
    return None


def _mean_first(product: Step, bias: Value | None) -> tuple[Value, Value, Value | None] | None:
    """Read mean and factor from a product of them."""
    for mean, factor in (product.arguments, product.arguments[::-1]):
        if made_by(mean, "Mean") is not None:
            return mean, factor, bias
    return None


def _unweighted(factor: Value) -> tuple[Value, Value | None]:
    """Return what a factor is without its weight, and the weight."""
    step = made_by(factor, "Mul")
    if step is None or len(step.tracked) != 1:
        return factor, None
    (rate,) = step.tracked
    weight = next(value for value in step.arguments if value is not rate)
    stretched = made_by(rate, "BroadcastTo")
    return (rate if stretched is None else stretched.arguments[0]), weight


def _difference(runner: Runner, x: Value, mean: Value, rate: Value) -> Value:
    """Return ``x − mean``, that of the variance where it is that."""
    value = rate
    for _ in range(8):
        step = value.step
        if step is None or not step.tracked:
            break
        if step.op == "Sub" and step.arguments[0] is x and step.arguments[1] is mean:
            return value
        value = step.tracked[0]
    return runner.run("Sub", x, mean)


# --- recurrent layers --------------------------------------------------------------------------------


def _recurrent(runner: Runner, inputs: list[Value]) -> Value | None:
    """``(W x + b) + (U h + c)`` as ``(W x + U h) + (b + c)``."""
    constants = [value for value in inputs if value.state == FREE]
    if any(value.array.shape.rank == 0 for value in constants):
        return None  # a number of an activation's formula
    products = [value for value in inputs if value.state == TRACKED]
    peeled = [_peeled(runner, value) for value in products]
    if any(found is None for found in peeled):
        return None
    biases = [*(bias for found in peeled if found is not None for bias in found[1:] if bias is not None), *constants]
    if len(biases) == len(constants):
        return None
    total = peeled[0][0] if peeled[0] is not None else products[0]
    for found in peeled[1:]:
        assert found is not None, "all products have been found"
        total = runner.run("AddV2", total, found[0])
    bias = biases[0]
    for other in biases[1:]:
        bias = runner.run("AddV2", bias, other)
    return runner.run("AddV2", total, bias)


def _peeled(runner: Runner, value: Value) -> tuple[Value, Value | None] | None:
    """Return a product, or some of its numbers, without its bias, and the bias; ``None`` for anything else."""
    step = made_by(value, *MATMULS, *_ADD, *_PARTS)
    if step is None or step.op in MATMULS:
        return None if step is None else (value, None)
    if step.op in _ADD:
        return _without_bias(runner, step, value)
    place = 1 if step.op == "Split" else 0
    inner = _peeled(runner, step.arguments[place])
    if inner is None:
        return None
    whole, bias = inner
    if bias is None:
        return value, None
    if not step.without_bias:
        bias = bias if bias.array.shape.rank > 1 else runner.run("Reshape", bias, _shape([1, -1]))
        for part in (whole, bias):
            arguments = [part if number == place else given for number, given in enumerate(step.arguments)]
            step.without_bias += (runner.execute(step.op, step.attributes, arguments, runner.origin),)
    parts, biases = step.without_bias
    return parts[value.place], biases[value.place]


def _without_bias(runner: Runner, step: Step, value: Value) -> tuple[Value, Value | None] | None:
    """Read a product, or the sum of two, and the bias that is added to it."""
    left, right = step.arguments
    if FREE not in (left.state, right.state):
        both = made_by(left, *MATMULS) is not None and made_by(right, *MATMULS) is not None
        return (value, None) if both else None
    product, bias = (left, right) if right.state == FREE else (right, left)
    inner = _peeled(runner, product)
    if inner is None:
        return None
    return inner[0], bias if inner[1] is None else runner.run("AddV2", inner[1], bias)
