"""Activations that TensorFlow computes in several operations, recognised as one.

The patterns are not written down: each function is traced once and its operations become the
pattern, so that they fit the versions of TensorFlow and Keras that are installed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from signxai_tf.graph import read
from signxai_tf.interpret import Interpreter
from signxai_tf.traits import Net, Unit, constant
from signxai_tf.values import FREE, TRACKED, Step, Value

_nn = keras.activations
#: Neutral names of functions of ``keras.activations``, and whether their constants are parameters; versions of Keras
#: differ in which of them there are.
_ACTIVATIONS = {
    "mish": ("mish", False),
    "hard_silu": ("hardswish", False),
    "hard_sigmoid": ("hardsigmoid", False),
    "log_sigmoid": ("logsigmoid", False),
    "tanh_shrink": ("tanhshrink", False),
    "sparse_plus": ("sparse_plus", False),
    "sparse_sigmoid": ("sparse_sigmoid", False),
    "squareplus": ("squareplus", False),
    "soft_shrink": ("softshrink", True),
    "hard_shrink": ("hardshrink", True),
}


def _prelu(x: Any) -> Any:
    return keras.ops.relu(x) + (-tf.constant(0.25)) * keras.ops.relu(-x)


def _functions() -> Iterator[tuple[str, Callable[[Any], Any], bool]]:
    """Yield name, function, and whether its constants are parameters that may differ."""
    yield "gelu", lambda x: tf.nn.gelu(x, approximate=False), False
    yield "gelu", lambda x: tf.nn.gelu(x, approximate=True), False
    yield "gelu", lambda x: 0.5 * x * (1 + tf.math.erf(x * 0.5**0.5)), False
    yield "silu", tf.nn.silu, False
    for function, (name, free) in _ACTIVATIONS.items():
        if hasattr(_nn, function):
            yield name, getattr(_nn, function), free
    yield "elu", lambda x: keras.ops.elu(x, alpha=0.5), True
    yield "celu", lambda x: keras.ops.celu(x, alpha=0.5), True
    yield "threshold", lambda x: _nn.threshold(x, 0.5, 0.25), True
    yield "threshold", lambda x: _nn.relu(x, threshold=0.5), True
    yield "leaky_relu", lambda x: _nn.relu(x, negative_slope=0.25, max_value=3.0), True
    yield "leaky_relu", lambda x: _nn.relu(x, negative_slope=0.25, threshold=0.5), True
    yield "elu", lambda x: tf.where(x > 0, x, tf.exp(x) - 1), False
    yield "elu", lambda x: tf.where(x > 0, x, tf.math.expm1(x)), False
    yield "elu", lambda x: tf.where(x > 0, x, 0.5 * (tf.exp(x) - 1)), True
    yield "elu", lambda x: tf.where(x > 0, x, 0.5 * tf.math.expm1(x)), True
    yield "leaky_relu", lambda x: tf.maximum(x, 0.25 * x), True
    yield "leaky_relu", lambda x: tf.where(x > 0, x, 0.25 * x), True
    yield "prelu", _prelu, True


@attrs.frozen(eq=False)
class Pattern:
    """A function as the operations that compute it.

    Parameters
    ----------
    name
        Neutral name.
    input, result
        Values at its ends.
    free
        Whether its constants are parameters.
    """

    name: str
    input: Value
    result: Value
    free: bool


@functools.cache
def patterns() -> dict[str, list[Pattern]]:
    """Return all patterns by their last operation, first those whose constants are fixed."""
    found: dict[str, list[Pattern]] = {}
    for name, function, free in _functions():
        pattern = _learn(name, function, free=free)
        if pattern is not None and pattern.result.step is not None:
            found.setdefault(pattern.result.step.op, []).append(pattern)
    return {op: sorted(those, key=lambda pattern: pattern.free) for op, those in found.items()}


def _learn(name: str, function: Callable[[Any], Any], *, free: bool) -> Pattern | None:
    """Trace a function; ``None`` for those that the installed versions do not have."""
    try:
        concrete = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec([2], tf.float32))
        graph = concrete.graph
        body = read(graph.as_graph_def(), [graph.inputs[0].op.name], [graph.outputs[0].name], {})
        x = Value(tf.constant([0.5, -0.5]), TRACKED)
        (result,) = Interpreter(body).run(x, [])
    except (AttributeError, TypeError):
        return None
    return Pattern(name, x, result, free)


def find(net: Net, root: Step, claimed: set[int]) -> Unit | None:
    """Return the activation that ends with a step, if there is one."""
    for pattern in patterns().get(root.op, ()):
        match = _Match(pattern, net)
        if match.value(pattern.result, root.outputs[0]) and match.closed(root, claimed):
            x = match.x
            assert x is not None, "a pattern uses its input"
            steps = sorted(match.steps.values(), key=lambda step: net.number[id(step)])
            return Unit(
                steps=tuple(steps), inputs=(x,), outputs=root.outputs[:1], kind="activation", function=pattern.name
            )
    return None


class _Match:
    """One attempt to lay a pattern over a run."""

    def __init__(self, pattern: Pattern, net: Net) -> None:
        self._pattern = pattern
        self._net = net
        self._known: dict[int, Value] = {}
        self.steps: dict[int, Step] = {}
        self.x: Value | None = None

    def value(self, expected: Value, given: Value) -> bool:
        if expected is self._pattern.input:
            self.x = given if self.x is None else self.x
            return self.x is given and given.state == TRACKED
        if expected.state == FREE:
            return self._constant(expected, given)
        if id(expected) in self._known:
            return self._known[id(expected)] is given
        self._known[id(expected)] = given
        if expected.step is None or given.step is None or expected.place != given.place:
            return False
        return self._step(expected.step, given.step)

    def _constant(self, expected: Value, given: Value) -> bool:
        if given.state != FREE:
            return False
        if self._pattern.free:
            return True
        numbers, wanted = constant(given), constant(expected)
        if numbers is None or not given.array.dtype.is_floating:
            return numbers is not None
        if np.ndim(wanted) > 0 and np.size(numbers) != np.size(wanted):
            return False
        return bool(np.allclose(numbers, wanted, rtol=1e-2 if given.array.dtype.size < 4 else 1e-6))

    def _step(self, expected: Step, given: Step) -> bool:
        if id(given) in self.steps:
            return True
        if expected.op != given.op or len(expected.inputs) != len(given.inputs):
            return False
        self.steps[id(given)] = given
        return all(self.value(e, g) for e, g in zip(expected.inputs, given.inputs, strict=True))

    def closed(self, root: Step, claimed: set[int]) -> bool:
        """Return whether the steps are free, and nothing outside uses what they compute on the way."""
        if not all(number in self._net.number and number not in claimed for number in self.steps):
            return False
        inner = [value for step in self.steps.values() if step is not root for value in step.outputs]
        return all(
            value is not self._net.output and all(id(user) in self.steps for user in self._net.consumers(value))
            for value in inner
        )
