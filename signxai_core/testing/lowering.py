"""Attention and recurrent layers as the plain nodes that they are made of (docs/backends.md has the table).

Biases of a recurrent layer stand behind its products: ``a = W x`` and ``r = U h`` have none, and one
shift adds both.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from signxai_core.testing.blocks import Attention, Recurrent, Shift
from signxai_core.testing.network import Network
from signxai_core.testing.nodes import Activation, Array, Dense, Node, Scaling, Shape
from signxai_core.testing.structure import Add, Concat, Flatten, MatrixProduct, Multiply, Softmax, Stack, Take


class _Writer:
    """Collects nodes whose names begin with that of the node they stand for."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Node] = []

    def add(self, kind: type[Node], *inputs: str, layer: str | None = None, **own: Any) -> str:
        """Add a node and return its name; those of one ``layer`` share weights."""
        name = f"{self.prefix}_{len(self.nodes)}_{kind.type}"
        self.nodes.append(kind(name=name, inputs=inputs, layer=f"{self.prefix}_{layer}" if layer else name, **own))
        return name

    def part(self, of: str, index: int, size: int) -> str:
        """Return a part of the channels."""
        return self.add(Take, of, start=index * size, stop=(index + 1) * size)


def _attention(node: Attention, shape: Shape) -> list[Node]:
    write, width = _Writer(node.name), shape[0] // node.heads
    weights = (node.query, node.key, node.value)
    q, k, v = (
        write.add(Dense, *node.inputs, layer=f"in{i}", weight=weight, bias=bias)
        for i, (weight, bias) in enumerate(zip(weights, node.biases[:3], strict=True))
    )
    heads = []
    for head in range(node.heads):
        query = write.add(Scaling, write.part(q, head, width), scale=width**-0.5)
        scores = write.add(MatrixProduct, write.part(k, head, width), query, transposed=True)
        heads.append(write.add(MatrixProduct, write.part(v, head, width), write.add(Softmax, scores)))
    joined = write.add(Concat, *heads) if len(heads) > 1 else heads[0]
    write.add(Dense, joined, layer="out", weight=node.out, bias=node.biases[3])
    return write.nodes


class _Cell:
    """Writes the steps of a recurrent layer; the first state is 0, and the operations there are those of every step."""

    def __init__(self, node: Recurrent, channels: int) -> None:
        self.write = _Writer(node.name)
        self.node, self.size, self.channels = node, node.size, channels
        self.state = self.memory = ""

    def step(self, x: str) -> str:
        """Return the state behind a place."""
        add, node = self.write.add, self.node
        if not self.state:
            self.state = self.memory = add(Dense, x, layer="zero", weight=np.zeros((self.size, self.channels)))
        a = add(Dense, x, layer="x", weight=node.weight)
        r = add(Dense, self.state, layer="h", weight=node.recurrent)
        if node.cell == "gru":
            self.state = self.gru(a, r)
            return self.state
        total = self.shifted(add(Add, a, r), node.biases.sum(axis=0))
        self.state = self.lstm(total) if node.cell == "lstm" else add(Activation, total, of="tanh")
        return self.state

    def shifted(self, of: str, shift: Array) -> str:
        """Return constants added to a tensor."""
        return self.write.add(Shift, of, shift=shift)

    def gate(self, of: str, index: int) -> str:
        """Return the sigmoid of a part of the channels."""
        return self.write.add(Activation, self.write.part(of, index, self.size), of="sigmoid")

    def lstm(self, total: str) -> str:
        """Return the state of an LSTM."""
        add = self.write.add
        kept = add(Multiply, self.memory, self.gate(total, 1))
        candidate = add(Activation, self.write.part(total, 2, self.size), of="tanh")
        self.memory = add(Add, kept, add(Multiply, candidate, self.gate(total, 0)))
        return add(Multiply, add(Activation, self.memory, of="tanh"), self.gate(total, 3))

    def gru(self, a: str, r: str) -> str:
        """Return the state of a GRU whose reset gate stands behind the product."""
        add, size, (inner, outer) = self.write.add, self.size, self.node.biases
        both = [add(Take, name, start=0, stop=2 * size) for name in (a, r)]
        total = self.shifted(add(Add, *both), (inner + outer)[: 2 * size])
        recalled = self.shifted(self.write.part(r, 2, size), outer[2 * size :])
        gated = add(Multiply, recalled, self.gate(total, 0))
        whole = self.shifted(add(Add, self.write.part(a, 2, size), gated), inner[2 * size :])
        update = self.gate(total, 1)
        rest = add(Scaling, update, scale=-1.0, shift=1.0)
        new = add(Multiply, add(Activation, whole, of="tanh"), rest)
        return add(Add, new, add(Multiply, self.state, update))


def _recurrent(node: Recurrent, shape: Shape) -> list[Node]:
    cell, places = _Cell(node, shape[0]), range(shape[1])
    states = {}
    for place in reversed(places) if node.reverse else places:
        x = cell.write.add(Flatten, cell.write.add(Take, *node.inputs, axis=1, start=place, stop=place + 1))
        states[place] = cell.step(x)
    cell.write.add(Stack, *(states[place] for place in places))
    return cell.write.nodes


def _plain(node: Node, shape: Shape) -> list[Node]:
    """Return the nodes that stand for one; the last has its name."""
    if isinstance(node, Attention):
        nodes = _attention(node, shape)
    elif isinstance(node, Recurrent):
        nodes = _recurrent(node, shape)
    else:
        return [node]
    last = nodes[-1]
    layer = last.layer if last.layer != last.name else node.name
    return [*nodes[:-1], attrs.evolve(last, name=node.name, layer=layer)]


def lower(network: Network) -> Network:
    """Return a network of plain nodes that computes the same; every node but those inside keeps its name."""
    nodes: list[Node] = []
    for node in network.nodes:
        nodes += _plain(node, network.shapes[node.inputs[0]])
    return Network(nodes, network.input_shape) if len(nodes) > len(network.nodes) else network
