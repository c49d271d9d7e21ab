"""Traces of models: graphs that serve every batch size, kept as long as the model lives.

A trace captures the model's variables, so that it always computes with their present values. The
model is called inside a ``keras.StatelessScope``: nothing that it assigns to variables is kept.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from signxai_core.engine.backend import Recording
from signxai_core.errors import ModelError, SignxaiError
from signxai_tf import layers, private
from signxai_tf.callables import entry_point
from signxai_tf.compiled import CompiledModel, compile_model
from signxai_tf.fingerprint import Fingerprint, fingerprint
from signxai_tf.graph import Graph, read
from signxai_tf.training import Watch, warnings
from signxai_tf.values import NotCompilableError
from signxai_tf.verify import difference
from signxai_tf.wide import wide

#: Models of smaller size are run operation by operation.
WORTH_COMPILING = 2**14
#: Traces per model: input shapes and types that were seen last.
_MOST = 8


@attrs.frozen(eq=False)
class Trace:
    """A traced model.

    Parameters
    ----------
    graph
        Its first argument is the input, the others are captured.
    captured
        Tensors and variables' handles that the graph reads, in the order of its arguments.
    owners
        Path of the layer that owns a captured variable, by place in ``captured``.
    structure
        What the model returns, with one placeholder for every tensor in ``graph.main.results``.
    warnings
        What users should know about the model.
    size
        Numbers in its variables and in a sample of its input.
    """

    graph: Graph
    captured: tuple[Any, ...]
    owners: dict[int, str]
    structure: Any
    warnings: tuple[str, ...]
    size: int
    _compiled: OrderedDict[Hashable, CompiledModel | None] = attrs.field(factory=OrderedDict, init=False)

    def compiled(self, x: Any, record: Callable[[Any], Recording]) -> CompiledModel | None:
        """Return the compiled model for inputs like ``x``, or ``None`` where it cannot be compiled.

        Small models are not compiled: that takes a second, and their operations microseconds.
        ``record`` records a run of this trace.
        """
        if self.size < WORTH_COMPILING:
            return None
        key = tuple(x.shape)
        with _lock:
            if key not in self._compiled:
                self._compiled[key] = _compile(record, x)
                while len(self._compiled) > _MOST:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            return self._compiled[key]


def _compile(record: Callable[[Any], Recording], x: Any) -> CompiledModel | None:
    """Return the compiled model; ``None`` where it has to be run operation by operation.

    What is wrong with a model is said by errors of ours, which are the same in both kinds of run.
    """
    try:
        return compile_model(record, x.shape, x.dtype)
    except NotCompilableError:
        return None


@attrs.define(eq=False)
class _Kept:
    """The traces of one model, and its fingerprint when it was last looked at."""

    alive: Any
    traces: OrderedDict[Hashable, Trace] = attrs.field(factory=OrderedDict)
    state: Fingerprint | None = None

    def look_at(self, model: Any) -> Fingerprint:
        """Return the model's fingerprint."""
        if self.state is None or not self.state.holds(model):
            self.state = fingerprint(model)
        return self.state


_lock = threading.RLock()
_kept: dict[int, _Kept] = {}


def trace(model: Any, x: Any) -> Trace:
    """Return the trace of ``model`` for inputs like ``x``, from the cache where it is there."""
    shape, dtype = tuple(x.shape), x.dtype
    with _lock:
        kept = _kept_of(model)
        traces, state = kept.traces, kept.look_at(model)
        for key in ((shape[1:], dtype, None, state), (shape[1:], dtype, shape[0], state)):
            if key in traces and _is_true(traces[key], state, model, x):
                traces.move_to_end(key)
                return traces[key]
        made, batch = _trace(model, x)
        traces[shape[1:], dtype, batch, kept.look_at(model)] = made
        while len(traces) > _MOST:
            traces.popitem(last=False)
        return made


def forget(model: Any) -> None:
    """Drop the traces of a model."""
    with _lock:
        known = _kept.get(id(model))
        if known is not None and known.alive() is model:
            del _kept[id(model)]


