"""Rules for single layers, from Python and from the command line."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import ParameterError, PlanError, UnknownNameError
from signxai_core.layer_rules import rule_from_text
from signxai_core.specs import Exact, Where


def rules_of(plan):
    return {row.operation: (row.rule, row.why) for row in plan.rows}


def test_explicit_rules_win_over_composite_and_prefix(branching):
    model, x = branching
    spec = sx.with_rules("lrpsign_epsilon_0_1", {"s*": "gamma:0.25", "shared": "z"})
    plan = sx.plan(model, x, spec)
    shown = rules_of(plan)
    assert shown["stem (conv2d)"][0] == "gamma 0.25"
    assert "path s*" in shown["stem (conv2d)"][1]
    assert shown["shared (conv2d)"][0] == "gamma 0.25"  # the first entry that fits
    assert shown["head (linear)"][0] == "epsilon 0.1"
    assert plan.warnings == ()


def test_the_prefix_keeps_its_layer_otherwise(branching):
    model, x = branching
    spec = sx.with_rules("lrpsign_epsilon_0_1", {"head": "flat"})
    shown = rules_of(sx.plan(model, x, spec))
    assert shown["stem (conv2d)"] == ("SIGN", "first")
    assert shown["head (linear)"][0] == "flat"


def test_maps_are_those_of_the_same_composite(branching):
    model, x = branching
    every = sx.explain(model, x, sx.with_rules("lrp_z", {"*": "epsilon:0.1"}))
    np.testing.assert_array_equal(every.relevance, sx.explain(model, x, "lrp_epsilon_0_1").relevance)
    none = sx.explain(model, x, sx.with_rules("lrpsign_epsilon_0_1", {}))
    assert none.method == "lrpsign_epsilon_0_1"
    moved = sx.explain(model, x, sx.with_rules("lrpsign_epsilon_0_1", {Where(functions={"no such function"}): "flat"}))
    np.testing.assert_array_equal(moved.relevance, none.relevance)


def test_a_path_that_nothing_has_is_refused(branching):
    model, x = branching
    with pytest.raises(PlanError) as raised:
        sx.plan(model, x, sx.with_rules("lrp_z", {"features.*": "flat"}))
    assert str(raised.value) == (
        "the rule 'flat' is for the path 'features.*', and no operation has such a path; paths of the model: head, "
        "shared, side, stem"
    )


def test_a_where_says_it_all(branching):
    model, x = branching
    spec = sx.with_rules("lrp_z", {Where(kinds={"activation"}, path="*"): Exact(clip=True)})
    assert ("clip, then exact VJP", "activation path *") in rules_of(sx.plan(model, x, spec)).values()
    text = sx.with_rules("lrp_z", {"*": "exact"})
    assert {rule for rule, _ in rules_of(sx.plan(model, x, text)).values()} == {"exact VJP"}


def test_parameters_of_the_words_are_fixed_then(branching):
    model, x = branching
    spec = sx.with_rules("lrpsign_epsilon_0_1", {"head": "flat"})
    with pytest.raises(ParameterError, match="has no parameter 'epsilon'"):
        sx.explain(model, x, spec, epsilon=3)
    assert sx.explain(model, x, spec, mu=0.5).spec.composite.entries[1].rule.times.mu == 0.5


@pytest.mark.parametrize(
    ("text", "rule", "arguments"),
    [
        ("gamma:0.25", "gamma", {"gamma": 0.25}),
        ("z_box:low=-1, high=1", "z_box", {"low": -1, "high": 1}),
        ("z_box:-1,1", "z_box", {"low": -1, "high": 1}),
        ("flat", "flat", {}),
        ("identity:", "identity", {}),
    ],
)
def test_texts(text, rule, arguments):
    assert rule_from_text(text) == sx.rules()[rule](**arguments)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gama:1", UnknownNameError, "unknown rule 'gama'; did you mean gamma"),
        ("gamma:x", ParameterError, "cannot make the rule 'gamma:x': could not convert"),
        ("gamma:1,2", ParameterError, "2 numbers are more than it has parameters"),
        ("gamma:delta=1", ParameterError, "cannot make the rule 'gamma:delta=1'"),
        ("z_box:low=1,low=2", ParameterError, "low is given twice"),
        ("gamma:-1", ParameterError, "gamma must be >= 0"),
    ],
)
def test_texts_that_are_wrong(text, error, message):
    with pytest.raises(error, match=message):
        sx.with_rules("lrp_z", {"*": text})


def test_unknown_convention():
    with pytest.raises(UnknownNameError, match="unknown convention 'x'"):
        sx.with_rules("lrp_z", {}, convention="x")
