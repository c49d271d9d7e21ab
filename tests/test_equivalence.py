"""PyTorch, TensorFlow and the NumPy reference have the same maps: drawn networks, methods and inputs.

Some examples are the same in every run, the rest are new: the header of a run names their seed, and
``SIGNXAI_SEED=...`` draws them again. ``SIGNXAI_PAIRS=5000`` compares that many pairs of a network and
a method.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from equivalence import Example, Tally, check, examples, is_open, sides, targets
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
    MethodSpec,
    Mix,
    Pass,
    Where,
)
from signxai_core.testing import network as net
from signxai_core.testing import strategies

PAIRS = int(os.environ.get("SIGNXAI_PAIRS", "600"))
TALLY = Tally()
SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(SETTINGS, max_examples=60, derandomize=True)
@given(examples())
def test_the_same_examples(example):
    check(example, tally=TALLY)


def test_fresh_examples(fresh_seed, pytestconfig):
    compare = given(examples())(lambda example: check(example, tally=TALLY))
    rounds = 0
    while (missing := PAIRS - len(TALLY.pairs)) > 0:
        seed(fresh_seed + rounds)(settings(SETTINGS, max_examples=20 + missing // 3)(compare))()
        rounds += 1
    pytestconfig.get_terminal_writer().line(f"\n{TALLY}")
    # What rounding decides is compared less strictly, and has to stay rare.
    assert all(TALLY.rounding[dtype] <= 0.02 * TALLY.compared[dtype] for dtype in TALLY.compared)


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


@settings(SETTINGS, max_examples=40, derandomize=True)
@given(st.data())
def test_random_rules(data):
    network = data.draw(strategies.networks(), "network")
    x = data.draw(strategies.inputs(network), "x")
    input_layer = data.draw(st.none() | strategies.rules(), "input layer")
    spec = MethodSpec(family="lrp", composite=data.draw(composites(), "composite"), input_layer=input_layer)
    assume(not is_open(network, spec))
    target, start = data.draw(targets(network, len(x)), "target"), data.draw(st.sampled_from(("one", "logit")), "seed")
    check(Example(network, x, (spec,), target=target, seed=start))


# --- what the suite has to catch ---

WRONG = {
    "FlatWithWrongSign": (r"^flatlrp|flat", "flat"),
    "PaddingTakenForZeros": ("", "mode='re"),
}


@pytest.fixture
def wrong(request, register):
    """Register a wrong backend and return its name."""
    framework, mistake = request.param
    name = f"wrong-{framework}-{mistake}"
    builders = {"torch": "signxai_torch.network:build", "tensorflow": "signxai_tf.network:build"}
    register(name, f"wrong_backends:{framework.title()}{mistake}", builders[framework])
    return name


CASES = [(framework, mistake) for framework in ("torch", "tensorflow") for mistake in WRONG]


@pytest.mark.parametrize("wrong", CASES, indirect=True, ids="-".join)
def test_a_wrong_backend_is_caught(wrong):
    with pytest.raises(pytest.fail.Exception) as caught:
        settings(SETTINGS, max_examples=60, derandomize=True, phases=[Phase.generate])(
            given(examples())(lambda example: check(example, (wrong,)))
        )()
    text = str(caught.value)
    assert wrong.partition("-")[2].partition("-")[0] in text
