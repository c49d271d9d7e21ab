"""The reference against results by hand, in fractions."""

from __future__ import annotations

from fractions import Fraction as F  # noqa: N817 - short, as in the formulas

import numpy as np
import pytest

from signxai_core.specs import (
    KEEP,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    UNWEIGHTED,
    WEIGHTED,
    ZERO,
    ArrayValue,
    Bound,
    Composite,
    Entry,
    MethodSpec,
    Mix,
    NormalisationRule,
    Pass,
    Rule,
    Share,
    Sign,
    Stabiliser,
    Term,
    Where,
)
from signxai_core.testing import network as net
from signxai_core.testing.planning import plan
from signxai_core.testing.reference import explain

Z = Rule((Share((Term(KEEP, KEEP, KEEP),)),))
FLAT = Rule((Share((Term(ONES, ONES, ZERO),)),))
RELATIVE = Rule(Z.shares, stabiliser=Stabiliser(1e-9, "relative"))


def epsilon(value, scale="absolute"):
    return Rule(Z.shares, stabiliser=Stabiliser(value, scale))


def lrp(rule, *, first=None, seed="one", fold=True, normalisation=None):
    entries = [
        Entry(Where(kinds={"normalisation", "scaling"}), normalisation or rule),
        Entry(Where(kinds=WEIGHTED), rule),
        Entry(Where(kinds=UNWEIGHTED), RELATIVE),
        Entry(Where(kinds={"activation"}), Pass()),
    ]
    composite = Composite(entries, fold_normalisation=fold)
    return MethodSpec(family="lrp", composite=composite, input_layer=first, seed=seed)


def check(network, x, spec, expected, target=None):
    relevance = explain(network, [x], spec, target).relevance[0]
    np.testing.assert_allclose(relevance, np.array(expected, dtype=np.float64), rtol=1e-14, atol=1e-14)


# --- one dense layer, by hand: z = (2 − 3 + 2, −4 − 1 − 1) = (1, −6) ---

DENSE = net.Network([net.Dense(name="dense", weight=[[1, 3], [-2, 1]], bias=[2, -1])], (2,))
X = (2, -1)
ALPHA_BETA = Rule(
    (
        Share((Term(POSITIVE, POSITIVE, POSITIVE), Term(NEGATIVE, NEGATIVE, ZERO)), weight=2),
        Share((Term(POSITIVE, NEGATIVE, NEGATIVE), Term(NEGATIVE, POSITIVE, ZERO)), weight=-1),
    )
)
WHOLE_BIAS = Rule(
    (
        Share((Term(POSITIVE, POSITIVE, KEEP), Term(NEGATIVE, NEGATIVE, ZERO)), weight=2),
        Share((Term(POSITIVE, NEGATIVE, KEEP), Term(NEGATIVE, POSITIVE, ZERO)), weight=-1),
    )
)
UP, DOWN = Mix(2, 1), Mix(1, 2)
GAMMA = Rule(
    (
        Share((Term(POSITIVE, UP, UP), Term(NEGATIVE, DOWN, ZERO)), gate="positive"),
        Share((Term(POSITIVE, DOWN, DOWN), Term(NEGATIVE, UP, ZERO)), gate="negative"),
    )
)


def box(low, high):
    terms = (
        Term(KEEP, KEEP, ZERO),
        Term(Bound("low", low), POSITIVE, ZERO, -1),
        Term(Bound("high", high), NEGATIVE, ZERO, -1),
    )
    return Rule((Share(terms),))


