"""Factories of the words and the composite."""

from __future__ import annotations

from signxai_core.specs import WEIGHTED, Composite, Convention, Entry, Rule, Where
from signxai_example.rules import evidence
from signxai_rules import composites


def input_layer(*, convention: Convention) -> Rule:
    """Prefix ``lrpevidence``: equal parts at the input layer."""
    return evidence()


def everywhere(*, supporting: float = 0.5, convention: Convention) -> Composite:
    """Chain ``evidence_{supporting}``: the rule at every operation with weights.

    The first entry that matches an operation wins: ours, then what LRP does elsewhere.
    """
    rest = composites.z(convention=convention)
    ours = Entry(Where(kinds=WEIGHTED), evidence(supporting))
    return Composite((ours, *rest.entries), fold_normalisation=rest.fold_normalisation)
