"""Rules that nobody registered, and rules that are functions: the same on every backend.

The other side of the promise, that a rule whose shares do not sum to 1 is refused when it is made,
stands in test_equivalence and test_specs.
"""

from __future__ import annotations

import os

import attrs
import function_rules
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import signxai_core as sx
from signxai_core.specs import UNWEIGHTED, WEIGHTED, Composite, Entry, Exact, MethodSpec, Mix, Pass, Rule, Where
from signxai_core.testing import Network, explain, strategies
from signxai_core.testing.conformance import load_subject

#: Relative to the largest relevance.
TOLERANCE = 1e-8
#: Relative size of the rounding that a case has to bear: some hundred products in float64.
_ROUNDING = 1e-13
#: What the reference may change under that rounding; a decade is left to the backends' own order of sums.
_DETERMINED = 1e-9
BACKENDS = ("numpy", "torch", "tensorflow")
_FRESH = int(os.environ.get("SIGNXAI_EXAMPLES", "0"))


def drawn(examples):
    return settings(
        max_examples=_FRESH or examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def without_weights(rule):
    """Whether a rule can stand at sums and pooling: nothing replaces the weights, no std of several inputs."""
    mixes = all(isinstance(term.weight, Mix) for share in rule.shares for term in share.terms)
    return mixes and rule.stabiliser.scale != "std"


def of_functions():
    return st.builds(function_rules.make_epsilon, st.sampled_from((0.1, 0.5))) | st.builds(
        function_rules.make_stronger, st.sampled_from((1.0, 2.0))
    )


@st.composite
def methods(draw, at_weights, elsewhere):
    """Draw a method: one rule for the input layer, one for weights, one for sums and pooling."""
    entries = [
        Entry(Where(kinds=WEIGHTED), draw(at_weights)),
        Entry(Where(kinds=UNWEIGHTED), draw(elsewhere)),
        Entry(Where(kinds={"activation", "dropout"}), Pass()),
        Entry(Where(kinds={"max_pooling", "shape", "softmax"}), Exact()),
    ]
    composite = Composite(entries, fold_normalisation=draw(st.booleans()))
    return MethodSpec(family="lrp", composite=composite, input_layer=draw(st.none() | at_weights), seed="logit")


def is_open(network, spec):
    """Whether the definitions leave open what is right: see UNDECIDED in the conformance suite."""
    rules = [rule for rule in (spec.input_layer, *(e.rule for e in spec.composite.entries)) if isinstance(rule, Rule)]
    padded = any(getattr(node, "mode", "zeros") != "zeros" for node in network.nodes)
    return padded and any(rule.stabiliser.scale == "std" for rule in rules)


def rounded(network, x):
    """Return the network and its input with every number changed by rounding."""
    random = np.random.default_rng(0)

    def move(array):
        return array * (1 + _ROUNDING * random.standard_normal(np.shape(array)))

    layers = {}
    for node in network.nodes:  # nodes that share a layer share its arrays
        own = {name: move(value) for name, value in node.own().items() if isinstance(value, np.ndarray)}
        layers.setdefault(node.layer, own)
    nodes = [attrs.evolve(node, **layers[node.layer]) for node in network.nodes]
    return Network(nodes, network.input_shape), move(x)


def determined(network, x, spec):
    """Return the reference's map, or ``None`` where rounding alone would change it.

    A denominator that nearly cancels turns rounding into relevance, in the reference as in any
    backend: there is no right answer to compare with. That is measured on the reference alone; the
    tolerance is the same for all cases that are left.
    """
    wanted = explain(network, x, spec)
    moved = explain(*rounded(network, x), spec, wanted.target).relevance
    largest = np.abs(wanted.relevance).max()
    fine = largest > 0 and np.abs(moved - wanted.relevance).max() <= _DETERMINED * largest
    return wanted.relevance if fine else None


def check(network, x, spec, wanted):
    """Compare all backends with the reference."""
    largest = np.abs(wanted).max()
    for backend in BACKENDS:
        subject = load_subject(backend)
        try:
            model = subject.build(network)
        except NotImplementedError:
            assert backend == "tensorflow", "Keras alone lacks some layers"
            continue
        found = sx.explain(model, subject.given(x), spec, backend=backend)
        apart = np.abs(subject.neutral(found.relevance) - wanted).max()
        assert apart <= TOLERANCE * largest, f"{backend}: {apart:.2e} of {largest:.2e}\n{network!r}\n{found.plan}"


def agree(network, x, spec):
    wanted = determined(network, x, spec)
    assume(wanted is not None)
    check(network, x, spec, wanted)


@drawn(20)
@given(st.data())
def test_random_rules(data):
    network = data.draw(strategies.networks(blocks=2), "network")
    rules = strategies.rules()
    spec = data.draw(methods(rules, rules.filter(without_weights)), "method")
    assume(not is_open(network, spec))
    agree(network, data.draw(strategies.inputs(network), "x"), spec)


@drawn(10)
@given(st.data())
def test_functions(data):
    network = data.draw(strategies.networks(blocks=2), "network")
    spec = data.draw(methods(of_functions(), of_functions()), "method")
    agree(network, data.draw(strategies.inputs(network), "x"), spec)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_off_by_more_than_rounding_is_seen(backend, monkeypatch):
    random = np.random.default_rng(0)
    network = Network([strategies.net.Dense(name="out", weight=random.normal(size=(3, 4)))], (4,))
    x, spec, explained = random.normal(size=(1, 4)), sx.parse("lrp_epsilon_0_1"), sx.explain
    wanted = determined(network, x, spec)
    check(network, x, spec, wanted)

    def wrong(*given, **options):
        found = explained(*given, **options)
        return attrs.evolve(found, relevance=found.relevance * (1 + 1e-6 * (options["backend"] == backend)))

    monkeypatch.setattr(sx, "explain", wrong)
    with pytest.raises(AssertionError, match=f"{backend}: "):
        check(network, x, spec, wanted)


def test_a_case_that_rounding_decides_is_left_out():
    # The two products cancel but for rounding, and the z rule divides by what is left.
    network = Network([strategies.net.Dense(name="out", weight=[[1.0, -1.0]])], (2,))
    x = np.array([[1.0, 1.0 + 1e-12]])
    attributed = attrs.evolve(sx.parse("lrp_z"), seed="one")
    assert determined(network, x, attributed) is None
    assert determined(network, np.array([[1.0, 2.0]]), attributed) is not None