def _is_true(traced: Trace, state: Fingerprint, model: Any, x: Any) -> bool:
    """Return whether a trace is still the model's, where its state alone does not tell."""
    return not state.doubts or difference(traced.graph, traced.captured, entry_point(model), x) is None


def _kept_of(model: Any) -> _Kept:
    """Return what is kept of a model; something passing for objects that cannot be referred to weakly."""
    known = _kept.get(id(model))
    if known is not None and known.alive() is model:
        return known
    identity = id(model)
    try:
        alive = weakref.ref(model, lambda _: _kept.pop(identity, None))
    except TypeError:
        return _Kept(None)
    _kept[identity] = _Kept(alive)
    return _kept[identity]


def _trace(model: Any, x: Any) -> tuple[Trace, int | None]:
    """Trace for any batch size, or where the model does not allow that, for this one."""
    call = entry_point(model)
    try:
        traced = _traced(model, call, tf.TensorSpec((None, *x.shape[1:]), x.dtype))
        # TensorFlow keeps traces of the user's own functions by their shapes, of which ours is one more.
        sample = x if traced.graph.functions else x[:1]
        if difference(traced.graph, traced.captured, call, sample) is None:
            return traced, None
    except SignxaiError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's model may fail in any way
        general: Exception | None = error
    else:
        general = None
    try:
        traced = _traced(model, call, tf.TensorSpec(x.shape, x.dtype))
    except SignxaiError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise general or error from None  # the first failure is the one that concerns every batch size
    found = difference(traced.graph, traced.captured, call, x)
    if found is not None:
        raise ModelError(f"{found}; what a model computes may depend on its input and its weights alone")
    return traced, int(x.shape[0])


def _traced(model: Any, call: Callable[[Any], Any], spec: tf.TensorSpec) -> Trace:
    known, paths, found, watch = layers.Paths(model), {}, [], Watch()

    def created(name: str) -> None:
        watch.created(name)
        path = known.running()
        if path is not None:
            paths[name] = path

    def traced(x: Any) -> Any:
        private.observe(tf.compat.v1.get_default_graph(), created)
        with tf.variable_creator_scope(_refuse), keras.StatelessScope():
            result = call(x)
        found.append(tf.nest.map_structure(_describe, result))
        return [tensor for tensor in tf.nest.flatten(result) if tf.is_tensor(tensor)]

    fresh = private.first_call_state(layers.all_layers(model))
    try:
        concrete = tf.function(traced).get_concrete_function(spec)
    finally:
        private.forget_first_call(fresh)
    graph = concrete.graph
    captured = list(graph.captures)
    arguments = [graph.inputs[0].op.name, *(inner.op.name for _, inner in captured)]
    results = [tensor.name for tensor in graph.outputs]
    handles = {id(variable.handle): path for path, variable in layers.owners(model)}
    found_graph = read(graph.as_graph_def(), arguments, results, paths)
    watch.check(found_graph)
    return Trace(
        graph=found_graph,
        captured=tuple(wide(outer) for outer, _ in captured),
        owners={place: handles[id(outer)] for place, (outer, _) in enumerate(captured) if id(outer) in handles},
        structure=found[-1],
        warnings=tuple(warnings(found_graph)),
        size=math.prod(spec.shape[1:]) + _numbers(outer for outer, _ in captured),
    )


def _numbers(captured: Iterable[Any]) -> int:
    """Return how many numbers the captured variables hold."""
    handles = [tensor for tensor in captured if tensor.dtype == tf.resource]
    return sum(int(np.prod(tf.raw_ops.VariableShape(input=handle))) for handle in handles)


def _describe(value: Any) -> str:
    return "tensor" if tf.is_tensor(value) else type(value).__name__


def _refuse(_: Any, **__: Any) -> Any:
    raise ModelError(
        "the model creates its weights when it is called, and has none yet: call it once on an example before "
        "explaining it"
    )
