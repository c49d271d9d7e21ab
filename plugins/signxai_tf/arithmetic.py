"""Arithmetic as operations: scalings by constants, sums, products and quotients of what depends on the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_tf.batch_axis import may_be_batch
from signxai_tf.calls import compose
from signxai_tf.convolutions import channel_axis
from signxai_tf.traits import Unit, constant, is_binary, is_number, number
from signxai_tf.values import TRACKED, Step, Value
from signxai_tf.vocabulary import MATMULS


def named(unit: Unit, name: str) -> Unit:
    """Return an operation under another name."""
    return attrs.evolve(unit, function=name)


def _fixed(step: Step) -> Value:
    """Return the argument that is a constant of the operation."""
    return next(value for value in step.inputs if value.state != TRACKED)


def _scaling(unit: Unit, scale: Any, shift: Any, known: tuple[float | None, float | None]) -> Unit | None:
    """``scale · x + shift`` with constants, where the output keeps the input's shape.

    ``known``: both, where they are single numbers that the model's code names.
    """
    x, y = unit.inputs[0].array, unit.outputs[0].array
    if tuple(x.shape) != tuple(y.shape):
        return None
    parameters = {"scale": tf.cast(scale, y.dtype), "shift": tf.cast(shift, y.dtype)}
    names = zip(("scale", "shift"), known, strict=True)
    attributes: dict[str, Any] = {name: value for name, value in names if value is not None}
    if len(attributes) == 2 and attributes["scale"] > 0:
        attributes["increasing"] = True
    return attrs.evolve(unit, kind="scaling", parameters=parameters, attributes=attributes)


def _add(unit: Unit, step: Step) -> Unit | None:
    unit = named(unit, "add")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="sum", signs=(1, 1))
    other = _fixed(step)
    if step.op == "BiasAdd":
        rank = len(unit.outputs[0].array.shape)
        axis = channel_axis(step.attributes, rank)
        shape = [-1 if place == axis else 1 for place in range(rank)]
        return _scaling(unit, 1, tf.reshape(other.array, shape), (1.0, None)) if step.arguments[1] is other else None
    return _scaling(unit, 1, other.array, (1.0, number(other)))


def _sub(unit: Unit, step: Step) -> Unit | None:
    unit = named(unit, "sub")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="sum", signs=(1, -1))
    left, right = step.arguments
    if left.state != TRACKED:
        return _scaling(unit, -1, left.array, (-1.0, number(left)))
    shift = number(right)
    return _scaling(unit, 1, -right.array, (1.0, None if shift is None else -shift))


def _add_all(unit: Unit, step: Step) -> Unit | None:
    unit = named(unit, "add")
    linear = None
    if len(unit.inputs) != len(step.inputs):
        linear = compose(unit.steps, unit.inputs, unit.outputs, free=tf.zeros_like)
    return attrs.evolve(unit, kind="sum", signs=(1,) * len(unit.inputs), linear=linear)


def _mul(unit: Unit, step: Step) -> Unit | None:
    unit = named(unit, "mul")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="product")
    other = _fixed(step)
    if is_binary(other):  # a mask that depends on the input keeps some of the numbers
        return attrs.evolve(unit, kind="selection", function="where")
    return _scaling(unit, other.array, 0, (number(other), 0.0))


def _div(unit: Unit, step: Step) -> Unit | None:
    """A quotient; ``c / x`` is a function of x alone."""
    unit = named(unit, "div")
    if len(unit.inputs) == 2:
        return attrs.evolve(unit, kind="quotient")
    dividend, divisor = step.arguments
    if divisor.state != TRACKED:
        inverse = tf.math.divide_no_nan if step.op == "DivNoNan" else tf.math.divide
        known = number(divisor)
        scale = 1 / known if known else None
        return _scaling(unit, inverse(tf.ones_like(divisor.array), divisor.array), 0, (scale, 0.0))
    return _of_one(unit, "reciprocal") if dividend.state != TRACKED else None


def _of_one(unit: Unit, name: str, **attributes: Any) -> Unit | None:
    """An elementwise function of one tensor, whose shape it keeps."""
    if len(unit.inputs) != 1 or tuple(unit.inputs[0].array.shape) != tuple(unit.outputs[0].array.shape):
        return None
    return attrs.evolve(unit, kind="activation", function=name, attributes=attributes)


def _neg(unit: Unit, step: Step) -> Unit | None:
    return _scaling(named(unit, "neg"), -1, 0, (-1.0, 0.0))


def _power(unit: Unit, step: Step) -> Unit | None:
    base, exponent = step.arguments
    if exponent.state != TRACKED:
        numbers = constant(exponent)
        uniform = numbers is not None and np.size(numbers) > 0 and np.all(numbers == np.ravel(numbers)[0])
        return _of_one(unit, "pow", exponent=float(np.ravel(numbers)[0]) if uniform else None)
    return _of_one(unit, "exp2" if is_number(base, 2) else "exp") if base.state != TRACKED else None


def _matmul(unit: Unit, step: Step) -> Unit | None:
    unit = named(unit, "matmul")
    return attrs.evolve(unit, kind="matrix_product") if len(unit.inputs) == 2 else None


def _einsum(unit: Unit, step: Step) -> Unit | None:
    """A product of two tensors: elementwise where no index is summed; an index map or sum of one."""
    unit = named(unit, "einsum")
    terms, _, result = equation(step).partition("->")
    parts = terms.split(",")
    attributes = {"equation": equation(step)}
    if len(unit.inputs) == 2:
        plain = all(len(set(part)) == len(part) for part in parts)
        if plain and set("".join(parts)) == set(result):
            return attrs.evolve(unit, kind="product", function="mul", attributes=attributes)
        return attrs.evolve(unit, kind="matrix_product", attributes=attributes)
    if len(parts) != 1 or "." in terms or len(set(terms)) != len(terms):
        return None
    if len(result) == len(terms):
        order = tuple(terms.index(letter) for letter in result)
        return attrs.evolve(unit, kind="shape", function="permute", attributes={"order": order})
    kept = [letter for letter in terms if letter in result]
    axes = tuple(place for place, letter in enumerate(terms) if letter not in result)
    if kept != list(result) or any(may_be_batch(step.arguments[0][0], place) for place in axes):
        return None
    return attrs.evolve(unit, kind="average_pooling", function="sum", attributes={"axes": axes, "keepdims": False})


def equation(step: Step) -> str:
    """Return the equation of an Einsum without spaces."""
    given = step.attributes["equation"]
    text: str = given.decode() if isinstance(given, bytes) else given
    return text.replace(" ", "")


HANDLERS: dict[str, Callable[[Unit, Step], Unit | None]] = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), _add),
    "Sub": _sub,
    **dict.fromkeys(("AddN", "AccumulateNV2"), _add_all),
    **dict.fromkeys(("Mul", "MulNoNan"), _mul),
    **dict.fromkeys(("RealDiv", "Div", "DivNoNan", "Xdivy"), _div),
    "Neg": _neg,
    "Pow": _power,
    **dict.fromkeys(MATMULS, _matmul),
    "Einsum": _einsum,
}
