"""Rules that are Python functions at one operation, from its explicit matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from signxai_core.context import Context, call
from signxai_core.specs.cells import KEEP, WeightCell
from signxai_core.specs.rules import FunctionRule
from signxai_core.testing.linear import Linear
from signxai_core.testing.nodes import Array, Shape


class NumpyArrays:
    """NumPy's array functions; see :class:`signxai_core.context.Arrays`."""

    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    abs = staticmethod(np.abs)
    full_like = staticmethod(np.full_like)

    def where(self, condition: Array, a: Array | float, b: Array | float) -> Array:
        """Elementwise choice."""
        return np.asarray(np.where(condition, a, b))

    def sign(self, a: Array) -> Array:
        """``+1`` where ``a >= 0``, else ``−1``."""
        return np.where(a >= 0, 1.0, -1.0)

    def divide(self, a: Array, b: Array) -> Array:
        """``a / b``, and 0 where ``b`` is 0."""
        return np.divide(a, b, out=np.zeros(b.shape), where=b != 0)


def by_function(
    rule: FunctionRule, linear: Linear, x: Array, above: Array, shapes: Sequence[Shape], output_shape: Shape
) -> Array:
    """Return what the function makes of one sample, as a batch of one; ``x`` and ``above`` are flat.

    Parameters
    ----------
    rule, linear
        The function, and the operation as a matrix.
    x, above
        Input and relevance at the output.
    shapes, output_shape
        Of its inputs and its output.
    """
    out = (1, *output_shape)

    def split(flat: Array) -> tuple[Array, ...]:
        parts = np.split(flat, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        return tuple(part.reshape(1, *shape) for part, shape in zip(parts, shapes, strict=True))

    def forward(inputs: Sequence[Array], weight: WeightCell = KEEP) -> Array:
        return np.asarray(linear.matrix(weight) @ np.concatenate([v.ravel() for v in inputs])).reshape(out)

    def pull(t: Array, weight: WeightCell = KEEP) -> tuple[Array, ...]:
        return split(linear.matrix(weight).T @ t.ravel())

    def bias(cell: WeightCell = KEEP) -> Array:
        return linear.constant(cell).reshape(out)

    context = Context(
        x=split(x),
        z=(linear.matrix() @ x + linear.constant()).reshape(out),
        relevance=above.reshape(out),
        forward=forward,
        pull=pull,
        bias=bias,
        arrays=NumpyArrays(),
    )
    return np.concatenate([part.ravel() for part in call(rule, context)])
