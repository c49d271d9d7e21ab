"""Assignments to variables, carried out on copies: what is read afterwards is what was assigned.

The user's variables stay as they are. A copy depends on the input as what was assigned to it does, so that
relevance goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf

from signxai_core.errors import ModelError
from signxai_tf.graph import Node
from signxai_tf.layer_groups import Origin
from signxai_tf.values import Value
from signxai_tf.vocabulary import ASSIGNMENTS


class Runner(Protocol):
    """What carries out operations; the copies of variables by the identities of their handles."""

    copies: dict[int, Value]

    def execute(self, op: str, attributes: Mapping[str, Any], inputs: list[Value], origin: Origin) -> tuple[Value, ...]:
        """Run one operation."""


def concerns(run: Runner, node: Node, inputs: Sequence[Value]) -> bool:
    """Return whether an operation assigns to a variable, or uses one that was assigned to."""
    if node.op in ASSIGNMENTS:
        return True
    return bool(run.copies) and any(id(value.array) in run.copies for value in inputs)


def carry_out(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    """Run an operation on copies of variables.

    Raises
    ------
    ModelError
        For operations that are not known to read or to assign in a way that can be copied.
    """
    if node.op in _MEANING:
        return _MEANING[node.op](run, node, inputs, origin)
    where = f" in {origin.path!r}" if origin.path else ""
    raise ModelError(
        f"the model runs {node.op!r}{where} on a variable that it assigns to: that cannot be done on a copy and "
        "would change the model; assign before or after explaining, outside of the model's call"
    )


def _now(run: Runner, handle: Value, dtype: Any, origin: Origin) -> Value:
    """Return what a variable holds by now."""
    copy = run.copies.get(id(handle.array))
    if copy is not None:
        return copy
    (value,) = run.execute("ReadVariableOp", {"dtype": dtype}, [handle], origin)
    return value


def _keep(run: Runner, handle: Value, value: Value) -> tuple[()]:
    run.copies[id(handle.array)] = value
    return ()


def _read(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    return (run.copies[id(inputs[0].array)],)


def _assign(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    return _keep(run, inputs[0], inputs[1])


def _by(op: str) -> Callable[..., Sequence[Value]]:
    """Return what changes a variable by a number or array."""

    def change(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
        dtype = node.attributes["dtype"]
        (changed,) = run.execute(op, {"T": dtype}, [_now(run, inputs[0], dtype, origin), inputs[1]], origin)
        return _keep(run, inputs[0], changed)

    return change


def _at(op: str, *, rows: bool) -> Callable[..., Sequence[Value]]:
    """Return what changes some places of a variable; ``rows``: they are numbers of rows."""

    def change(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
        handle, places, updates = inputs
        dtype = updates.array.dtype
        if rows:
            last = Value(tf.constant(-1))
            (places,) = run.execute("ExpandDims", {"T": places.array.dtype}, [places, last], origin)
        options = {"T": dtype, "Tindices": places.array.dtype}
        (changed,) = run.execute(op, options, [_now(run, handle, dtype, origin), places, updates], origin)
        return _keep(run, handle, changed)

    return change


def _slice(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    handle, begin, end, strides, value = inputs
    dtype = value.array.dtype
    options = {name: given for name, given in node.attributes.items() if "mask" in name}
    options |= {"T": dtype, "Index": begin.array.dtype}
    given = [_now(run, handle, dtype, origin), begin, end, strides, value]
    (changed,) = run.execute("TensorStridedSliceUpdate", options, given, origin)
    return _keep(run, handle, changed)


def _gather(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    params, indices = run.copies[id(inputs[0].array)], inputs[1]
    options = {"batch_dims": node.attributes.get("batch_dims", 0)}
    return run.execute("GatherV2", options, [params, indices, Value(tf.constant(0))], origin)


def _gather_places(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    return run.execute("GatherNd", {}, [run.copies[id(inputs[0].array)], inputs[1]], origin)


def _shape(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    options = {"out_type": node.attributes["out_type"]}
    return run.execute("Shape", options, [run.copies[id(inputs[0].array)]], origin)


def _is_there(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    return (Value(tf.constant(True)),)


def _random(run: Runner, node: Node, inputs: list[Value], origin: Origin) -> Sequence[Value]:
    """Return a generator's state, and count on as many blocks of 256 numbers as will be drawn."""
    handle, _, count = inputs
    state = _now(run, handle, tf.int64, origin)
    step = 256 * tf.cast(count.array, tf.int64)
    _keep(run, handle, Value(state.array + tf.concat([step[None], tf.zeros_like(state.array[1:])], 0)))
    return (state,)


_MEANING: dict[str, Callable[[Runner, Node, list[Value], Origin], Sequence[Value]]] = {
    "ReadVariableOp": _read,
    "ResourceGather": _gather,
    "ResourceGatherNd": _gather_places,
    "VariableShape": _shape,
    "VarIsInitializedOp": _is_there,
    "AssignVariableOp": _assign,
    "AssignAddVariableOp": _by("AddV2"),
    "AssignSubVariableOp": _by("Sub"),
    "ResourceStridedSliceAssign": _slice,
    "RngReadAndSkip": _random,
    "ResourceScatterUpdate": _at("TensorScatterUpdate", rows=True),
    "ResourceScatterAdd": _at("TensorScatterAdd", rows=True),
    "ResourceScatterSub": _at("TensorScatterSub", rows=True),
    "ResourceScatterMin": _at("TensorScatterMin", rows=True),
    "ResourceScatterMax": _at("TensorScatterMax", rows=True),
    "ResourceScatterNdUpdate": _at("TensorScatterUpdate", rows=False),
    "ResourceScatterNdAdd": _at("TensorScatterAdd", rows=False),
    "ResourceScatterNdSub": _at("TensorScatterSub", rows=False),
    "ResourceScatterNdMin": _at("TensorScatterMin", rows=False),
    "ResourceScatterNdMax": _at("TensorScatterMax", rows=False),
}
