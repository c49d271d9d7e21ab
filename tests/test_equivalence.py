"""PyTorch, TensorFlow and the NumPy reference have the same maps: drawn networks, methods and inputs.

Some examples are the same in every run, the rest are new: the header of a run names their seed, and
``SIGNXAI_SEED=...`` draws them again. ``SIGNXAI_PAIRS=5000`` compares that many pairs of a network and
a method.
"""

from __future__ import annotations

import contextlib
import math
import os
import re

import numpy as np
import pytest
import torch
from equivalence import TOLERANCES, Example, Tally, check, examples, is_open, modern_examples, targets
from function_rules import make_epsilon, make_stronger
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from rounding import movement

import signxai_core as sx
from signxai_core.specs import (
    UNWEIGHTED,
    WEIGHTED,
    Composite,
    Entry,
    Exact,
    FunctionRule,
    MethodSpec,
    Mix,
    Pass,
    Where,
)
from signxai_core.testing import explain, strategies
from signxai_core.testing import network as net

PAIRS = int(os.environ.get("SIGNXAI_PAIRS", "500"))
TALLY = Tally()
SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(SETTINGS, max_examples=50, derandomize=True)
@given(examples())
def test_the_same_examples(example):
    check(example, tally=TALLY)


@settings(SETTINGS, max_examples=12, derandomize=True)
@given(modern_examples())
def test_gates_normalisations_attention_and_recurrence(example):
    check(example)


