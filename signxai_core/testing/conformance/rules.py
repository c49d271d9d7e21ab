"""Every registered rule at every probe, compared with the reference."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import attrs
import numpy as np

from signxai_core.errors import PlanError, SignxaiError
from signxai_core.registry import registry
from signxai_core.specs.cells import KEEP, Mix
from signxai_core.specs.composites import Composite, Entry, Where
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.nonlinear import AnyRule, Exact, NormalisationRule, Pass, Shared, SoftmaxRule, Stop
from signxai_core.specs.operations import KINDS, UNWEIGHTED, WEIGHTED, Kind
from signxai_core.specs.rules import FunctionRule, Rule, Share, Stabiliser, Term
from signxai_core.testing.conformance.probes import PROBE, Probe
from signxai_core.testing.conformance.recording import OPTIONAL
from signxai_core.testing.conformance.subject import DisagreementError, Subject, same
from signxai_core.testing.nodes import Array
from signxai_core.testing.reference import explain

#: Relative to the largest relevance. Both sides sum at most a few hundred products in float64, in
#: another order (1e-14), and the probes' denominators stay above 1e-3 of the largest; what is left
#: is headroom for the frameworks' own order of summation. A wrong formula is off by far more.
TOLERANCE: Final = 1e-9

#: Classes of rules that the reference computes.
_CLASSES: Final = (Rule, FunctionRule, Exact, NormalisationRule, Pass, Shared, SoftmaxRule, Stop)
_PLAIN: Final = (Share((Term(KEEP, KEEP, KEEP),)),)
_AROUND: Final = (
    Entry(Where(kinds=WEIGHTED), Rule(_PLAIN, Stabiliser(0.25))),
    Entry(Where(kinds=UNWEIGHTED), Rule(_PLAIN, Stabiliser(1e-9, "relative"))),
    Entry(Where(kinds=frozenset({"activation", "dropout"})), Pass()),
    Entry(Where(kinds=frozenset({"max_pooling", "shape", "softmax"})), Exact()),
)


@attrs.frozen(kw_only=True)
class Refusal:
    """Rules that make no sense at an operation, and the exception that says so.

    Parameters
    ----------
    rules
        Which rules: a key of :data:`FAMILIES`.
    kinds
        Kinds of operation.
    changes_shape
        Only operations with several inputs, or an output of another shape than the input.
    error
        What is raised.
    why
        In words.
    """

    rules: str
    kinds: frozenset[Kind] = frozenset(KINDS)
    changes_shape: bool = False
    error: type[SignxaiError] = PlanError
    why: str


def _replaces_weights(rule: AnyRule) -> bool:
    terms = [term for share in rule.shares for term in share.terms] if isinstance(rule, Rule) else []
    return any(not isinstance(term.weight, Mix) for term in terms)


#: What rules have in common where they are refused.
FAMILIES: Final[Mapping[str, Callable[[AnyRule], bool]]] = MappingProxyType(
    {
        "formula": lambda rule: isinstance(rule, (Rule, FunctionRule)),
        "replaces the weights": _replaces_weights,
        "std": lambda rule: isinstance(rule, Rule) and rule.stabiliser.scale == "std",
        "keeps the shape": lambda rule: isinstance(rule, Pass) or (isinstance(rule, Exact) and not rule.mask),
        "shares": lambda rule: isinstance(rule, Shared),
        "softmax": lambda rule: isinstance(rule, SoftmaxRule),
        "stop": lambda rule: isinstance(rule, Stop),
        "batch-normalisation": lambda rule: isinstance(rule, NormalisationRule),
    }
)

REFUSALS: Final = (
    Refusal(
        rules="formula",
        kinds=frozenset(KINDS) - WEIGHTED - UNWEIGHTED,
        why="the formula is of linear operations",
    ),
    Refusal(
        rules="shares",
        kinds=frozenset(KINDS) - {"product", "quotient", "matrix_product"},
        why="one operand has nothing to share",
    ),
    Refusal(rules="softmax", kinds=frozenset(KINDS) - {"softmax"}, why="the formula is of softmax"),
    Refusal(rules="stop", why="no relevance would arrive at the input"),
    Refusal(rules="replaces the weights", kinds=UNWEIGHTED, why="there are no weights"),
    Refusal(rules="std", kinds=frozenset({"sum"}), why="there is no one input to take the deviation of"),
    Refusal(rules="keeps the shape", changes_shape=True, why="relevance cannot stay as it is"),
    Refusal(
        rules="batch-normalisation",
        kinds=frozenset(KINDS) - {"normalisation"},
        why="there is no mean and no beta",
    ),
)


#: Where the definition of a method leaves open what is right: rules, probes, and the two readings.
UNDECIDED: Final = (
    (
        "std",
        ("conv2d-reflect", "conv2d-replicate", "conv2d-circular"),
        "the deviation of a convolution's input: with what a separate padding operation added, or without",
    ),
)


def undecided(rule: AnyRule, probe: Probe) -> str | None:
    """Return what is open about a rule at a probe, or ``None``."""
    return next((why for family, names, why in UNDECIDED if FAMILIES[family](rule) and probe.name in names), None)


def refusal(rule: AnyRule, probe: Probe) -> Refusal | None:
    """Return why a rule is to be refused at a probe, or ``None`` where it is not."""
    shapes = probe.network.shapes
    node = probe.node
    changes = len(node.inputs) > 1 or shapes[node.inputs[0]] != shapes[node.name]
    for entry in REFUSALS:
        if FAMILIES[entry.rules](rule) and probe.kind in entry.kinds and (changes or not entry.changes_shape):
            return None if probe.head else entry
    return None


def method(rule: AnyRule, probe: Probe) -> MethodSpec:
    """Return a method that applies a rule at the probe and the epsilon rule elsewhere."""
    at_probe = Entry(Where(kinds=frozenset({probe.kind}), path=PROBE), rule)
    composite = Composite((at_probe, *_AROUND), fold_normalisation=probe.fold)
    return MethodSpec(family="lrp", composite=composite, seed="logit")


@functools.cache
def example(name: str) -> AnyRule:
    """Return a registered rule with its example's numbers."""
    owned = registry().rules[name]
    rule: AnyRule = owned.make(**owned.entry.example)
    return rule


