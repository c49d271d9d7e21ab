"""A class of rules, its propagator, and the composite that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from signxai_core.engine.local import Place
from signxai_core.specs import Composite, Convention, Entry, Where
from signxai_core.specs.nonlinear import Described, Shapes
from signxai_rules import composites, rules


@attrs.frozen(cache_hash=True)
class Aggregated:
    """``y = A · X``: the graph gets a share of the relevance, its nodes the rest.

    ``R_A = share · A ⊙ (R ⊘ y) Xᵀ``, ``R_X = (1 − share) · X ⊙ Aᵀ (R ⊘ y)``.
    """

    share: float = attrs.field(default=0.5, converter=float)

    @property
    def name(self) -> str:
        """Short text for tables."""
        return f"aggregated {self.share:g}"

    @property
    def conserves(self) -> bool:
        """The shares sum to 1."""
        return True

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return f"R_A = {self.share:g} · A ⊙ (R ⊘ y) Xᵀ, R_X = {1 - self.share:g} · X ⊙ Aᵀ (R ⊘ y)"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return why the rule cannot be applied to an operation, or nothing."""
        if operation.kind == "matrix_product":
            return ""
        return f"it is for the product of a graph and its nodes, and this one is of kind {operation.kind!r}"


def propagate(place: Place, rule: Aggregated) -> Sequence[Any]:
    """Return the relevance of graph and nodes."""
    graph, nodes = place.inputs
    t = place.backend.quotient(place.only, place.outputs[0], 0.0)
    of_graph, of_nodes = place.backend.vjp(place.operation, [t])
    return graph * of_graph * rule.share, nodes * of_nodes * (1 - rule.share)


def graph(*, share: float, convention: Convention) -> Composite:
    """The z rule, with a share for graphs; quantisers hand relevance on."""
    own = (
        Entry(Where(kinds=frozenset({"matrix_product"})), Aggregated(share)),
        Entry(Where(kinds=frozenset({"quantiser"})), rules.identity()),
    )
    return Composite((*own, *composites.z(convention=convention).entries))
