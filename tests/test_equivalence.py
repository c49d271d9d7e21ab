"""Engine with PyTorch against the reference: random networks, inputs, methods and rules.

``SIGNXAI_EXAMPLES=2000`` draws that many fresh examples per test; without it, every run draws the
same ones.
"""

from __future__ import annotations

import os

import attrs
import numpy as np
import pytest
import torch
from first_difference import first_difference
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import signxai_core as sx
from signxai_core import grammar
from signxai_core.registry import registry
from signxai_core.specs import (
    UNWEIGHTED,
    WEIGHTED,
    Composite,
    Entry,
    Exact,
    MethodSpec,
    Mix,
    Pass,
    Rule,
    Share,
    Stabiliser,
    Term,
    Where,
)
from signxai_core.specs.conventions import CONVENTIONS
from signxai_core.testing import explain, names, strategies
from signxai_torch.network import build

#: Relative to the largest relevance. Rounding (1e-16) grows by the condition of the denominators,
#: which are sums of continuous random numbers; 1e-8 leaves eight digits for that.
TOLERANCE = 1e-8
#: Maps below are the rounding of what cancels: the variance of equal gradients.
_NOTHING = 1e-20
_FRESH = int(os.environ.get("SIGNXAI_EXAMPLES", "0"))


def drawn(examples):
    return settings(
        max_examples=_FRESH or examples,
        derandomize=not _FRESH,
        deadline=None,
        print_blob=bool(_FRESH),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def configured(data, name, convention):
    """Return a method with the parameters that its name leaves open, and few samples."""
    spec = grammar.parse(name, registry(), CONVENTIONS[convention])
    open_ones = {k: p for k, p in grammar.parameters(spec, registry()).items() if not p.stated}
    given_ones = {key: data.draw(names.PARAMETERS[key], key) for key in open_ones if key in names.PARAMETERS}
    return grammar.configure(spec, given_ones, registry(), name)


def is_open(network, spec):
    """Return whether METHODS leaves open what is right; see test_differences."""
    rules = [rule for rule in (spec.input_layer, *(e.rule for e in spec.composite.entries)) if isinstance(rule, Rule)]
    padded = any(getattr(node, "mode", "zeros") != "zeros" for node in network.nodes)
    return padded and any(rule.stabiliser.scale == "std" for rule in rules)


def agree(network, x, spec, target, seed, label):
    """Compare relevance, output and class; a difference shows all that is needed to repeat it."""
    model = build(network)
    expected = explain(network, x, spec, target, seed)
    got = sx.explain(model, x, spec, target, seed=seed)
    np.testing.assert_allclose(got.output, expected.output, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(got.target, expected.target)
    largest = np.abs(expected.relevance).max()
    apart = np.abs(got.relevance - expected.relevance).max()
    if not apart <= TOLERANCE * max(largest, _NOTHING):
        where = ""
        if spec.cam is None and spec.sampling is None:
            where = first_difference(network, model, x, spec, expected.target, seed)
        pytest.fail(
            f"{label}, seed {seed}, target {target}: {apart:.2e} of {largest:.2e}\n{network!r}\n{where}\n{got.plan}"
        )


def check(data, name, network):
    x = data.draw(strategies.inputs(network), "x")
    convention = data.draw(st.sampled_from(tuple(CONVENTIONS)), "convention")
    spec = configured(data, name, convention)
    assume(not is_open(network, spec))
    seeds = (None, "one") if spec.cam else (None, None, "one", "logit")  # forced on a map: see test_differences
    agree(network, x, spec, *_start(data, network, len(x), seeds), f"{name} ({convention})")


def _start(data, network, samples, seeds=(None, "one", "logit")):
    index = st.integers(0, network.output_shape[0] - 1)
    target = data.draw(st.one_of(st.none(), index, st.lists(index, min_size=samples, max_size=samples)), "target")
    return target, data.draw(st.sampled_from(seeds), "seed")


@drawn(150)
@given(st.data())
def test_lrp(data):
    check(data, data.draw(names.lrp_names(), "method"), data.draw(strategies.networks(), "network"))


@drawn(60)
@given(st.data())
def test_gradients(data):
    check(data, data.draw(names.gradient_names(), "method"), data.draw(strategies.networks(blocks=2), "network"))


@drawn(60)
@given(st.data())
def test_class_activation_maps(data):
    axes = data.draw(st.integers(1, 3))
    name = data.draw(names.cam_names(series=axes == 1), "method")
    check(data, name, data.draw(strategies.networks(axes=axes, blocks=2), "network"))


# --- rules that nobody registered ---


@st.composite
def composites(draw):
    """Draw a composite: rules by kind, position and path; sums and pooling with a rule of their own."""
    unweighted = draw(strategies.rules().filter(_keeps_weights))
    entries = [
        Entry(Where(position=draw(st.sampled_from(("first", "last")))), draw(strategies.rules())),
        Entry(
            Where(kinds={"convolution"}, path=draw(st.sampled_from(("*0", "*1", "conv*", "nothing")))),
            draw(strategies.rules()),
        ),
        Entry(Where(kinds=WEIGHTED), draw(strategies.rules())),
        Entry(Where(kinds=UNWEIGHTED), unweighted),
        Entry(Where(functions={"relu"}), Exact(clip=True)),
        Entry(Where(kinds={"activation", "dropout"}), Pass()),
        Entry(Where(kinds={"max_pooling", "shape", "softmax"}), Exact()),
    ]
    kept = [entry for entry in entries[:2] + entries[4:5] if draw(st.booleans())]
    return Composite([*kept, *entries[2:4], *entries[5:]], fold_normalisation=draw(st.booleans()))


def _keeps_weights(rule):
    mixes = all(isinstance(term.weight, Mix) for share in rule.shares for term in share.terms)
    return mixes and rule.stabiliser.scale != "std"


@drawn(80)
@given(st.data())
def test_random_rules(data):
    network = data.draw(strategies.networks(), "network")
    x = data.draw(strategies.inputs(network), "x")
    input_layer = data.draw(st.none() | strategies.rules(), "input layer")
    spec = MethodSpec(family="lrp", composite=data.draw(composites(), "composite"), input_layer=input_layer)
    assume(not is_open(network, spec))
    agree(network, x, spec, *_start(data, network, len(x)), "random rules")


@drawn(100)
@given(st.data())
def test_rules_whose_shares_do_not_sum_to_one_are_refused(data):
    rule = data.draw(strategies.rules())
    by = data.draw(st.sampled_from((-1.0, -0.25, 1e-6, 0.5)))
    index = data.draw(st.integers(0, len(rule.shares) - 1))
    share = rule.shares[index]
    changed = [*rule.shares]
    changed[index] = attrs.evolve(share, weight=share.weight + by)
    with pytest.raises(ValueError, match="must sum to 1 on each side of the gate"):
        attrs.evolve(rule, shares=changed)
    with pytest.raises(ValueError, match="must sum to 1"):
        Rule([Share(share.terms, 1.0, "positive")])


@pytest.mark.parametrize(
    "build_wrong",
    [
        lambda rule: attrs.evolve(rule, shares=()),
        lambda rule: attrs.evolve(rule, times="x"),
        lambda _: Stabiliser(-0.1),
        lambda _: Stabiliser(0.1, "batch"),
        lambda _: Stabiliser(float("nan")),
        lambda _: Term(Mix(1, 1), Mix(1, 1), Mix(1, 1), 2),
        lambda _: Mix(float("inf"), 1),
        lambda rule: Share(rule.shares[0].terms, 1.0, "none"),
        lambda _: Share(()),
    ],
)
def test_invalid_rules_are_refused(build_wrong):
    rule = sx.rules()["epsilon"]()
    with pytest.raises((ValueError, TypeError)):
        build_wrong(rule)
