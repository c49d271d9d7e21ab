"""A quantiser and a graph aggregation: operations and rules that signxai-core does not have."""

from collections.abc import Iterable

from signxai_core.registry import CompositeEntry, ProbeEntry, RuleClass, RuleEntry, Word, hookimpl
from signxai_core.specs import KindRow, Reading

_REFERENCE = "the operation template"


@hookimpl
def signxai_operations() -> Iterable[KindRow]:
    """A function of each number, flat nearly everywhere, that is trained as if it were the identity."""
    return [KindRow(name="quantiser", meaning="rounding to a grid, with the derivative 1", elementwise=True)]


@hookimpl
def signxai_readings() -> Iterable[Reading]:
    """What the frameworks call it."""
    return [
        Reading(backend="torch", function="StraightThrough", kind="quantiser", neutral="quantise"),
        Reading(backend="tensorflow", function="Round", kind="quantiser", neutral="quantise"),
    ]


@hookimpl
def signxai_rule_classes() -> Iterable[RuleClass]:
    """Rules for ``A · X`` with a graph ``A`` that depends on the input."""
    return [
        RuleClass(
            name="aggregated", rule="signxai_graphs.rules:Aggregated", propagator="signxai_graphs.rules:propagate"
        )
    ]


@hookimpl
def signxai_rules() -> Iterable[RuleEntry]:
    """The rule by name."""
    factory = "signxai_graphs.rules:Aggregated"
    return [RuleEntry(name="aggregated", factory=factory, reference=_REFERENCE, example={"share": 0.25})]


@hookimpl
def signxai_composites() -> Iterable[CompositeEntry]:
    """The composite of the word ``graph_{share}``."""
    return [CompositeEntry(name="graph", factory="signxai_graphs.rules:graph", reference=_REFERENCE)]


@hookimpl
def signxai_words() -> Iterable[Word]:
    """``lrp_graph_0_25``: a quarter of the relevance for the graph."""
    return [Word(text="graph_{share}", role="chain", factory="signxai_graphs.rules:graph", reference=_REFERENCE)]


@hookimpl
def signxai_probes() -> Iterable[ProbeEntry]:
    """A network with both operations, and its relevance by hand."""
    return [ProbeEntry(name="graph", build="signxai_graphs.probe:build", oracle="signxai_graphs.probe:relevance")]
