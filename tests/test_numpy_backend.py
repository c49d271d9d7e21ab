"""A backend without a framework, and the reference as an engine of its own: both through the hook."""

from __future__ import annotations

import subprocess
import sys

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import signxai_core as sx
from signxai_core import grammar
from signxai_core.errors import BackendError, ModelError, ParameterError, PlanError, TargetError
from signxai_core.registry import registry
from signxai_core.specs import Rule
from signxai_core.testing import Network, names, reference, strategies
from signxai_core.testing.conformance import load_subject, run
from signxai_core.testing.nodes import Activation, Conv, Dense
from signxai_core.testing.structure import Flatten, Softmax

#: Relative to the largest relevance: both compute in float64, with sums in another order.
TOLERANCE = 1e-8


@pytest.fixture
def network():
    draw = np.random.default_rng(0)
    return Network(
        [
            Conv(name="conv", weight=draw.normal(size=(4, 2, 3, 3)), bias=draw.normal(size=4), padding=1),
            Activation(name="relu", inputs="conv"),
            Flatten(name="flat", inputs="relu"),
            Dense(name="logits", inputs="flat", weight=draw.normal(size=(3, 64)), bias=draw.normal(size=3)),
            Softmax(name="head", inputs="logits"),
        ],
        input_shape=(2, 4, 4),
    )


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(2, 2, 4, 4))


def test_numpy_passes_the_whole_suite():
    report = run("numpy")
    assert report.passed, f"\n{report}"
    assert len(report.outcomes) > 2000


def test_a_network_is_a_model_and_its_plan_names_its_nodes(network, x):
    result = sx.explain(network, x, "lrpsign_epsilon_0_1")
    assert result.backend == "numpy"
    assert [row.operation for row in result.plan.rows] == [
        "conv (conv)", "relu (relu)", "flat (flatten)", "logits (dense)"
    ]  # fmt: skip
    np.testing.assert_allclose(result.output, reference.forward(network, x), rtol=1e-12)


def test_the_reference_is_asked_by_name(network, x):
    method = "smoothgrad_x_sign"
    given_ones = {"samples": 2, "target": [0, 2], "seed": "logit"}
    ours = sx.explain(network, x, method, **given_ones)
    theirs = sx.explain(network, x, method, backend="reference", **given_ones)
    direct = reference.explain(network, x, theirs.spec, [0, 2], "logit")
    np.testing.assert_array_equal(theirs.relevance, direct.relevance)
    np.testing.assert_allclose(ours.relevance, theirs.relevance, rtol=0, atol=1e-12)
    assert theirs.backend == "reference"
    assert theirs.plan.rows == ours.plan.rows
    assert "carried out by reference" in str(theirs.plan)
    np.testing.assert_allclose(theirs.conservation.expected, ours.conservation.expected, rtol=1e-12)
    plan = sx.plan(network, x, method, backend="reference")
    assert plan.notes == (*sx.plan(network, x, method).notes, "carried out by reference")


def test_what_the_reference_does_not_do_is_refused(network, x):
    for explain in (sx.explain, sx.plan):
        with pytest.raises(PlanError, match="reference cannot carry out 'lrp_z' on this model:\n  a function as"):
            explain(network.without_head(), x, "lrp_z", lambda y: y[:, 0], backend="reference")
    spec = sx.parse("lrp_z")
    without = attrs.evolve(spec.composite, entries=spec.composite.entries[:1])
    with pytest.raises(PlanError, match="does not linearise"):
        sx.explain(network, x, attrs.evolve(spec, composite=without), backend="reference", strict=False)
    with pytest.raises(ModelError, match="expected a signxai_core.testing.Network, got object"):
        sx.explain(object(), x, "lrp_z", backend="reference")
    with pytest.raises(BackendError, match="backend 'reference' carries out whole methods with an engine of its own"):
        load_subject("reference")


def test_two_models_are_compared_whoever_explains_them(network, x):
    found = sx.compare(network, network, x, ["lrpsign_z", "gradient"], backend_b="reference")
    assert (found.backend_a, found.backend_b) == ("numpy", "reference")
    assert found.agree
    assert all(entry.difference < 1e-12 for entry in found.methods)


def test_functions_of_the_outputs(network, x):
    def margin(y):
        return y[:, 0] * y[:, 1] - 2 * y[:, 2]

    network = network.without_head()
    result = sx.explain(network, x, "gradient", margin)
    rows = [sx.explain(network, x, "gradient", index).relevance for index in range(3)]
    first, second = (result.output[:, i].reshape(2, 1, 1, 1) for i in (0, 1))
    np.testing.assert_allclose(result.relevance, second * rows[0] + first * rows[1] - 2 * rows[2], atol=1e-10)
    with pytest.raises(TargetError, match="NumPy cannot differentiate the target function"):
        sx.explain(network, x, "gradient", lambda y: y[:, 0] + np.abs(y[:, 1]))
    with pytest.raises(TargetError, match="does not depend on the output"):
        sx.explain(network, x, "gradient", lambda y: np.ones(len(y)))


def configured(data, name):
    spec = sx.parse(name)
    known = grammar.parameters(spec, registry())
    given_ones = {key: data.draw(names.PARAMETERS[key], key) for key in known if key in names.PARAMETERS}
    free = {key: value for key, value in given_ones.items() if not known[key].stated}
    return grammar.configure(spec, free, registry(), name)


def is_open(network, spec):
    """Whether the definitions leave open what is right: see UNDECIDED in the conformance suite."""
    rules = [rule for rule in (spec.input_layer, *(e.rule for e in spec.composite.entries)) if isinstance(rule, Rule)]
    padded = any(getattr(node, "mode", "zeros") != "zeros" for node in network.nodes)
    return padded and any(rule.stabiliser.scale == "std" for rule in rules)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_random_networks_and_names(data):
    network = data.draw(strategies.networks(), "network")
    name = data.draw(st.one_of(names.lrp_names(), names.gradient_names()), "method")
    x = data.draw(strategies.inputs(network), "x")
    spec = configured(data, name)
    if is_open(network, spec):
        return
    ours, theirs = (sx.explain(network, x, spec, backend=backend) for backend in ("numpy", "reference"))
    apart, largest = np.abs(ours.relevance - theirs.relevance).max(), np.abs(theirs.relevance).max()
    assert apart <= TOLERANCE * max(largest, 1e-20), f"{name}: {apart:.2e} of {largest:.2e}\n{network!r}\n{ours.plan}"


def test_no_framework_is_needed():
    code = (
        "import sys, numpy as np, signxai_core as sx\n"
        "from signxai_core.testing import Network\n"
        "from signxai_core.testing.nodes import Dense\n"
        "network = Network([Dense(name='out', weight=[[1, -1], [2, 1]])], input_shape=(2,))\n"
        "for backend in (None, 'reference'):\n"
        "    print(sx.explain(network, np.array([[1.0, 2.0]]), 'lrp_z', 1, backend=backend).relevance.tolist())\n"
        "assert not {'torch', 'tensorflow', 'keras', 'zennit'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[[2.0, 2.0]]"] * 2


def test_a_bound_that_an_engine_of_its_own_does_not_keep_is_refused(network):
    x = np.random.default_rng(1).normal(size=(3, 2, 4, 4))
    with pytest.raises(ParameterError, match="'reference' walks by itself and keeps no bound: leave max_memory out"):
        sx.explain(network, x, "lrp_z", backend="reference", max_memory=100)
    whole = sx.explain(network, x, "lrp_z", backend="reference").relevance
    np.testing.assert_allclose(sx.explain(network, x, "lrp_z", backend="reference", batch_size=2).relevance, whole)
