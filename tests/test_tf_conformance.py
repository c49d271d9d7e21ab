"""The conformance suite passes on TensorFlow; what TensorFlow has no operation for is declared, and true."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.registry import registry
from signxai_core.testing import test_conformance as form
from signxai_core.testing.conformance import cases, run
from signxai_core.testing.conformance import rules as suite
from signxai_core.testing.conformance.probes import PROBES

pytest.importorskip("tensorflow")
import tensorflow as tf

from signxai_tf import network

ABSENT = {name: network.absent(probe.network) for name, probe in PROBES.items()}
POOLS_3D = [name for name in ABSENT if "pool3d" in name and network.absent(PROBES[name].network, "float32") is None]


def test_it_passes():
    report = run("tensorflow")
    assert report.passed, f"\n{report}"
    assert report.count["absent"] + report.count["passed"] + report.count["undecided"] == len(report.outcomes)
    assert report.count["passed"] > 2300
    absent = {outcome.case.place: outcome.text for outcome in report.outcomes if outcome.status == "absent"}
    assert absent == {name: why for name, why in ABSENT.items() if why is not None}
    assert all(f"  {name}: {why}" in str(report) for name, why in absent.items())


@pytest.mark.parametrize("name", [name for name, why in ABSENT.items() if why is not None])
def test_what_is_declared_absent_fails_in_tensorflow_itself(name, monkeypatch):
    monkeypatch.setattr(network, "absent", lambda *_: None)
    probe = PROBES[name]
    with pytest.raises((tf.errors.OpError, ValueError, TypeError)):
        network.build(probe.network)


def test_what_is_absent_is_skipped_with_the_reason():
    (case,) = cases(topics=["rule"], places=["conv3d-groups"], names=["epsilon"])
    with pytest.raises(pytest.skip.Exception, match="no groups along three axes"):
        form.test_conformance("tensorflow", case)


def test_a_backend_that_lacks_everything_does_not_pass(monkeypatch):
    monkeypatch.setattr(network.build, "absent", lambda _: "for this test")
    report = run("tensorflow", topics=["rule"], places=["dense"])
    assert report.count["absent"] == len(report.outcomes) > 0
    assert not report.passed


def test_a_network_that_cannot_be_built_says_why():
    with pytest.raises(NotImplementedError, match="no groups along three axes"):
        network.build(PROBES["conv3d-groups"].network)


@pytest.mark.parametrize("name", POOLS_3D)
def test_pooling_along_three_axes_in_single_precision(name):
    probe = PROBES[name]
    model, x = network.build(probe.network, "float32"), np.moveaxis(probe.x, 1, -1)
    for rule in map(suite.example, registry().rules):
        spec = suite.method(rule, probe)
        refused = suite.refusal(rule, probe)
        if refused is not None:
            with pytest.raises(refused.error):
                sx.explain(model, x, spec, suite._targets(probe))
            continue
        relevance = sx.explain(model, x, spec, suite._targets(probe)).relevance
        expected = suite._expected(rule, probe)
        # Single precision rounds at 1e-7; a few hundred products are summed, over denominators above 1e-3.
        assert np.abs(np.moveaxis(relevance, -1, 1) - expected).max() < 1e-4 * np.abs(expected).max(), rule
