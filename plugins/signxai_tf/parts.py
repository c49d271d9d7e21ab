"""Large dense weights under an elementwise function, without ever holding the result.

A dense layer may hold hundreds of megabytes. Writing, say, its positive part to fresh memory costs
more than the matrix product itself; mapped part by part it stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.engine.backend import Array
from signxai_tf.calls import WEIGHT, Handle

#: Numbers per part.
PART = 2**21


@attrs.frozen(eq=False)
class InParts:
    """``function(weight)`` of a matrix product.

    Parameters
    ----------
    function, weight
        The weight has two axes.
    turned
        Whether its first axis is that of the outputs.
    """

    function: Callable[[Array], Array]
    weight: Array
    turned: bool

    def times(self, x: Array) -> Array:
        """Return the outputs for ``x``, without bias."""
        return self._across(x) if self.turned else self._along(x)

    def pull(self, t: Array) -> Array:
        """Return the vector-Jacobian product of :meth:`times`."""
        return self._along(t) if self.turned else self._across(t)

    def _along(self, a: Array) -> Array:
        """Return ``a · function(weight)``."""
        total = None
        for part, rows in self._parts():
            with tf.control_dependencies([] if total is None else [total]):
                product = tf.matmul(a[:, part], self.function(tf.identity(rows)))
            total = product if total is None else total + product
        return total

    def _across(self, a: Array) -> Array:
        """Return ``a · function(weight)ᵀ``."""
        products: list[Array] = []
        for _, rows in self._parts():
            with tf.control_dependencies(products[-1:]):  # one part after the other, in a compiled function too
                products.append(tf.matmul(a, self.function(tf.identity(rows)), transpose_b=True))
        return tf.concat(products, 1)

    def _parts(self) -> Iterator[tuple[slice, Array]]:
        """Yield places on the first axis and the weights there."""
        length, width = self.weight.shape
        count = max(1, PART // width)
        for start in range(0, length, count):
            part = slice(start, min(start + count, length))
            yield part, self.weight[part]


def mapped(handle: Handle, function: Callable[[Array], Array], weight: Array) -> Any:
    """Return ``function(weight)``, or what maps a large weight part by part."""
    program = handle.linear
    if program is None or len(program.instructions) != 1 or weight.shape.num_elements() <= PART:
        return function(weight)
    (step,) = program.instructions
    if step.op != "MatMul" or step.arguments[1] is not WEIGHT or step.attributes.get("transpose_a"):
        return function(weight)
    return InParts(function, weight, bool(step.attributes.get("transpose_b")))
