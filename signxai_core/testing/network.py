"""A small network as data, without any framework: what the reference and every backend build from.

Examples
--------
>>> network = Network(
...     [Dense(name="hidden", weight=[[1, -1], [2, 1]], bias=[0, 1]),
...      Activation(name="relu", inputs="hidden"),
...      Dense(name="logits", inputs="relu", weight=[[1, 1]])],
...     input_shape=(2,),
... )
>>> network.shapes["relu"]
(2,)
>>> network.consumers("hidden")
('relu',)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs
import numpy as np

from signxai_core.testing.blocks import Attention, Norm, Recurrent
from signxai_core.testing.nodes import (
    ACTIVATIONS,
    PADDINGS,
    Activation,
    Array,
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Node,
    Scaling,
    Shape,
    type_of,
)
from signxai_core.testing.structure import (
    Add,
    AvgPool,
    Concat,
    Divide,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MatrixProduct,
    MaxPool,
    Multiply,
    Pad,
    Reshape,
    Softmax,
    Stack,
    Take,
)

INPUT: Final = "input"


def _nodes(value: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(value)


def _shape(value: tuple[int, ...]) -> Shape:
    shape = tuple(int(size) for size in value)
    if not shape or min(shape) < 1:
        raise ValueError(f"input_shape must be (channels, *spatial) without a batch axis, got {value}")
    return shape


@attrs.frozen(eq=False, repr=False)
class Network:
    r"""Nodes in topological order; the last one is the output.

    Parameters
    ----------
    nodes
        Every node but the last is used by a later one.
    input_shape
        Shape of one sample, channels first: (channels, \*spatial), or (features,).
    """

    nodes: tuple[Node, ...] = attrs.field(converter=_nodes)
    input_shape: Shape = attrs.field(converter=_shape)
    shapes: Mapping[str, Shape] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        _check_names(self.nodes)
        _check_layers(self.nodes)
        object.__setattr__(self, "shapes", MappingProxyType(_shapes(self.nodes, self.input_shape)))

    @property
    def output(self) -> str:
        """Name of the last node."""
        return self.nodes[-1].name

    @property
    def output_shape(self) -> Shape:
        """Shape of the last node's output."""
        return self.shapes[self.output]

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name!r}; nodes: {', '.join(node.name for node in self.nodes)}")

    def consumers(self, name: str) -> tuple[str, ...]:
        """Return the nodes that use an output, once per use."""
        return tuple(node.name for node in self.nodes for used in node.inputs if used == name)

    def without_head(self) -> Network:
        """Return the network without a final softmax or sigmoid, and what scales its output by a positive number.

        Reshaping behind it stays, so that a class keeps its number.
        """
        kept: list[Node] = []
        for place in range(len(self.nodes) - 1, 0, -1):
            node = self.nodes[place]
            if self.consumers(self.nodes[place - 1].name) != (node.name,) or len(node.inputs) != 1:
                break
            if isinstance(node, Softmax) or (isinstance(node, Activation) and node.of == "sigmoid"):
                before, rest = self.nodes[place - 1].name, kept[::-1]
                renamed = [attrs.evolve(one, inputs=(rest[i - 1].name if i else before,)) for i, one in enumerate(rest)]
                return Network((*self.nodes[:place], *renamed), self.input_shape).without_head()
            if isinstance(node, (Reshape, Flatten)):
                kept.append(node)
            elif not (isinstance(node, Dropout) or (isinstance(node, Scaling) and node.is_increasing)):
                break
        return self

    def __repr__(self) -> str:
        lines = [f"Network(input_shape={self.input_shape}"]
        lines += [f"  {node!r} -> {self.shapes[node.name]}" for node in self.nodes]
        return "\n".join([*lines, ")"])


def _check_names(nodes: tuple[Node, ...]) -> None:
    if not nodes:
        raise ValueError("a network needs at least one node")
    known = [INPUT]
    for node in nodes:
        if node.name in known:
            raise ValueError(f"two nodes are called {node.name!r}; names are unique and not {INPUT!r}")
        for used in node.inputs:
            if used not in known:
                raise ValueError(f"node {node.name!r} uses {used!r}, which is not before it; before it: {known}")
        known.append(node.name)
    used_names = {used for node in nodes for used in node.inputs}
    for node in nodes[:-1]:
        if node.name not in used_names:
            raise ValueError(f"node {node.name!r} is not the last one and nothing uses it")


def _check_layers(nodes: tuple[Node, ...]) -> None:
    first: dict[str, Node] = {}
    for node in nodes:
        other = first.setdefault(node.layer, node)
        if type_of(other) is not type_of(node):
            raise ValueError(f"nodes {other.name!r} and {node.name!r} share a layer but not a type")
        for name, value in node.own().items():
            if not np.array_equal(value, getattr(other, name)):
                raise ValueError(f"nodes {other.name!r} and {node.name!r} share a layer but not {name!r}")


def _shapes(nodes: tuple[Node, ...], input_shape: Shape) -> dict[str, Shape]:
    shapes = {INPUT: input_shape}
    for node in nodes:
        try:
            shapes[node.name] = node.output_shape([shapes[used] for used in node.inputs])
        except ValueError as error:  # noqa: PERF203 - a handful of nodes; the error names one
            raise ValueError(f"node {node.name!r} ({node.type}): {error}") from error
    return shapes


__all__ = [
    "ACTIVATIONS",
    "INPUT",
    "PADDINGS",
    "Activation",
    "Add",
    "Array",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Divide",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "MatrixProduct",
    "MaxPool",
    "Multiply",
    "Network",
    "Node",
    "Norm",
    "Pad",
    "Recurrent",
    "Reshape",
    "Scaling",
    "Shape",
    "Softmax",
    "Stack",
    "Take",
]
