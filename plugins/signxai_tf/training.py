"""Models that are called for training: what of it is refused, and what a model draws at inference."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import keras

from signxai_core.errors import UnsupportedOperationError
from signxai_tf import private
from signxai_tf.graph import Graph, Node
from signxai_tf.vocabulary import RANDOM

#: What batch-normalisation computes statistics by.
_STATISTICS = frozenset({"Mean", "SquaredDifference"})
_INFERENCE = "call the model for inference (training=False, which is Keras's default)"


@attrs.frozen(eq=False)
class Watch:
    """Names of the operations that were made for training, and of those among them that normalise batches."""

    training: set[str] = attrs.field(factory=set)
    normalising: set[str] = attrs.field(factory=set)

    def created(self, name: str) -> None:
        """Note an operation that has just been made."""
        if private.is_training():
            self.training.add(name)
            stack = private.running_layers()
            if stack and isinstance(stack[-1], keras.layers.BatchNormalization):
                self.normalising.add(name)

    def check(self, graph: Graph) -> None:
        """Refuse what gives another map in each call, or one that depends on the other samples.

        Raises
        ------
        UnsupportedOperationError
            With the layer.
        """
        for node in graph.main.nodes:
            if node.op in RANDOM and node.name in self.training:
                what = f"the model draws random numbers ({_where(node)}), because it is called for training"
                raise _refusal(f"{what}: each call would give another map", node)
            if node.name in self.normalising and (node.op in _STATISTICS or node.attributes.get("is_training")):
                what = f"batch-normalisation in {node.path or 'the model'!r} is called for training and uses"
                others = "statistics of the batch, so that a sample's map would depend on the other samples"
                raise _refusal(f"{what} {others}", node)


def _refusal(text: str, node: Node) -> UnsupportedOperationError:
    return UnsupportedOperationError(f"{text}; {_INFERENCE}", function=node.op, path=node.path or "")


def warnings(graph: Graph) -> Iterator[str]:
    """Yield what users should know about a model's graph."""
    nodes = (node for body in (graph.main, *graph.functions.values()) for node in body.nodes)
    for place in dict.fromkeys(_where(node) for node in nodes if node.op in RANDOM):
        yield f"the model draws random numbers ({place}): the map is that of one draw"
    for place in graph.custom_gradients:
        yield (
            f"a function in {place!r} has a gradient of its own (tf.custom_gradient), which is not followed: "
            "derivatives are those of the operations that it runs"
        )


def _where(node: Node) -> str:
    return f"{node.op} in {node.path!r}" if node.path else node.op
