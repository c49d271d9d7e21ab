"""What the reference and its networks refuse."""

from __future__ import annotations

import numpy as np
import pytest

from signxai_core.specs import (
    KEEP,
    MISSING,
    NEGATIVE,
    ONES,
    POSITIVE,
    ZERO,
    Bound,
    Cam,
    Composite,
    Entry,
    Exact,
    MethodSpec,
    NormalisationRule,
    Pass,
    Rule,
    Share,
    Term,
    Where,
)
from signxai_core.testing import network as net
from signxai_core.testing.reference import explain

X = (2, -1)
DENSE = net.Network([net.Dense(name="dense", weight=[[1, 3], [-2, 1]], bias=[2, -1])], (2,))
GRADIENT = MethodSpec(family="gradient", composite=Composite([Entry(Where(), Exact())]))
FLAT = Rule((Share((Term(ONES, ONES, ZERO),)),))


def box(low, high):
    terms = (
        Term(KEEP, KEEP, ZERO),
        Term(Bound("low", low), POSITIVE, ZERO, -1),
        Term(Bound("high", high), NEGATIVE, ZERO, -1),
    )
    return Rule((Share(terms),))


def lrp(rule, first=None):
    entries = [Entry(Where(kinds={"dense"}), rule), Entry(Where(kinds={"activation"}), Pass())]
    return MethodSpec(family="lrp", composite=Composite(entries), input_layer=first)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "at least one node"),
        ([net.Flatten(name="a", inputs="b")], "'a' uses 'b', which is not before it"),
        ([net.Flatten(name="a"), net.Flatten(name="a")], "two nodes are called 'a'"),
        ([net.Flatten(name="a"), net.Flatten(name="b")], "nothing uses it"),
        ([net.Dense(name="a", weight=[[1, 2, 3]])], r"weight \(1, 3\) does not fit an input of shape \(2,\)"),
        ([net.Conv(name="a", weight=np.ones((1, 2, 1)))], "expected an input of shape"),
        ([net.Add(name="a")], "expected inputs of one shape"),
        (
            [net.Scaling(name="a", layer="s", scale=2), net.Scaling(name="b", inputs="a", layer="s", scale=3)],
            "share a layer but not 'scale'",
        ),
    ],
)
def test_bad_networks(nodes, message):
    with pytest.raises(ValueError, match=message):
        net.Network(nodes, (2,))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (lrp(box(MISSING, 1)), "is missing"),
        (lrp(box([1, 2, 3], 1)), "fits neither"),
        (MethodSpec(family="lrp", composite=Composite([])), "no rule for"),
        (MethodSpec(family="lrp", composite=Composite([Entry(Where(), NormalisationRule())])), "is for batch"),
        (MethodSpec(family="cam", composite=GRADIENT.composite, cam=Cam()), "needs a convolution"),
        (MethodSpec(family="cam", composite=GRADIENT.composite, cam=Cam(last_conv="x")), "no layer 'x'"),
        (MethodSpec(family="control", composite=GRADIENT.composite), "contradict"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        explain(DENSE, [X], spec)


def test_a_rule_for_the_input_layer_needs_one():
    nodes = [net.Activation(name="relu"), net.Dense(name="out", inputs="relu", weight=[[1, 1]])]
    with pytest.raises(ValueError, match="reached from the input"):
        explain(net.Network(nodes, (2,)), [X], lrp(FLAT, first=FLAT))


@pytest.mark.parametrize("target", [2, -1, [0, 1], 0.5])
def test_bad_targets(target):
    with pytest.raises(ValueError, match="target must be"):
        explain(DENSE, [X], GRADIENT, target)


def test_repr_names_what_matters():
    assert repr(DENSE).splitlines() == [
        "Network(input_shape=(2,)",
        "  dense = dense(input, weight=array([[1.0, 3.0], [-2.0, 1.0]]), bias=array([2.0, -1.0])) -> (2,)",
        ")",
    ]