@pytest.mark.parametrize(
    ("rule", "target", "expected"),
    [
        pytest.param(Z, 0, (2, -3), id="z"),
        pytest.param(epsilon(1), 0, (1, F(-3, 2)), id="epsilon"),
        pytest.param(epsilon(1), 1, (F(4, 7), F(1, 7)), id="epsilon, negative output"),
        pytest.param(epsilon(F(2, 3), "std"), 0, (1, F(-3, 2)), id="std: the deviation of (2, −1) is 3/2"),
        pytest.param(epsilon(0.5, "relative"), 0, (F(2, 3), -1), id="relative: |1| < 6/2"),
        pytest.param(ALPHA_BETA, 0, (1, -1), id="alpha 2 beta 1"),
        pytest.param(WHOLE_BIAS, 0, (1, -3), id="alpha 2 beta 1, whole bias"),
        pytest.param(GAMMA, 0, (F(4, 5), F(-3, 5)), id="gamma 1, z > 0"),
        pytest.param(GAMMA, 1, (F(8, 12), F(2, 12)), id="gamma 1, z < 0"),
        pytest.param(Rule((Share((Term(ONES, SQUARE, ZERO),)),)), 0, (F(1, 10), F(9, 10)), id="w2"),
        pytest.param(FLAT, 0, (F(1, 2), F(1, 2)), id="flat"),
        pytest.param(box(-2, 3), 0, (F(4, 7), F(3, 7)), id="box"),
        pytest.param(box([-2, -1], [3, 3]), 0, (1, 0), id="box per channel"),
        pytest.param(Rule(Z.shares, times=Sign()), 0, (1, -3), id="sign"),
        pytest.param(Rule(Z.shares, times=Sign(-2)), 0, (1, 3), id="sign with mu"),
        pytest.param(Rule(Z.shares, times=Sign([3, -1])), 0, (-1, 3), id="sign with an array"),
        pytest.param(
            Rule((Share((Term(Mix(1, 2), KEEP, KEEP),)),), times=ONES), 0, (F(-1, 2), -3), id="slope of the input cell"
        ),
    ],
)
def test_rule_by_hand(rule, target, expected):
    check(DENSE, X, lrp(rule), expected, target)


def test_seeds_and_targets():
    spec = lrp(epsilon(1), seed="logit")
    np.testing.assert_allclose(explain(DENSE, [X, X], spec, [0, 1]).relevance, [[1, -1.5], [-24 / 7, -6 / 7]])
    np.testing.assert_allclose(explain(DENSE, [X], spec, 1, seed="one").relevance, [[4 / 7, 1 / 7]])
    assert explain(DENSE, [X, (-2, 0)], spec).target.tolist() == [0, 1]


def test_a_zero_output_lies_on_neither_side_of_the_gate():
    network = net.Network([net.Dense(name="dense", weight=[[1, 2]])], (2,))
    check(network, (2, -1), lrp(GAMMA), (0, 0))


# --- folding, by hand ---

BEHIND = net.Network(
    [
        net.Dense(name="dense", weight=[[1, 3]], bias=[2]),
        net.Scaling(name="scale", inputs="dense", scale=2, shift=1),
    ],
    (2,),
)
BEFORE = net.Network(
    [
        net.Scaling(name="scale", scale=[2, 0.5], shift=[1, 0]),
        net.Dense(name="dense", inputs="scale", weight=[[1, 3]], bias=[2]),
    ],
    (2,),
)
PADDED = net.Network(
    [
        net.Pad(name="pad", amounts=[(1, 0)]),
        net.Conv(name="conv", inputs="pad", weight=[[[1, 2]]]),
        net.Flatten(name="flatten", inputs="conv"),
        net.Dense(name="dense", inputs="flatten", weight=[[1, 1]]),
    ],
    (1, 2),
)


def test_scaling_behind_is_folded():
    check(BEHIND, X, lrp(epsilon(1)), (1, F(-6, 4)))


def test_scaling_before_is_folded_where_contributions_alone_count():
    check(BEFORE, X, lrp(Z), (F(8, 11), F(-3, 11)))
    # w² is about the layer's own weights, 1 and 3, and its own input: scaling hands relevance on.
    check(BEFORE, X, lrp(Z, first=Rule((Share((Term(ONES, SQUARE, ZERO),)),))), (F(1, 10), F(9, 10)))


def test_scaling_of_its_own():
    # z of the dense layer is 1, of the scaling 3: two epsilon rules instead of one.
    check(BEHIND, X, lrp(epsilon(1), fold=False), (F(2, 4) * F(2, 2), F(2, 4) * F(-3, 2)))


def test_zero_padding_gets_nothing_in_both_conventions():
    check(PADDED, [(1, 3)], lrp(Z, first=FLAT, seed="logit"), [(F(11, 2), F(7, 2))])
    check(PADDED, [(1, 3)], lrp(Z, first=FLAT, seed="logit", fold=False), [(F(11, 2), F(7, 2))])


