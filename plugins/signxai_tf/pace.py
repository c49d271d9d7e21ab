"""The order in which a compiled walk computes.

TensorFlow runs whatever has its inputs. In a walk those are the divisors and mapped weights of all
layers, which would lie in memory, and outside the processor's caches, until relevance arrives. So
what is traced behind a pull waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import tensorflow as tf

from signxai_core.engine.backend import Array

#: Holds the control dependencies of the walk that is being traced.
_waiting: ContextVar[contextlib.ExitStack | None] = ContextVar("_waiting", default=None)


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """Trace a walk in which operations wait for what was :func:`pulled` before them."""
    with contextlib.ExitStack() as waiting:
        token = _waiting.set(waiting)
        try:
            yield
        finally:
            _waiting.reset(token)


def pulled(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return ``arrays``; what is traced from now on waits for them."""
    waiting = _waiting.get()
    if waiting is not None:
        waiting.close()
        waiting.enter_context(tf.control_dependencies(arrays))
    return arrays
