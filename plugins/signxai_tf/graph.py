"""A traced model as data: nodes in the order in which they run, function bodies included."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from signxai_tf import private
from signxai_tf.dropout import without_dropout
from signxai_tf.layer_groups import Origin
from signxai_tf.operations import plain_attributes, signature
from signxai_tf.vocabulary import ASSIGNMENTS, RANDOM
from signxai_tf.wide import is_narrow, wide, widened

Reference = tuple[str, int]


@attrs.frozen(eq=False)
class Node:
    """An operation of a graph.

    Parameters
    ----------
    name, op
        Its name in the graph, and that of the operation.
    inputs
        Node and output number of every tensor that goes in.
    attributes
        As Python values.
    functions
        Names of the functions among the attributes.
    origin
        Path and group of the layer that made it; ``None`` where that is not known.
    constant
        Its value, for constants.
    """

    name: str
    op: str
    inputs: tuple[Reference, ...]
    attributes: Mapping[str, Any]
    functions: Mapping[str, tuple[str, ...]]
    origin: Origin | None = None
    constant: Any = None

    @property
    def path(self) -> str | None:
        """Path of the layer that made it; ``None`` where that is not known."""
        return None if self.origin is None else self.origin.path


@attrs.frozen(eq=False)
class Body:
    """A graph or function: what goes in, what runs, what comes out."""

    arguments: tuple[str, ...]
    nodes: tuple[Node, ...]
    results: tuple[Reference, ...]


@attrs.frozen(eq=False, slots=False)
class Graph:
    """A model's body and the functions that it calls.

    Parameters
    ----------
    main, functions
        Without dropout.
    is_random
        Whether the model draws random numbers, for dropout too.
    is_narrow
        Whether the model computes in a half type; the graph does so in float32.
    custom_gradients
        Layers, or else name scopes, of functions that have a gradient of their own.
    """

    main: Body
    functions: Mapping[str, Body]
    is_random: bool = False
    is_narrow: bool = False
    custom_gradients: tuple[str, ...] = ()

    @functools.cached_property
    def operations(self) -> frozenset[str]:
        """Names of all operations that may run."""
        bodies = (self.main, *self.functions.values())
        return frozenset(node.op for body in bodies for node in body.nodes)

    @property
    def assigns(self) -> bool:
        """Whether it assigns to variables."""
        return not self.operations.isdisjoint(ASSIGNMENTS)


def read(definition: Any, arguments: Iterable[str], results: Iterable[str], places: Mapping[str, Origin]) -> Graph:
    """Return a graph from its protocol buffer.

    Parameters
    ----------
    definition
        ``GraphDef`` with the library of its functions.
    arguments
        Names of the nodes that stand for what goes in.
    results
        Names of tensors that come out (``"node:0"``).
    places
        Layer of each node, where it is known.
    """
    functions = {}
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    is_random = any(node.op in RANDOM for node in nodes)
    changing = _changing(definition.library.function)
    for function in definition.library.function:
        names = tuple(argument.name for argument in function.signature.input_arg)
        wanted = [function.ret[result.name] for result in function.signature.output_arg]
        functions[function.signature.name] = _body(function.node_def, names, wanted, {}, changing)
    main = _body(definition.node, tuple(arguments), list(results), places, changing)
    own = [node.name for node in nodes if "_gradient_op_type" in node.attr and node.op == "IdentityN"]
    where = tuple(dict.fromkeys(_place(places.get(name), name) for name in own))
    return Graph(main, functions, is_random, any(map(is_narrow, nodes)), where)


def _place(origin: Origin | None, name: str) -> str:
    """Return the layer that made a node, or else its name scope."""
    return getattr(origin, "path", "") or name.rpartition("/")[0] or name


def _changing(functions: Iterable[Any]) -> frozenset[str]:
    """Return the names of functions that assign to variables, or call such functions."""
    bodies = {function.signature.name: function.node_def for function in functions}
    found: frozenset[str] = frozenset()
    while True:
        more = frozenset(name for name, nodes in bodies.items() if any(_changes(node, found) for node in nodes))
        if more == found:
            return found
        found = more


def _changes(node: Any, changing: frozenset[str]) -> bool:
    """Return whether a node assigns to a variable."""
    if node.op in ASSIGNMENTS or node.op in changing:
        return True
    return any(not changing.isdisjoint(_functions(value)) for value in node.attr.values())


def _body(
    definitions: Iterable[Any],
    arguments: tuple[str, ...],
    results: list[str],
    places: Mapping[str, Origin],
    changing: frozenset[str],
) -> Body:
    by_name = {definition.name: definition for definition in definitions}
    without_dropout(by_name)
    references = tuple(_reference(by_name, result, arguments) for result in results)
    effects = [name for name, node in by_name.items() if _changes(node, changing)]
    needed = _in_order(by_name, arguments, [name for name, _ in references], effects)
    return Body(arguments, tuple(_node(by_name, name, arguments, places) for name in needed), references)


def _in_order(
    by_name: Mapping[str, Any], arguments: tuple[str, ...], wanted: list[str], effects: list[str]
) -> list[str]:
    """Return the nodes that ``wanted`` and ``effects`` depend on: inputs first, else as the model made them.

    Where variables are assigned to, what TensorFlow orders by control dependencies keeps that order.
    """
    needed = frozenset(_inputs_first(by_name, arguments, [*wanted, *effects]))
    order = _inputs_first(by_name, arguments, [name for name in by_name if name in needed], control=bool(effects))
    return [name for name in order if name in needed]


def _inputs_first(
    by_name: Mapping[str, Any], arguments: tuple[str, ...], wanted: list[str], *, control: bool = False
) -> list[str]:
    """Return ``wanted`` in its order, before each node what it depends on, through tensors or also in time."""
    order: dict[str, None] = {}
    stack = [(name, False) for name in reversed(wanted)]
    while stack:
        name, ready = stack.pop()
        if name in order or name in arguments:
            continue
        if ready:
            order[name] = None
            continue
        stack.append((name, True))
        inputs = [text for text in by_name[name].input if control or not text.startswith("^")]
        stack += [(text.removeprefix("^").partition(":")[0], False) for text in inputs]
    return list(order)


def _reference(by_name: Mapping[str, Any], text: str, arguments: tuple[str, ...]) -> Reference:
    """Read ``"node"``, ``"node:1"`` (graphs) or ``"node:output:1"`` (functions)."""
    parts = text.split(":")
    name = parts[0]
    if len(parts) < 3 or name in arguments:
        return name, int(parts[-1]) if len(parts) > 1 else 0
    definition = by_name[name]
    place = int(parts[2])
    for output, length in signature(definition.op).outputs:
        if output == parts[1]:
            break
        place += _length(definition, length)
    return name, place


def _length(definition: Any, attribute: str) -> int:
    if not attribute:
        return 1
    value = definition.attr[attribute]
    return value.i if value.WhichOneof("value") == "i" else len(value.list.type)


def _node(by_name: Mapping[str, Any], name: str, arguments: tuple[str, ...], places: Mapping[str, Origin]) -> Node:
    definition = by_name[name]
    constant = wide(private.make_tensor(definition.attr["value"].tensor)) if definition.op == "Const" else None
    functions = {key: _functions(value) for key, value in definition.attr.items() if _functions(value)}
    return Node(
        name=name,
        op=definition.op,
        inputs=tuple(_reference(by_name, text, arguments) for text in definition.input if not text.startswith("^")),
        attributes=widened(definition.op, plain_attributes(definition.attr)) if constant is None else {},
        functions=functions,
        origin=places.get(name),
        constant=constant,
    )


def _functions(value: Any) -> tuple[str, ...]:
    field = value.WhichOneof("value")
    if field == "func":
        return (value.func.name,)
    return tuple(item.name for item in value.list.func) if field == "list" else ()