def test_std_does_not_count_zero_padding():
    # The deviation of (1, 3) is 1.
    rule = epsilon(1, "std")
    check(PADDED, [(1, 3)], lrp(Z, first=rule, seed="logit"), [(F(4, 3) + F(7, 8), F(42, 8))])


def test_normalisation_rule():
    own = {"mean": [1], "var": [1], "gamma": [3], "beta": [1], "eps": 0.0}
    network = net.Network([net.BatchNorm(name="norm", **own)], (1,))
    spec = lrp(Z, fold=False, normalisation=NormalisationRule(epsilon=0), seed="logit")
    check(network, (2,), spec, (6,))
    # Without a linear neighbour it is a linear operation itself: 3·2 of 3·2 − 2.
    check(network, (2,), lrp(Z, seed="logit"), (6,))


# --- structure ---


def test_relevance_of_several_uses_is_added():
    network = net.Network([net.Add(name="sum", inputs=("input", "input", "input"))], (2,))
    check(network, (1, 2), lrp(Z, seed="logit"), (0, 6))


def test_max_pool_gives_to_the_first_winner():
    network = net.Network([net.MaxPool(name="pool"), net.Flatten(name="flat", inputs="pool")], (1, 4))
    check(network, [(5, 5, 1, 2)], lrp(Z), [(1, 0, 0, 0)])


def test_position_and_path():
    nodes = [
        net.Dense(name="a", weight=np.eye(2)),
        net.Activation(name="relu", inputs="a"),
        net.Dense(name="b", inputs="relu", weight=np.eye(2)),
        net.Dense(name="c", inputs="b", weight=[[1, 3], [0, 0]]),
    ]
    network = net.Network(nodes, (2,))

    def spec(**where):
        return MethodSpec(family="lrp", composite=Composite([Entry(Where(**where), FLAT), *lrp(Z).composite.entries]))

    # Only the last layer mixes its inputs, and z takes them as 1·1 : 3·2.
    check(network, (1, 2), lrp(Z), (F(1, 7), F(6, 7)))
    check(network, (1, 2), spec(position="last"), (F(1, 2), F(1, 2)))
    check(network, (1, 2), spec(path="c"), (F(1, 2), F(1, 2)))
    check(network, (1, 2), spec(position="first"), (F(1, 2), F(1, 2)))
    check(network, (1, 2), spec(path="nothing*"), (F(1, 7), F(6, 7)))
    positions = {o.node.name: sorted(o.positions) for o in plan(network, lrp(Z).composite).operations}
    assert positions == {"a": ["first"], "relu": [], "b": [], "c": ["last"]}


def test_bounds_of_the_input_reach_a_flattened_layer():
    nodes = [net.Flatten(name="flat"), net.Dense(name="out", inputs="flat", weight=[[1, 3, -1, 2]])]
    network = net.Network(nodes, (2, 2))
    x = [(1, 2), (3, 4)]
    per_channel = box(ArrayValue([-1, -2]), ArrayValue([5, 6]))
    everywhere = box(ArrayValue([[-1, -1], [-2, -2]]), ArrayValue([[5, 5], [6, 6]]))
    relevance = explain(network, [x], lrp(per_channel)).relevance
    np.testing.assert_array_equal(relevance, explain(network, [x], lrp(everywhere)).relevance)
    # 1·1 + 3·2 − 3 + 2·4 − (−1 − 3 − 4) + 6 = 26
    np.testing.assert_allclose(relevance[0], np.array([(2, 9), (3, 12)]) / 26)


def test_a_bound_given_as_an_array_is_zero_in_the_padding():
    spec = lrp(Z, first=box(ArrayValue([[-1, -1]]), ArrayValue([[4, 4]])), fold=False, seed="logit")
    # Windows (0, 1) and (1, 3) with weights (1, 2): z = (2, 7), denominators 2 + 2 and 7 + 3.
    check(PADDED, [(1, 3)], spec, [(2 + F(14, 10), F(56, 10))])