def test_fresh_examples(fresh_seed, pytestconfig):
    rounds = 0
    while (missing := PAIRS - len(TALLY.pairs)) > 0:
        compare = given(examples())(lambda example: check(example, tally=TALLY))
        seed(fresh_seed + rounds)(settings(SETTINGS, max_examples=20 + missing // 3)(compare))()
        rounds += 1
    pytestconfig.get_terminal_writer().line(f"\n{TALLY}")
    # What rounding decides is compared less strictly, and has to stay rare; one example may bring many methods.
    assert all(TALLY.rounding[dtype] <= 0.1 * TALLY.compared[dtype] for dtype in TALLY.compared)


# --- what was different once ---


def image(*nodes):
    """Return a network of nodes on a (1, 3, 3) input that end in one called "last"."""
    weight = np.random.default_rng(3).normal(size=(2, math.prod(net.Network(nodes, (1, 3, 3)).output_shape)))
    head = [net.Flatten(name="flat", inputs="last"), net.Dense(name="out", inputs="flat", weight=weight)]
    return net.Network([*nodes, *head], (1, 3, 3))


def conv(name, inputs, weight):
    return net.Conv(name=name, inputs=inputs, weight=np.reshape(weight, (1, 1, 1, -1)))


BOUNDS = np.random.default_rng(4).uniform(2, 4, (1, 3, 3))
FOUND = {
    # TensorFlow's graph was read from the output back, so that another of two branches ran last.
    "branches": (
        image(
            conv("stem", "input", [1.0]),
            conv("one", "stem", [0.5]),
            conv("two", "stem", [-2.0]),
            net.Add(name="last", inputs=("one", "two")),
        ),
        ("grad_cam", "guided_grad_cam"),
        "textbook",
        {},
    ),
    # The reference lost the places of the input behind a scaling that is not folded.
    "bounds-behind-scaled-padding": (
        image(
            net.Pad(name="pad", amounts=[(1, 0), (1, 1)]),
            net.Scaling(name="shift", inputs="pad", shift=0.5),
            conv("last", "shift", [1.0, -2.0]),
        ),
        ("zblrp_z", "zblrp_epsilon_gamma_box"),
        "signxai",
        {"low": -BOUNDS, "high": BOUNDS},
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_different_once(name):
    network, methods, convention, parameters = FOUND[name]
    x = np.random.default_rng(5).normal(size=(2, 1, 3, 3)).astype(np.float32).astype(np.float64)
    check(Example(network, x, methods, convention, parameters=parameters))


# --- rules that nobody registered ---


FUNCTIONS = st.builds(make_epsilon, st.sampled_from((0.1, 0.5))) | st.builds(make_stronger, st.sampled_from((1.0, 2.0)))


@st.composite
def composites(draw, rules):
    """Draw a composite: rules by kind, position and path; sums and pooling with a rule of their own."""
    entries = [
        Entry(Where(position=draw(st.sampled_from(("first", "last")))), draw(rules)),
        Entry(Where(kinds={"convolution"}, path=draw(st.sampled_from(("*0", "*1", "conv*", "nothing")))), draw(rules)),
        Entry(Where(kinds=WEIGHTED), draw(rules)),
        Entry(Where(kinds=UNWEIGHTED), draw(rules.filter(_keeps_weights))),
        Entry(Where(functions={"relu"}), Exact(clip=True)),
        Entry(Where(kinds={"activation", "dropout"}), Pass()),
        Entry(Where(kinds={"max_pooling", "shape", "softmax"}), Exact()),
    ]
    kept = [entry for entry in entries[:2] + entries[4:5] if draw(st.booleans())]
    return Composite([*kept, *entries[2:4], *entries[5:]], fold_normalisation=draw(st.booleans()))


def _keeps_weights(rule):
    if isinstance(rule, FunctionRule):
        return True
    mixes = all(isinstance(term.weight, Mix) for share in rule.shares for term in share.terms)
    return mixes and rule.stabiliser.scale != "std"


@pytest.mark.parametrize("rules", [strategies.rules(), FUNCTIONS], ids=["values", "functions"])
@settings(SETTINGS, max_examples=30, derandomize=True)
@given(data=st.data())
def test_random_rules(rules, data):
    network = data.draw(strategies.networks(), "network")
    # Frameworks add two tensors at a time: a rule for sums is applied once for each of them.
    assume(all(len(node.inputs) == 2 for node in network.nodes if isinstance(node, net.Add)))
    x = data.draw(strategies.inputs(network), "x")
    input_layer = data.draw(st.none() | rules, "input layer")
    spec = MethodSpec(family="lrp", composite=data.draw(composites(rules), "composite"), input_layer=input_layer)
    assume(not is_open(network, spec))
    target, start = data.draw(targets(network, len(x)), "target"), data.draw(st.sampled_from(("one", "logit")), "seed")
    check(Example(network, x, (spec,), target=target, seed=start))
    # NumPy's backend has one type, so that it is no side of an example.
    found = sx.explain(network, x, spec, target, seed=start, backend="numpy")
    wanted = explain(network, x, spec, found.target, start).relevance
    apart, largest = np.abs(found.relevance - wanted).max(), np.abs(wanted).max()
    if apart > TOLERANCES["float64"] * largest:
        moved = movement(network, x, spec, found.target, start, "float64")
        assert apart <= moved or moved > largest / 10, f"numpy: {apart:.2e} of {largest:.2e}"


# --- what the suite has to catch ---

BUILDERS = {"torch": "signxai_torch.network:build", "tensorflow": "signxai_tf.network:build"}
#: By mistake: what its counterexamples have in common.
EVIDENCE = {"FlatWithWrongSign": "flat", "PaddingTakenForZeros": "mode='"}


def counterexamples(wrong, phases):
    """Return examples and messages of what was found, in order: the last one is the smallest."""
    found = []

    def compare(example):
        try:
            check(example, (wrong,))
        except pytest.fail.Exception as failure:
            found.append((example, str(failure)))
            raise

    once = settings(SETTINGS, max_examples=300, derandomize=True, phases=phases, report_multiple_bugs=False)
    run = once(given(examples())(compare))
    with pytest.raises(pytest.fail.Exception):
        run()
    return found


@pytest.mark.parametrize("mistake", EVIDENCE)
@pytest.mark.parametrize("framework", BUILDERS)
def test_a_wrong_backend_is_caught(framework, mistake, register):
    register(f"wrong-{framework}", f"wrong_backends:{framework.title()}{mistake}", BUILDERS[framework])
    _, text = counterexamples(f"wrong-{framework}", [Phase.generate])[-1]
    assert EVIDENCE[mistake] in text
    assert f"relevance of wrong-{framework} float64 first differs at" in text


def test_a_counterexample_is_small_and_says_where(register):
    register("wrong", "wrong_backends:TorchFlatWithWrongSign")
    example, text = counterexamples("wrong", [Phase.generate, Phase.shrink])[-1]
    (method,) = example.methods
    assert method.startswith("flatlrp_")
    assert [node.type for node in example.network.nodes] == ["dense", "dense"]
    assert len(example.x) == 1
    lines = text.splitlines()
    assert lines[0].startswith(f"{method} (textbook): wrong float64 is ")
    assert "relevance of wrong float64 first differs at input; from the output back:" in lines
    assert re.fullmatch(r"  dense_1: 0.00e\+00 of .*", lines[-3])


def test_rounding_moves_what_nearly_cancels():
    def moved(second, dtype):
        network = net.Network([net.Dense(name="out", weight=[[1, second], [1, 1]])], (2,))
        return movement(network, np.ones((1, 2)), sx.parse("lrp_z"), 0, "one", dtype)  # R = 1 / (1 + second)

    assert moved(1, "float32") < 1e-5
    assert moved(-1 + 2**-10, "float32") > 0.01 * 2**10 * 1e-4
    assert moved(-1 + 2**-10, "float64") < 1e-8


@pytest.mark.parametrize(("activation", "values"), [("gelu", [-4.0, -4.5]), ("elu", [-1e-5, -3e-5])])
def test_a_value_that_nearly_cancels_has_few_digits_in_float32(activation, values):
    nodes = [net.Dense(name="in", weight=np.diag(values)), net.Activation(name="last", inputs="in", of=activation)]
    network = net.Network([*nodes, net.Dense(name="out", inputs="last", weight=[[1.0, 0.5]], bias=[1.0])], (2,))
    tally = Tally()
    check(Example(network, np.ones((1, 2)), ("lrp_z",)), tally=tally)
    assert tally.rounding == {"float32": 1}


@pytest.mark.parametrize("added", [0.0, 1e-4])
def test_an_output_that_nearly_cancels_has_few_digits_in_float32(monkeypatch, added):
    network = net.Network([net.Dense(name="out", weight=[[0.1, -0.1000001]])], (2,))  # float32 rounds both by 1e-9
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: linear(*given) + added)
    tally = Tally()
    with pytest.raises(AssertionError, match="output of torch") if added else contextlib.nullcontext():
        check(Example(network, np.ones((1, 2)), ("gradient",)), tally=tally)
    assert tally.rounding == ({} if added else {"float32": 2})  # that of either framework


def test_a_saturated_activation_has_no_slope_in_float32():
    weight = np.diag([14.0, 14.0])  # tanh(14) is 1 − 1e-12
    nodes = [net.Dense(name="in", weight=weight), net.Activation(name="tanh", inputs="in", of="tanh")]
    network = net.Network([*nodes, net.Dense(name="out", inputs="tanh", weight=[[1.0, 0.5]])], (2,))
    example = Example(network, np.ones((1, 2)), ("gradient",))
    tally = Tally()
    check(example, tally=tally)
    assert tally.rounding == {"float32": 1}
