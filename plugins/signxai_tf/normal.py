"""Batch-normalisation at inference: a product and a sum with constants, from which mean and beta are read."""

from __future__ import annotations

from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.structure import channel_vector
from signxai_tf import convolutions
from signxai_tf.traits import Net, Unit
from signxai_tf.values import FREE, TRACKED, Step, Value


def find(net: Net, last: Step, claimed: set[int]) -> Unit | None:
    """Return the batch-normalisation that ends with a step, if there is one."""
    if last.op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        return _fused(last)
    if last.op not in ("Add", "AddV2", "Sub") or id(last) in claimed:
        return None
    product, shift = last.arguments
    if product.state == FREE and last.op != "Sub":
        product, shift = shift, product
    step = product.step
    if product.state != TRACKED or shift.state != FREE or step is None or step.op != "Mul":
        return None
    if net.sole(product) is not last or id(step) in claimed or len(step.tracked) != 1:
        return None
    x = step.tracked[0]
    scale = next(value for value in step.inputs if value.state == FREE)
    found = _sources(shift, scale)
    if last.op == "Sub":
        found = _subtracted(shift, scale)
    if found is None:
        return None
    mean, beta = found
    shifted = -shift.array if last.op == "Sub" else shift.array
    return _unit((step, last), x, last.outputs[0], scale.array, shifted, mean, beta)


def _unit(
    steps: tuple[Step, ...], x: Value, result: Value, scale: Any, shift: Any, mean: Any, beta: Any
) -> Unit | None:
    rank = len(result.array.shape)
    arrays = {"scale": scale, "shift": shift, "mean": mean, "beta": beta}
    axis = next((a for a in (rank - 1, *range(1, rank - 1)) if channel_vector(scale, rank, a) is not None), None)
    if axis is None or tuple(x.array.shape) != tuple(result.array.shape):
        return None
    return Unit(
        steps=steps,
        inputs=(x,),
        outputs=(result,),
        kind="normalisation",
        function="batch_norm",
        parameters={name: tf.cast(array, result.array.dtype) for name, array in arrays.items()},
        channel_axis=axis,
    )


def _source(value: Value) -> Value:
    """Return a constant before casts and reshapes that only fit it in."""
    while value.step is not None and value.step.op == "Cast":
        value = value.step.arguments[0]
    return value


def _sources(shift: Value, scale: Value) -> tuple[Any, Any] | None:
    """Read mean and beta from ``shift = beta − mean · scale`` or ``−mean · scale``."""
    step, own = _source(shift).step, _source(scale)
    if step is None:
        return None
    if step.op == "Sub":
        mean = _factor(step.arguments[1], own)
        return None if mean is None else (mean.array, step.arguments[0].array)
    if step.op == "Neg":
        mean = _factor(step.arguments[0], own)
        return None if mean is None else (mean.array, tf.zeros_like(mean.array))
    mean = _factor(_source(shift), own)
    if mean is not None and mean.step is not None and mean.step.op == "Neg":
        source = mean.step.arguments[0].array
        return source, tf.zeros_like(source)
    return None


def _subtracted(shift: Value, scale: Value) -> tuple[Any, Any] | None:
    """Read the mean from ``x · scale − mean · scale``."""
    mean = _factor(_source(shift), _source(scale))
    return None if mean is None else (mean.array, tf.zeros_like(mean.array))


def _factor(product: Value, scale: Value) -> Value | None:
    """Return the other factor of a product with ``scale``."""
    step = _source(product).step
    if step is None or step.op != "Mul":
        return None
    a: Value = step.arguments[0]
    b: Value = step.arguments[1]
    if _source(b) is scale:
        return a
    return b if _source(a) is scale else None


def _fused(step: Step) -> Unit | None:
    x, gamma, beta, mean, variance = step.arguments
    if step.attributes.get("is_training", True) or x.state != TRACKED or len(step.tracked) != 1:
        return None
    rank = len(x.array.shape)
    axis = convolutions.channel_axis(step.attributes, rank)
    shape = [-1 if place == axis else 1 for place in range(rank)]
    scale = gamma.array * tf.math.rsqrt(variance.array + step.attributes.get("epsilon", 1e-4))
    arrays = (scale, beta.array - scale * mean.array, mean.array, beta.array)
    fitted = [tf.reshape(array, shape) for array in arrays]
    found = _unit((step,), x, step.outputs[0], *fitted)
    return None if found is None else attrs.evolve(found, channel_axis=axis)
