"""Specs: values, validated, hashable, printable."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signxai_core as sx
from signxai_core.registry import registry
from signxai_core.specs import (
    KEEP,
    MISSING,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    ArrayValue,
    Bound,
    Composite,
    Constant,
    Entry,
    Exact,
    Integrate,
    MethodSpec,
    Mix,
    NormalisationRule,
    Pass,
    Rule,
    Share,
    Sign,
    Smooth,
    Stabiliser,
    Term,
    Where,
)
from signxai_core.testing import strategies

PLAIN = Term(KEEP, KEEP, KEEP)


def test_share_weights_must_sum_to_one():
    with pytest.raises(ValueError, match=r"share weights of a rule must sum to 1 .* sum to 1.5 where z is positive"):
        Rule((Share((PLAIN,), 1.5),))


def test_share_weights_are_summed_per_side_of_the_gate():
    Rule((Share((PLAIN,), 1, "positive"), Share((PLAIN,), 1, "negative")))
    with pytest.raises(ValueError, match="where z is negative"):
        Rule((Share((PLAIN,), 1, "positive"),))


@pytest.mark.parametrize("cell", [SQUARE, ONES, Bound("low", -1)], ids=repr)
@pytest.mark.parametrize("times", [Sign(), POSITIVE, ONES], ids=repr)
def test_a_factor_of_its_own_stands_beside_cells_with_a_slope(cell, times):
    with pytest.raises(ValueError, match=r"'times' replaces the factor (x²|1|l), which has no slope to leave behind"):
        Rule((Share((PLAIN, Term(cell, KEEP, KEEP))),), times=times)
    Rule((Share((Term(cell, KEEP, KEEP),)),))
    Rule((Share((Term(Mix(1, 0.5), SQUARE, KEEP),)),), times=times)


@given(st.floats(1, 100))
def test_alpha_beta_for_any_alpha(alpha):
    """1.4 − 0.4 is not 1 in binary; three libraries refuse it."""
    rule = sx.rules()["alpha_beta"](alpha=alpha)
    assert sum(share.weight for share in rule.shares) == pytest.approx(1)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_the_invariant_is_the_only_condition(weights):
    shares = tuple(Share((PLAIN,), weight) for weight in weights)
    if abs(sum(weights) - 1) <= 1e-9:
        Rule(shares)
    else:
        with pytest.raises(ValueError, match="must sum to 1"):
            Rule(shares)
    completed = (*shares, Share((PLAIN,), 1 - sum(weights)))
    assert hash(Rule(completed)) == hash(Rule(completed))


def make_all():
    for owned in registry().rules.values():
        yield pytest.param(owned.make(**owned.entry.example), id=owned.entry.name)


@pytest.mark.parametrize("rule", list(make_all()))
def test_rules_are_values(rule):
    again = attrs.evolve(rule)
    assert rule == again
    assert hash(rule) == hash(again)
    assert rule.formula()
    assert rule.name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        rule.stabiliser = None


def test_conservation_is_computed_from_the_cells():
    rules = sx.rules()
    conserving = {name for name, entry in rules.items() if getattr(entry(), "conserves", False)}
    assert conserving == {
        *("z_plus_no_bias", "w_square", "flat", "z_box", "identity"),
        *("signal_takes_all", "equal_shares", "conservative_shares"),
    }


def test_formulas_read_as_in_the_literature():
    rules = sx.rules()
    assert rules["epsilon"](epsilon=0.1).formula() == "R_in = 1 · [ x ⊙ Wᵀ t ],  t = R / (z + s(z)·0.1),  z = (W x + b)"
    assert "l ⊙ W⁺ᵀ t" in rules["z_box"](low=0, high=1).formula()
    assert "sgn(x − 0.5)" in rules["sign"](mu=0.5).formula()
    assert "std(x)" in rules["std_epsilon"]().formula()
    assert rules["gamma"](gamma=0.25).formula().count("[z ") == 2 * 2 - 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stabiliser(-1), "epsilon must be a finite number >= 0, got -1"),
        (lambda: Stabiliser(float("nan")), "epsilon must be a finite number >= 0, got nan"),
        (lambda: Stabiliser(1, "relatve"), "relatve"),
        (lambda: Mix(float("inf"), 1), "positive must be a finite number, got inf"),
        (lambda: Share(()), "terms"),
        (lambda: Share((PLAIN,), 1, "up"), "gate"),
        (lambda: Where(position="middle"), "position"),
        (lambda: Smooth(statistic="mean", samples=0), "samples must be a whole number >= 1, got 0"),
        (lambda: Smooth(statistic="mean", noise=-1), "noise must be a finite number >= 0, got -1"),
        (lambda: Smooth(statistic="mean", random_state=-1), "random_state must be a whole number >= 0"),
        (lambda: Integrate(steps=True), "steps must be a whole number >= 1, got True"),
        (lambda: Integrate(baseline=float("nan")), "expected finite numbers"),
        (lambda: NormalisationRule(-1), "epsilon must be a finite number >= 0"),
        (lambda: Bound("middle"), "side"),
        (lambda: sx.rules()["alpha_beta"](alpha=0.5), "alpha must be >= 1"),
        (lambda: sx.rules()["gamma"](gamma=-1), "gamma must be >= 0"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sign("0.5"),
        lambda: Sign(True),
        lambda: Term("x", KEEP, KEEP),
        lambda: Term(KEEP, Bound("low", 1), KEEP),
        lambda: Entry(Where(), "epsilon"),
        lambda: Composite(("entry",)),
        lambda: Exact(clip=1),
        lambda: MethodSpec(family="lrp", composite="composite"),
    ],
)
def test_wrong_types_are_refused(make):
    with pytest.raises(TypeError):
        make()


def test_arrays_in_specs_compare_by_content_and_cannot_change():
    given_array = np.array([1.0, 2.0])
    value = Sign(given_array)
    assert value == Sign(np.array([1.0, 2.0])) != Sign(np.array([1.0, 3.0]))
    assert hash(value) == hash(Sign([1.0, 2.0]))
    given_array[0] = 9
    assert isinstance(value.mu, ArrayValue)
    assert value.mu.array[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        value.mu.array[0] = 9
    assert "shape=(100,)" in repr(Sign(np.zeros(100)))


def test_cells_print_as_mathematics():
    shown = [cell.formula("x") for cell in (KEEP, POSITIVE, Mix(1.25, 1), SQUARE, ONES, ZERO, Sign(), Mix(0, 0))]
    assert shown == ["x", "x⁺", "(1.25·x⁺ + x⁻)", "x²", "1", "0", "sgn(x)", "0"]
    assert Constant(2).formula("W") == "2"
    assert Bound("low").value is MISSING


def test_where_prints_and_matches():
    where = Where(kinds={"dense"}, position="last", path="head.*")
    assert str(where) == "last dense path head.*"
    assert str(Where()) == "everything"
    found = {"kind": "dense", "function": "linear", "positions": frozenset({"last"}), "path": "head.0"}
    assert where.matches(**found)
    assert not where.matches(**{**found, "path": "body.0"})
    assert not where.matches(**{**found, "positions": frozenset()})
    assert Where(functions={"linear"}).matches(**found)
    assert Pass().formula() == "R_in = R"


def test_a_method_prints_as_a_list_of_its_parts():
    assert str(sx.parse("lrpsign_epsilon_0_25_std_x_mu_0_5")).splitlines() == [
        "family: lrp (textbook)",
        "seed: the selected output",
        "input layer: SIGN",
        "convolution|dense: epsilon 0.25·std(x)",
        "normalisation|scaling: z",
        "average_pooling|interpolation|sum: norm",
        "activation|dropout: pass",
        "logsumexp|max_pooling|selection|shape: exact VJP",
        "matrix_product|product|quotient: signal takes all",
        "softmax: softmax",
        "step: stop",
    ]
    shown = str(sx.parse("guided_grad_cam_VGG16ILSVRC", convention="signxai"))
    assert "family: cam (signxai)" in shown
    assert "relu|relu6: clip, then exact VJP" in shown
    assert "preset: VGG16ILSVRC" in shown
    assert str(sx.parse("smoothgrad_x_sign_mu_0_5")).endswith("map times: sgn(x − 0.5)")


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
