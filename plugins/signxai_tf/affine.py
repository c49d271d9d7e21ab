"""Weight and bias behind a normalisation within the sample, as one scaling."""

from __future__ import annotations

import tensorflow as tf

from signxai_tf.layer_groups import NORMS
from signxai_tf.traits import Net, Unit
from signxai_tf.values import FREE, Step


def find(net: Net, last: Step, claimed: set[int]) -> Unit | None:
    """Return the scaling that ends with a step in a normalisation's group, if it is one of two steps."""
    if last.op not in ("Add", "AddV2") or last.group not in NORMS or id(last) in claimed or len(last.tracked) != 1:
        return None
    (product,) = last.tracked
    step = product.step
    if step is None or step.op != "Mul" or len(step.tracked) != 1 or net.sole(product) is not last:
        return None
    (x,), y = step.tracked, last.outputs[0]
    if id(step) in claimed or tuple(x.array.shape) != tuple(y.array.shape):
        return None
    scale, shift = (next(value for value in one.inputs if value.state == FREE) for one in (step, last))
    # A number close to 0 under a root, and the like, is no bias of the layer.
    if max(scale.array.shape.rank, shift.array.shape.rank) == 0:
        return None
    parameters = {"scale": tf.cast(scale.array, y.array.dtype), "shift": tf.cast(shift.array, y.array.dtype)}
    return Unit(steps=(step, last), inputs=(x,), outputs=(y,), kind="scaling", function="affine", parameters=parameters)
