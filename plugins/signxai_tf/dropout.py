"""Dropout that a model asks for in its call, at inference: it does nothing.

TensorFlow runs it as a choice: x times a constant where a random number is not below the rate, else 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from signxai_tf import private
from signxai_tf.vocabulary import RANDOM

#: What turns random numbers from 0 to 1 into others.
_SCALED = frozenset({"AddV2", "Add", "Mul", "Sub"})


def without_dropout(nodes: Mapping[str, Any]) -> None:
    """Make each dropout in a graph of our own an identity.

    Parameters
    ----------
    nodes
        Definitions by name, which are changed.
    """
    for node in nodes.values():
        kept = _kept(nodes, node) if node.op in ("SelectV2", "Select") else None
        if kept is not None:
            node.op = "Identity"
            del node.input[:]
            node.input.append(kept)


def _kept(nodes: Mapping[str, Any], node: Any) -> str | None:
    """Return what a dropout keeps or drops, if a choice is one."""
    condition, scaled, zero = (_source(nodes, node, place) for place in range(3))
    if condition is None or scaled is None or condition.op != "GreaterEqual" or scaled.op != "Mul":
        return None
    rate, factor = _number(_source(nodes, condition, 1)), _number(_source(nodes, scaled, 1))
    if rate is None or factor is None or _number(zero) != 0 or not _is_random(nodes, condition):
        return None
    return str(scaled.input[0]) if math.isclose(factor * (1 - rate), 1, rel_tol=2e-3) else None


def _source(nodes: Mapping[str, Any], node: Any, place: int) -> Any:
    """Return the node that computes an input; ``None`` for the graph's own inputs."""
    return nodes.get(node.input[place].partition(":")[0])


def _number(node: Any) -> float | None:
    """Return a constant, if it is one number."""
    if node is None or node.op != "Const":
        return None
    value = private.make_tensor(node.attr["value"].tensor)
    return float(value) if value.shape.rank == 0 else None


def _is_random(nodes: Mapping[str, Any], node: Any) -> bool:
    """Return whether the first argument of a comparison is a random number, scaled or not."""
    while node is not None and (node.op in _SCALED or node.op == "GreaterEqual"):
        node = _source(nodes, node, 0)
    return node is not None and node.op in RANDOM
