"""The reference's class-activation maps and sampling wrappers, by hand."""

from __future__ import annotations

import hashlib
from fractions import Fraction as F  # noqa: N817 - short, as in the formulas

import numpy as np
import pytest

from signxai_core.specs import (
    Cam,
    Composite,
    Control,
    Entry,
    Exact,
    Integrate,
    MethodSpec,
    Sign,
    Smooth,
    Where,
)
from signxai_core.testing import network as net
from signxai_core.testing.reference import explain

GRADIENT = MethodSpec(family="gradient", composite=Composite([Entry(Where(), Exact())]))


def check(network, x, spec, expected):
    relevance = explain(network, [x], spec).relevance[0]
    np.testing.assert_allclose(relevance, np.array(expected, dtype=np.float64), rtol=1e-14, atol=1e-14)


CAM_NETWORK = net.Network(
    [
        net.Conv(name="conv", weight=[[[1]]], stride=2),
        net.Activation(name="relu", inputs="conv"),
        net.GlobalAvgPool(name="mean", inputs="relu"),
        net.Dense(name="logits", inputs="mean", weight=[[1]]),
    ],
    (1, 4),
)


@pytest.mark.parametrize(
    ("cam", "expected"),
    [
        pytest.param(Cam(), (0.5, 0.75, 1.25, 1.5), id="half-pixel centres"),
        pytest.param(Cam(series=True, align=True), (0.5, F(5, 6), F(7, 6), 1.5), id="aligned"),
        pytest.param(Cam(normalise=True), (F(1, 3), 0.5, F(5, 6), 1), id="normalised"),
        pytest.param(Cam(guided=True), (0.25, 0, 0.625, 0), id="guided"),
    ],
)
def test_grad_cam_by_hand(cam, expected):
    spec = MethodSpec(family="cam", composite=GRADIENT.composite, cam=cam)
    check(CAM_NETWORK, [(1, 2, 3, 4)], spec, [expected])


def test_integrated_gradients_are_complete():
    network = net.Network([net.Dense(name="a", weight=[[1, 2]]), net.Activation(name="b", inputs="a", of="tanh")], (2,))
    spec = MethodSpec(family="gradient", composite=GRADIENT.composite, sampling=Integrate(baseline=0.25))
    total = explain(network, [(1, 0.5)], spec).relevance.sum()
    np.testing.assert_allclose(total, np.tanh(2) - np.tanh(0.75), rtol=1e-13)


@pytest.mark.parametrize(
    "sampling",
    [Smooth(statistic="mean", samples=5), Smooth(statistic="variance", samples=5, relative=False), Control()],
    ids=repr,
)
def test_sampling_does_not_depend_on_the_batch(sampling):
    family = "control" if isinstance(sampling, Control) else "gradient"
    spec = MethodSpec(family=family, composite=GRADIENT.composite, sampling=sampling, modifier=Sign())
    batch = np.array([[[1.0, 2, 3, 4]], [[-1, 0.5, 2, 0]]])
    together = explain(CAM_NETWORK, batch, spec).relevance
    alone = explain(CAM_NETWORK, batch[1:], spec).relevance
    np.testing.assert_array_equal(together[1:], alone)


TANH = net.Network([net.Dense(name="a", weight=[[1]]), net.Activation(name="b", inputs="a", of="tanh")], (1,))


def test_sampling_by_hand():
    x, drawn = 0.5, np.random.default_rng(3).standard_normal((4, 1))[:, 0]
    slopes = 1 - np.tanh(x + 0.1 * drawn) ** 2
    for statistic, expected in (("mean", slopes.mean()), ("variance", slopes.var())):
        sampling = Smooth(statistic=statistic, samples=4, noise=0.1, relative=False, random_state=3)
        spec = MethodSpec(family="gradient", composite=GRADIENT.composite, sampling=sampling)
        np.testing.assert_allclose(explain(TANH, [[x]], spec).relevance, [[expected]], rtol=1e-12)
    # Relative noise on a sample whose values are all equal is none.
    spec = MethodSpec(family="gradient", composite=GRADIENT.composite, sampling=Smooth(statistic="variance"))
    check(TANH, (x,), spec, (0,))
    control = MethodSpec(family="control", composite=GRADIENT.composite, sampling=Control(random_state=3))
    key = int.from_bytes(hashlib.sha256(np.array([x], dtype="<f4").tobytes()).digest(), "little")
    check(TANH, (x,), control, np.random.default_rng([3, key]).uniform(-1, 1, 1))
