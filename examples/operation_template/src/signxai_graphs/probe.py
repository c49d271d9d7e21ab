"""A network with a quantiser and a graph aggregation, and what its relevance has to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_RANDOM = np.random.default_rng(5)
#: Three nodes with two features; the graph is made of the input, too.
EMBED, GRAPH, HEAD = (_RANDOM.normal(size=size) for size in ((2, 4), (2, 3), (12, 3)))
STEPS = 4.0


def build(backend: str) -> tuple[Any, Array, str] | None:
    """Return model, input and method of a backend."""
    makers = {"torch": _torch, "tensorflow": _tensorflow}
    if backend not in makers:
        return None
    return makers[backend](), np.random.default_rng(1).normal(size=(2, 3, 2)), "lrp_graph_0_25"


def _torch() -> Any:
    import torch  # noqa: PLC0415 - only where it is asked for

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return torch.round(x * STEPS) / STEPS

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, weight in (("embed", EMBED), ("graph", GRAPH), ("head", HEAD)):
                layer = torch.nn.Linear(*weight.shape, bias=False, dtype=torch.float64)
                layer.weight.data = torch.tensor(weight.T)
                setattr(self, name, layer)

        def forward(self, x: Any) -> Any:
            nodes = StraightThrough.apply(self.embed(x))
            return self.head(torch.flatten(torch.matmul(self.graph(x), nodes), 1))

    return Net()


def _tensorflow() -> Any:
    import keras  # noqa: PLC0415 - as above
    import tensorflow as tf  # noqa: PLC0415 - as above

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def straight_through(x: Any) -> Any:
        return tf.round(x * STEPS) / STEPS, lambda gradient: gradient

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(dtype="float64")
            self.parts = [
                keras.layers.Dense(weight.shape[1], use_bias=False, name=name, dtype="float64")
                for name, weight in (("embed", EMBED), ("graph", GRAPH), ("head", HEAD))
            ]

        def call(self, x: Any) -> Any:
            embed, graph, head = self.parts
            nodes = straight_through(embed(x))
            return head(tf.reshape(tf.matmul(graph(x), nodes), [-1, HEAD.shape[0]]))

    model = Net()
    model(np.zeros((1, 3, 2)))
    for layer, weight in zip(model.parts, (EMBED, GRAPH, HEAD), strict=True):
        layer.set_weights([weight])
    return model


def relevance(x: Array, target: Array) -> Array:
    """Return the relevance of ``lrp_graph_0_25``, written out for this network."""
    found = np.zeros(x.shape)
    for number, sample in enumerate(x):
        hidden = sample @ EMBED
        nodes = np.round(hidden * STEPS) / STEPS
        graph = sample @ GRAPH
        mixed = graph @ nodes
        arrived = (mixed.ravel() * HEAD[:, target[number]]).reshape(mixed.shape)
        t = arrived / mixed
        of_graph, of_nodes = 0.25 * graph * (t @ nodes.T), 0.75 * nodes * (graph.T @ t)
        found[number] = sample * ((of_nodes / hidden) @ EMBED.T + (of_graph / graph) @ GRAPH.T)
    return found
