"""Which rule goes to which operation of a network, and which nodes are folded into one operation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from signxai_core.errors import PlanError
from signxai_core.specs.cells import Mix
from signxai_core.specs.composites import Composite, Position
from signxai_core.specs.nonlinear import AnyRule, Exact, Pass, Shared
from signxai_core.specs.rules import FunctionRule, LinearRule, Rule
from signxai_core.testing.blocks import Norm
from signxai_core.testing.linear import Indices, Linear, affine, index_map, linear
from signxai_core.testing.network import INPUT, Network
from signxai_core.testing.nodes import BatchNorm, Conv, ConvTranspose, Dense, Node, Scaling, Shape
from signxai_core.testing.scheme import functions_of_one_tensor, shares
from signxai_core.testing.structure import Concat, Dropout, Flatten, Pad, Reshape, Stack, Take

_WITH_WEIGHTS = (Dense, Conv, ConvTranspose)
_AFFINE = (Scaling, BatchNorm, Norm)
#: What may lie between the input and a first linear operation.
_TRANSPARENT = (Flatten, Reshape, Take, Stack, Concat, Dropout, Pad, Scaling, BatchNorm, Norm)


@attrs.frozen(eq=False)
class Operation:
    """One or several nodes that a rule sees as one operation.

    Parameters
    ----------
    node
        The node that gives kind, path and rule.
    inputs, output
        Names of the tensors it reads, and of the tensor it writes.
    rule
        Of the composite, or of the input layer.
    linear
        The operation as a matrix, if it is linear.
    positions
        ``first``, ``last``, both or none.
    source
        Where every value of its input is in the network's input (−1: a zero), if shape operations,
        batch-normalisation and scaling alone lie in between.
    shares
        Of its inputs, where several are live (:mod:`signxai_core.testing.scheme`).
    """

    node: Node
    inputs: tuple[str, ...]
    output: str
    rule: AnyRule
    linear: Linear | None
    positions: frozenset[Position]
    source: Indices | None
    shares: tuple[float, ...] = ()


@attrs.frozen(eq=False)
class Planned:
    """A network and its operations in topological order."""

    network: Network
    operations: tuple[Operation, ...]


def _first(network: Network) -> frozenset[str]:
    reached = {INPUT}
    first = set()
    for node in network.nodes:
        if reached.intersection(node.inputs):
            if isinstance(node, _WITH_WEIGHTS):
                first.add(node.name)
            elif isinstance(node, _TRANSPARENT):
                reached.add(node.name)
    return frozenset(first)


def _last(network: Network) -> frozenset[str]:
    before: set[str] = set()
    last = set()
    for node in reversed(network.nodes):
        weighted = isinstance(node, _WITH_WEIGHTS)
        if weighted and node.name not in before:
            last.add(node.name)
        if weighted or node.name in before:
            before.update(node.inputs)
    return frozenset(last)


def _sources(network: Network) -> Mapping[str, Indices]:
    sources = {INPUT: np.arange(math.prod(network.input_shape))}
    for node in network.nodes:
        index = index_map(node, [network.shapes[name] for name in node.inputs])
        if isinstance(node, (BatchNorm, Scaling)):  # every value stays where it is
            index = np.arange(math.prod(network.shapes[node.name]))
        if index is not None and all(name in sources for name in node.inputs):
            below = np.concatenate([sources[name] for name in node.inputs])
            sources[node.name] = np.where(index >= 0, below[index], -1)
    return sources


def _on_the_way(network: Network) -> frozenset[str]:
    """Return the normalisations and scalings between the input and the first linear operations."""
    reached = {INPUT}
    for node in network.nodes:
        if reached.intersection(node.inputs) and isinstance(node, _TRANSPARENT):
            reached.add(node.name)
    return frozenset(node.name for node in network.nodes if node.name in reached and isinstance(node, _AFFINE))


def _asks_for_its_input(rule: AnyRule) -> bool:
    """Return whether a rule is more than a share of contributions, so that its input is not to be scaled before."""
    if not isinstance(rule, Rule):
        return False
    keep = Mix(1, 1)
    kept = all(term.x == keep and term.weight == keep for share in rule.shares for term in share.terms)
    return rule.times is not None or not kept


def _rule(node: Node, composite: Composite, positions: frozenset[Position], *, pointwise: bool = False) -> AnyRule:
    kind = "activation" if pointwise else node.kind
    for entry in composite.entries:
        if entry.where.matches(kind=kind, function=node.function, positions=positions, path=node.layer):
            return entry.rule
    if node.kind in ("shape", "max_pooling", "dropout"):
        return Exact()
    raise PlanError(f"the composite has no rule for {node!r} (kind {node.kind!r}); add an entry for that kind")


def _after(network: Network, node: Node, taken: frozenset[str]) -> list[Node]:
    """Return the batch-normalisations and scalings behind a node that is theirs alone, past dropout."""
    chain: list[Node] = []
    while True:
        consumers = network.consumers(chain[-1].name if chain else node.name)
        following = network.node(consumers[0]) if len(consumers) == 1 else None
        if not isinstance(following, (BatchNorm, Scaling, Dropout)) or following.name in taken:
            break
        chain.append(following)
    while chain and isinstance(chain[-1], Dropout):
        chain.pop()
    return chain


def _before(network: Network, node: Node, taken: frozenset[str]) -> list[Node]:
    """Return the batch-normalisations, scalings and zero paddings before a node, past dropout."""
    chain: list[Node] = []
    while True:
        name = (chain[0] if chain else node).inputs[0]
        before = network.node(name) if name != INPUT else None
        alone = len(network.consumers(name)) == 1
        if not isinstance(before, (BatchNorm, Scaling, Pad, Dropout)) or before.name in taken or not alone:
            break
        chain.insert(0, before)
    while chain and isinstance(chain[0], Dropout):
        chain.pop(0)
    return chain


@attrs.frozen(eq=False)
class _Folded:
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()


def _padding(network: Network, node: Node) -> _Folded:
    """Return the zero padding directly in front of a node, which belongs to it in every convention."""
    chain: list[Node] = []
    for before in reversed(_before(network, node, frozenset())):
        if not isinstance(before, Pad):
            break
        chain.insert(0, before)
    return _Folded(before=tuple(chain))


def _with_chain(operation: Linear, chain: Sequence[Node], shape: Shape) -> Linear:
    """Return the operation on the input of the chain, as one operation."""
    index = np.arange(math.prod(shape))
    scale, shift = np.ones(index.size), np.zeros(index.size)
    current = shape
    for node in chain:
        if isinstance(node, (BatchNorm, Scaling)):
            factor, addend = affine(node, current)
            scale, shift = factor * scale, factor * shift + addend
        else:
            taken = index_map(node, [current])
            assert taken is not None
            inside = taken >= 0
            index = np.where(inside, index[taken], -1)
            scale, shift = np.where(inside, scale[taken], 1.0), np.where(inside, shift[taken], 0.0)
        current = node.output_shape([current])
    return operation.preceded_by(index, scale, shift, shape)


def _folds(network: Network, folding: Sequence[Node], taken: frozenset[str]) -> Mapping[str, _Folded]:
    """Return what is folded into which node, save ``taken``; an operation behind has precedence over one before."""
    behind: dict[str, list[Node]] = {}
    for node in folding:
        behind[node.name] = _after(network, node, taken)
        taken |= {member.name for member in behind[node.name]}
    folds = {}
    for node in folding:
        before = _before(network, node, taken)
        taken |= {member.name for member in before}
        folds[node.name] = _Folded(before=tuple(before), after=tuple(behind[node.name]))
    return folds


def _operation(network: Network, node: Node, fold: _Folded) -> tuple[tuple[str, ...], str, Linear | None]:
    inputs, output = node.inputs, node.name
    operation = linear(node, [network.shapes[name] for name in inputs])
    if operation is not None and fold.before:
        inputs = fold.before[0].inputs
        operation = _with_chain(operation, fold.before, network.shapes[inputs[0]])
    if operation is not None and fold.after:
        output = fold.after[-1].name
        for member in (one for one in fold.after if isinstance(one, (BatchNorm, Scaling))):
            operation = operation.followed_by(*affine(member, network.shapes[member.name]))
    return inputs, output, operation


def _passed(
    network: Network,
    composite: Composite,
    positions: Mapping[str, frozenset[Position]],
    input_layer: LinearRule | None,
) -> frozenset[str]:
    """Return what hands relevance on unchanged, in front of first operations whose rule is about their own input."""
    positional = Composite(tuple(entry for entry in composite.entries if entry.where.position == "first"))
    for node in network.nodes:
        if "first" not in positions[node.name]:
            continue
        own = input_layer
        if own is None and _rule(node, composite, positions[node.name]) in [e.rule for e in positional.entries]:
            own = _rule(node, composite, positions[node.name])  # type: ignore[assignment]
        if own is not None and _asks_for_its_input(own):
            return _on_the_way(network)
    return frozenset()


def plan(network: Network, composite: Composite, input_layer: LinearRule | None = None) -> Planned:
    """Return the operations of a network with their rules.

    Raises
    ------
    PlanError
        There is a rule for first operations and none is first, or an operation has no rule.
    """
    first, last = _first(network), _last(network)
    positional = input_layer is not None or any(e.where.position == "first" for e in composite.entries)
    if positional and not first:
        raise PlanError(
            "the method has a rule for the input layer, but no linear operation is reached from the input "
            f"through shape operations, zero padding and constant scaling only:\n{network!r}"
        )
    positions: dict[str, frozenset[Position]] = {}
    for node in network.nodes:
        named: list[tuple[Position, frozenset[str]]] = [("first", first), ("last", last)]
        positions[node.name] = frozenset(position for position, names in named if node.name in names)
    weighted = [node for node in network.nodes if isinstance(node, _WITH_WEIGHTS)]
    rules = {node.name: _rule(node, composite, positions[node.name]) for node in weighted}
    if input_layer is not None:
        rules.update(dict.fromkeys(first, input_layer))
    folding = [node for node in weighted if isinstance(rules[node.name], (Rule, FunctionRule))]
    passed = _passed(network, composite, positions, input_layer)
    whole = composite.fold_normalisation
    folds = _folds(network, folding, passed) if whole else {node.name: _padding(network, node) for node in folding}
    inside = {member.name for fold in folds.values() for member in (*fold.before, *fold.after)}
    sources, pointwise = _sources(network), functions_of_one_tensor(network)
    operations = []
    for node in network.nodes:
        if node.name in inside:
            continue
        rule = rules[node.name] if node.name in rules else _rule(node, composite, positions[node.name])
        inputs, output, operation = _operation(network, node, folds.get(node.name, _Folded()))
        if node.name in passed:
            rule = Pass()
        elif node.name in pointwise:
            rule = _rule(node, composite, positions[node.name], pointwise=True)
            inputs = node.inputs if isinstance(rule, Exact) else (pointwise[node.name],)
        source = sources.get(inputs[0]) if len(inputs) == 1 else None
        parts = shares(network, node, rule) if isinstance(rule, Shared) else ()
        operations.append(Operation(node, inputs, output, rule, operation, positions[node.name], source, parts))
    return Planned(network, tuple(operations))
