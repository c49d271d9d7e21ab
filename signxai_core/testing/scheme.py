"""Operations with several live operands: who is frozen, who shares, and what each gets.

Written from the definitions alone: ``R_k = w_k · a_k ⊙ J_kᵀ(R ⊘ N(y))``, ``Σ w_k = 1``, ``w_k = 0`` for
frozen operands; an elementwise product hands on ``w_k · R``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from signxai_core.specs.nonlinear import Shared
from signxai_core.testing.blocks import Norm, Shift
from signxai_core.testing.composed import forward, groups, jacobians, owners
from signxai_core.testing.network import INPUT, Network
from signxai_core.testing.nodes import Activation, Array, BatchNorm, Node, Scaling
from signxai_core.testing.structure import (
    Add,
    AvgPool,
    Concat,
    Divide,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MatrixProduct,
    Multiply,
    Reshape,
    Softmax,
    Stack,
    Take,
)

_MOVES = (Flatten, Reshape, Take, Stack, Concat, Dropout)
_KEEPS_GATES = (*_MOVES, Scaling, Shift, Add, Multiply, AvgPool, GlobalAvgPool)


def _node(network: Network, name: str) -> Node | None:
    return None if name == INPUT else network.node(name)


def functions_of_one_tensor(network: Network) -> Mapping[str, str]:
    """Return the sums, products and quotients that are elementwise functions of one tensor, and that tensor."""
    made_of: dict[str, list[str]] = {INPUT: [INPUT]}
    found = {}
    for node in network.nodes:
        made_of[node.name] = [node.name]
        if isinstance(node, (Activation, Dropout, Scaling, BatchNorm)):
            made_of[node.name] += made_of[node.inputs[0]]
        elif isinstance(node, (Add, Multiply, Divide)):
            common = [name for name in made_of[node.inputs[0]] if all(name in made_of[one] for one in node.inputs)]
            if common:
                found[node.name] = common[0]
                made_of[node.name] += made_of[common[0]]
    return found


def is_gate(network: Network, name: str) -> bool:
    """Return whether a tensor is made by sigmoid or softmax, and by nothing else than keeps it a gate."""
    node = _node(network, name)
    if isinstance(node, Activation):
        return node.of == "sigmoid"
    if isinstance(node, _KEEPS_GATES):
        return all(is_gate(network, used) for used in node.inputs)
    return isinstance(node, Softmax)


def is_activated(network: Network, name: str) -> bool:
    """Return whether a tensor is the output of an activation function."""
    node = _node(network, name)
    if isinstance(node, _MOVES) and not isinstance(node, (Concat, Stack)):
        return is_activated(network, node.inputs[0])
    return isinstance(node, Activation) or (node is not None and node.name in functions_of_one_tensor(network))


def _through(network: Network, name: str) -> str:
    """Return the tensor behind shape operations, dropout and constant scaling."""
    node = _node(network, name)
    moved = isinstance(node, (Flatten, Reshape, Take, Dropout))
    if node is not None and (moved or (isinstance(node, Scaling) and not node.shift.any())):
        return _through(network, node.inputs[0])
    return name


def _factor(network: Network, name: str, product: Node) -> Node | None:
    """Return the product that a tensor stands for, of the same kind as another."""
    node = _node(network, _through(network, name))
    return node if node is not None and node.kind == product.kind and _is_product(network, node) else None


def _is_product(network: Network, node: Node) -> bool:
    return isinstance(node, (Multiply, MatrixProduct)) and node.name not in functions_of_one_tensor(network)


def leaves(network: Network, name: str, product: Node) -> tuple[str, ...]:
    """Return the factors of a tensor that are no products of that kind themselves, once for every use."""
    inner = _factor(network, name, product)
    if inner is None:
        return (name,)
    return tuple(leaf for used in inner.inputs for leaf in leaves(network, used, inner))


def _whole(network: Network, node: Node) -> Node:
    """Return the largest product that a product is a factor of."""
    for other in network.nodes:
        if _is_product(network, other) and any(_factor(network, used, other) is node for used in other.inputs):
            return _whole(network, other)
    return node


def _frozen(every: frozenset[str], network: Network, node: Node, roles: frozenset[str]) -> frozenset[str]:
    """Return those leaves of a whole product that are constants; never all of them."""
    gates = frozenset(leaf for leaf in every if is_gate(network, leaf))
    frozen = gates if "gate" in roles else frozenset()
    activated = frozenset(leaf for leaf in every if is_activated(network, leaf))
    if "activated" in roles and isinstance(node, Multiply) and not gates and len(activated) == 1:
        frozen |= activated
    return frozenset() if frozen == every else frozen


def shares(network: Network, node: Node, rule: Shared) -> tuple[float, ...]:
    """Return the share of every operand of a product, a quotient or a normalisation.

    Every distinct live leaf of the whole product has the same share, which its uses divide equally.
    """
    if isinstance(node, Norm):
        return (1.0,)
    if isinstance(node, Divide):
        return (1.0, 0.0)
    whole = _whole(network, node)
    uses = Counter(leaf for used in whole.inputs for leaf in leaves(network, used, whole))
    frozen = _frozen(frozenset(uses), network, whole, rule.frozen)
    parts = [sum(1 / uses[leaf] for leaf in leaves(network, used, node) if leaf not in frozen) for used in node.inputs]
    return tuple(part / sum(parts) if sum(parts) else 0.0 for part in parts)


def _quotient(above: Array, y: Array, epsilon: float) -> Array:
    """Return R ⊘ N(y), with N(y) at least ``epsilon`` times the largest |y| of the sample."""
    smallest = epsilon * np.abs(y).max()
    found = np.zeros(y.size)
    for i, (relevance, value) in enumerate(zip(above.flat, y.flat, strict=True)):
        denominator = max(abs(value), smallest) * (1 if value >= 0 else -1)
        found[i] = relevance / denominator if denominator else 0.0
    return found


def by_shares(rule: Shared, node: Node, parts: Sequence[float], inputs: Sequence[Array], above: Array) -> Array:
    """Return the relevance of a node's inputs, one after the other; ``above`` is flat."""
    found = []
    if isinstance(node, (Multiply, Divide)):
        for part, x in zip(parts, inputs, strict=True):
            below = np.zeros(x.size)
            for i, owner in enumerate(owners(inputs[0].shape, x.size)):
                below[owner] += part * above[i]
            found.append(below)
        return np.concatenate(found)
    t = _quotient(above, forward(node, inputs), rule.epsilon)
    for part, x, jacobian in zip(parts, inputs, jacobians(node, inputs, frozen=True), strict=True):
        found.append(part * x.ravel() * (jacobian.T @ t))
    return np.concatenate(found)


def by_softmax(node: Softmax, x: Array, above: Array) -> Array:
    """Return x_i (R_i − s_i Σ_j R_j); ``above`` is flat."""
    s, below = forward(node, [x]).ravel(), np.zeros(x.size)
    for group in groups(node, x.shape):
        total = sum(float(above[j]) for j in group)
        for i in group:
            below[i] = x.flat[i] * (above[i] - s[i] * total)
    return below
