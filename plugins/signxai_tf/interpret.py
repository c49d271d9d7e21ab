"""Run a traced model operation by operation, and note what depends on the input.

Constants (weights, shapes, what is computed from them) are computed on the way. Calls are entered,
branches taken and loops unrolled by the numbers at hand, so that a recurrent network is a long list
of plain operations; TensorFlow's tensor lists are Python lists here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.errors import ModelError
from signxai_tf import assignments, channels_first, operations, rewriting
from signxai_tf.graph import Body, Graph, Node
from signxai_tf.layer_groups import Origin
from signxai_tf.layers import scope_path
from signxai_tf.values import FREE, TAINTED, TRACKED, NotCompilableError, Step, Value
from signxai_tf.vocabulary import ALIAS, CONSTANT, DETACHED
from signxai_tf.wide import wide

#: Types of what refers to a state.
_HANDLES = frozenset({tf.resource, tf.variant})


@attrs.define(eq=False)
class Interpreter:
    """One run, eager or inside a trace.

    Attributes
    ----------
    steps
        Operations that depend on the input, in order.
    running
        The operation that was run last, and the path of its layer.
    copies
        What the model assigned to variables, by the identities of their handles.
    """

    graph: Graph
    steps: list[Step] = attrs.field(factory=list, init=False)
    running: tuple[str, str] = attrs.field(default=("", ""), init=False)
    copies: dict[int, Value] = attrs.field(factory=dict, init=False)

    def run(self, x: Value, captured: Sequence[Value]) -> list[Value]:
        """Return the model's outputs."""
        return self._body(self.graph.main, [x, *captured], None)

    def _body(self, body: Body, arguments: Sequence[Value], origin: Origin | None) -> list[Value]:
        """Run a graph or function; ``origin`` is the layer that called it."""
        known: dict[tuple[str, int], Value] = {(n, 0): v for n, v in zip(body.arguments, arguments, strict=True)}
        for node in body.nodes:
            inputs = [known[reference] for reference in node.inputs]
            for number, value in enumerate(self._node(node, inputs, origin)):
                known[node.name, number] = value
        return [known[reference] for reference in body.results]

    def _node(self, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
        if node.constant is not None:
            return (Value(node.constant),)
        if node.op in ALIAS or _is_identity(node, inputs):
            return inputs
        where = origin if node.origin is None else node.origin
        if node.functions or node.op in self.graph.functions:
            return self._call(node, inputs, where)
        if node.op in _LISTS:
            return _LISTS[node.op](self, node, inputs, where)
        return self._single(node, inputs, self._origin(node, inputs, where))

    def _single(self, node: Node, inputs: list[Value], own: Origin) -> Sequence[Value]:
        """Run what is neither a function nor a list, in a form that all devices and rules know."""
        if assignments.concerns(self, node, inputs):
            return assignments.carry_out(self, node, inputs, own)
        if channels_first.applies(node.op, node.attributes):
            return channels_first.run(self.execute, node.op, node.attributes, inputs, own)
        rewritten = rewriting.run(self.execute, node.op, node.attributes, inputs, own)
        return self.execute(node.op, node.attributes, inputs, own) if rewritten is None else rewritten

    def _origin(self, node: Node, inputs: list[Value], origin: Origin | None) -> Origin:
        if origin is not None:
            return origin
        owner = next((value.owner for value in inputs if value.owner is not None), None)
        return Origin(scope_path(node.name) if owner is None else owner)

    def execute(self, op: str, attributes: Mapping[str, Any], inputs: list[Value], origin: Origin) -> tuple[Value, ...]:
        """Run one operation."""
        self.running = op, origin.path
        arguments = operations.arrange(op, attributes, inputs)
        with _settling(op, inputs):
            results = operations.flatten(operations.run(op, attributes, _arrays(arguments)))
        step = Step(op, attributes, arguments, origin=origin)
        state = FREE if op in CONSTANT else max((value.state for value in inputs), default=FREE)
        if state == FREE or op in CONSTANT:
            results = [_settled(wide(result)) for result in results]
            owner = next((value.owner for value in inputs if value.owner is not None), None)
            step.outputs = tuple(Value(r, FREE, step, i, owner) for i, r in enumerate(results))
            return step.outputs
        has_derivative = any(value.state == TRACKED for value in inputs) and op not in DETACHED
        step.outputs = tuple(
            Value(r, TRACKED if has_derivative and r.dtype.is_floating else TAINTED, step, i)
            for i, r in enumerate(results)
        )
        self.steps.append(step)
        return step.outputs

    def _call(self, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
        """Enter a function, take a branch, or run a loop."""
        names = {key: self._function(node, found[0]) for key, found in node.functions.items() if len(found) == 1}
        if node.op in self.graph.functions:
            return self._body(self.graph.functions[node.op], inputs, origin)
        if node.op in ("PartitionedCall", "StatefulPartitionedCall"):
            return self._body(names["f"], inputs, origin)
        if node.op in ("If", "StatelessIf"):
            branch = "then_branch" if bool(_number(inputs[0], node)) else "else_branch"
            return self._body(names[branch], inputs[1:], origin)
        if node.op in ("Case", "StatelessCase"):
            branches = node.functions["branches"]
            chosen = int(_number(inputs[0], node))
            chosen = chosen if 0 <= chosen < len(branches) else len(branches) - 1
            return self._body(self._function(node, branches[chosen]), inputs[1:], origin)
        if node.op in ("While", "StatelessWhile"):
            while bool(_number(self._body(names["cond"], inputs, origin)[0], node)):
                inputs = self._body(names["body"], inputs, origin)
            return inputs
        raise ModelError(f"the model runs {node.op!r} ({node.name}), which calls a function in a way not known here")

    def _function(self, node: Node, name: str) -> Body:
        if name not in self.graph.functions:
            raise ModelError(f"the function {name!r} that {node.op!r} ({node.name}) calls is not in the model's graph")
        return self.graph.functions[name]


@contextlib.contextmanager
def _settling(op: str, inputs: Sequence[Value]) -> Iterator[None]:
    """Run an operation where it belongs; what does not fit its numbers is not compiled."""
    try:
        with tf.init_scope() if _is_fixed(op, inputs) else contextlib.nullcontext():
            yield
    except (ValueError, TypeError, tf.errors.OpError) as error:  # what TensorFlow says of shapes and types
        if tf.executing_eagerly():
            raise
        raise NotCompilableError(f"{op}: {error}") from error


def _is_fixed(op: str, inputs: Sequence[Value]) -> bool:
    """Return whether a compiled run may hold an operation's result instead of the operation."""
    if tf.executing_eagerly() or operations.is_stateful(op):
        return False
    return not any(tf.is_symbolic_tensor(value.array) or value.array.dtype in _HANDLES for value in inputs)


def _settled(result: Any) -> Any:
    """Return a tensor's numbers where they follow from shapes, so that shapes can follow from them."""
    if not tf.is_symbolic_tensor(result) or result.dtype in _HANDLES:
        return result
    numbers = tf.get_static_value(result)
    if numbers is None:
        return result
    with tf.init_scope():
        return tf.constant(numbers, result.dtype)


def _arrays(arguments: Sequence[Any]) -> list[Any]:
    return [[v.array for v in item] if isinstance(item, tuple) else item.array for item in arguments]


def _number(value: Value, node: Node) -> Any:
    """Return a number that decides what is run; an eager run knows them all."""
    found = tf.get_static_value(value.array)
    if found is None:
        raise NotCompilableError(f"{node.op!r} ({node.name}) depends on numbers that are not known before it runs")
    return found


def _is_identity(node: Node, inputs: list[Value]) -> bool:
    """Return whether a cast, reshape or transposition changes nothing."""
    if node.op == "Cast":
        return bool(inputs[0].array.dtype == node.attributes["DstT"])
    if node.op == "Transpose":
        order = tf.get_static_value(inputs[1].array)
        return order is not None and list(order) == list(range(len(order)))
    return False


# --- tensor lists ----------------------------------------------------------------------------------


def _reserve(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    count = int(_number(inputs[1], node)) if node.op == "TensorListReserve" else 0
    return (Value([None] * max(count, 0)),)


def _unstack(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    tensor = inputs[0]
    count = tensor.array.shape[0]
    if count is None:
        raise NotCompilableError(f"{node.op!r} ({node.name}) makes a list of a length that is not known before it runs")
    options = {"num": count, "axis": 0}
    return (Value(list(run.execute("Unpack", options, [tensor], run._origin(node, inputs, origin)))),)  # noqa: SLF001


def _get_item(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    item = inputs[0].array[int(_number(inputs[1], node))]
    if item is not None:
        return (item,)
    return (Value(tf.zeros(_number(inputs[2], node), node.attributes["element_dtype"])),)


def _set_item(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    items, place = list(inputs[0].array), int(_number(inputs[1], node))
    items += [None] * (place + 1 - len(items))
    items[place] = inputs[2]
    return (Value(items),)


def _push(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    return (Value([*inputs[0].array, inputs[1]]),)


def _stack(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    items = inputs[0].array
    known = next((item for item in items if item is not None), None)
    if known is None:
        shape = [len(items), *_number(inputs[1], node)]
        return (Value(tf.zeros(shape, node.attributes["element_dtype"])),)
    values = [Value(tf.zeros_like(known.array)) if item is None else item for item in items]
    options = {"N": len(values), "axis": 0}
    return run.execute("Pack", options, values, run._origin(node, inputs, origin))  # noqa: SLF001


def _list_length(run: Interpreter, node: Node, inputs: list[Value], origin: Origin | None) -> Sequence[Value]:
    return (Value(tf.constant(len(inputs[0].array))),)


_LISTS: dict[str, Callable[[Interpreter, Node, list[Value], Origin | None], Sequence[Value]]] = {
    "TensorListReserve": _reserve,
    "EmptyTensorList": _reserve,
    "TensorListFromTensor": _unstack,
    "TensorListGetItem": _get_item,
    "TensorListSetItem": _set_item,
    "TensorListPushBack": _push,
    "TensorListStack": _stack,
    "TensorListLength": _list_length,
}
