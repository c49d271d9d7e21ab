"""Whether a trace computes what the model computes.

A trace holds what the model's Python code did once. Should the code do something else each time (it counts its
calls, reads a generator, a clock or a file), no map of that trace is the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from signxai_tf.arrays import to_numpy
from signxai_tf.interpret import Interpreter
from signxai_tf.values import TRACKED, Value
from signxai_tf.wide import wide

#: Largest difference that is taken for rounding, relative to the largest output, by the type's bytes.
_ROUNDING = {8: 1e-6, 4: 1e-3, 2: 0.3}


def difference(graph: Any, captured: tuple[Any, ...], call: Callable[[Any], Any], x: Any) -> str | None:
    """Return how far a trace is from the model, in words; ``None`` where both compute the same.

    Parameters
    ----------
    graph, captured
        Those of the trace.
    call
        Runs the model; nothing that it assigns to Keras's variables is kept.
    x
        An input.
    """
    if graph.is_random or graph.assigns:
        return None  # another run may give another output, or change the model
    try:
        with keras.StatelessScope():
            outputs = [value for value in tf.nest.flatten(call(x)) if tf.is_tensor(value)]
    except Exception:  # noqa: BLE001 - some models run in graphs alone
        return None
    traced = Interpreter(graph).run(Value(wide(x), TRACKED), [Value(array) for array in captured])
    for ours, theirs in zip((to_numpy(value.array) for value in traced), outputs, strict=True):
        if not theirs.dtype.is_floating or (graph.is_narrow and not np.isfinite(to_numpy(theirs)).all()):
            continue  # half types overflow where float32 does not
        found = _apart(ours, to_numpy(theirs))
        if found > _ROUNDING[2 if graph.is_narrow else min(theirs.dtype.size, x.dtype.size)]:
            return f"the model gives another output when it is run again on the same input (by {found:.2g} of it)"
    return None


def _apart(ours: Any, theirs: Any) -> float:
    """Return the largest difference as a part of the largest output."""
    if ours.shape != theirs.shape or not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return float("inf")
    finite = np.isfinite(ours)
    ours, theirs = ours[finite].astype(np.float64), theirs[finite].astype(np.float64)
    largest = np.abs(theirs).max(initial=0.0)
    apart = np.abs(ours - theirs).max(initial=0.0)
    return float(apart / largest if largest else apart)