def is_known(name: str) -> bool:
    """Return whether the reference knows a rule's class; others have probes of their own."""
    return isinstance(example(name), _CLASSES)


@functools.lru_cache(maxsize=4096)
def _expected(rule: AnyRule, probe: Probe) -> Array:
    return explain(probe.network, probe.x, method(rule, probe), _targets(probe)).relevance


def _targets(probe: Probe) -> list[int]:
    """Return another class for each sample, so that samples cannot be mixed up."""
    return [sample % 3 for sample in range(len(probe.x))]


def check_rule(subject: Subject, name: str, probe: Probe) -> None:
    """Compare a rule at a probe with the reference, or see it refused.

    Where the backend leaves out an operation that does nothing, the rule has nothing to apply to.
    """
    rule = example(name)
    spec = method(rule, probe)
    refused = refusal(rule, probe)
    if probe.kind in OPTIONAL and not subject.of_node(subject.record(probe), probe.network, probe.node):
        rule, refused = Exact(), None
    if refused is None:
        relevance = subject.relevance(probe, probe.x, spec, np.array(_targets(probe)))
        same("relevance", relevance, _expected(rule, probe), TOLERANCE)
        return
    try:
        subject.relevance(probe, probe.x, spec, np.array(_targets(probe)))
    except refused.error:
        return
    except Exception as error:
        text = f"expected {refused.error.__name__} ({refused.why}), got {type(error).__name__}: {error}"
        raise DisagreementError(text) from error
    raise DisagreementError(f"expected {refused.error.__name__} ({refused.why}), but it was accepted")
