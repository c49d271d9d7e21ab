"""The conformance suite passes on PyTorch, and catches every liar, naming the right cases."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatchcase

import attrs
import liars
import numpy as np
import pytest
import torch  # a machine without PyTorch fails here; it does not skip

import signxai_torch.network
from signxai_core.errors import BackendError, PlanError, PluginError, UnknownNameError
from signxai_core.registry import registry
from signxai_core.specs import Constant, Shared, Stop
from signxai_core.testing.conformance import cases, run
from signxai_core.testing.conformance import rules as suite
from signxai_core.testing.conformance.arrays import FUNCTIONS
from signxai_core.testing.conformance.cases import TOPICS
from signxai_core.testing.conformance.probes import PROBES

#: Where liars are tried: one probe of every sort, and what belongs to none.
PLACES = (
    "",
    "dense",
    "dense-behind-relu",
    "conv2d",
    "conv2d-padding",
    "conv2d-transposed-padding",
    "max-pool2d-overlapping",
    "avg-pool2d",
    "batch-norm-behind-conv2d",
    "batch-norm2d",
    "sum",
    "concat",
    "relu",
)


#: Nodes of several live inputs, and rules of these (Shared): test_reference_blocks.py compares them on every backend.
BLOCKS = {"multiply", "divide", "matrix_product", "take", "stack", "norm", "attention", "recurrent", "shift"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Run small operations on one thread: sharing them out takes longer than computing them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_torch_passes():
    report = run("torch")
    assert report.passed, f"\n{report}"
    assert len(report.outcomes) > 2000


def test_every_rule_and_every_kind_of_node_is_tried():
    listed = cases()
    assert len({case.id for case in listed}) == len(listed)
    assert {case.topic for case in listed} == set(TOPICS) - {"plugin"}  # no plugin with a probe is installed
    tried = {(case.what, case.place) for case in listed if case.topic == "rule"}
    assert tried == {(rule, probe) for rule in registry().rules for probe in PROBES}
    types = {node.type for probe in PROBES.values() for node in probe.network.nodes}
    built = set(signxai_torch.network._MODULES)
    assert types == built - BLOCKS, "every node that the builder knows is in a probe"


def test_a_rule_is_refused_or_compared_everywhere():
    # A rule that were refused everywhere would never be compared; stop is, since nothing would arrive.
    for name in registry().rules:
        compared = [p for p in PROBES.values() if suite.refusal(suite.example(name), p) is None and not p.head]
        assert compared or isinstance(suite.example(name), (Shared, Stop)), name


@pytest.fixture(scope="module")
def honest():
    return frozenset(run("torch", places=PLACES).failed)


RULES_WITH_SIGNS = ("alpha_beta", "gamma", "z_plus", "z_plus_no_bias", "z_box")
#: By liar: what it is caught by. Every pattern matches a failure, every failure a pattern.
CAUGHT = {
    "Garbage": ("rule:*", "linear:*:adjoint", "vjp:*:samples", "model:*:batch"),
    "MixesMany": ("linear:*:adjoint",),
    "IgnoresPadding": ("linear:*-padding:adjoint", "rule:conv2d-padding:*", "rule:conv2d-transposed-padding:*"),
    "ScaledVjp": ("vjp:*:difference", "rule:*"),
    "SampleStd": ("array:std", "array:std-axis-0", "rule:*:std_epsilon"),
    "BatchStd": ("array:std", "rule:*:std_epsilon", "model:*:batch"),
    "WrongMinimum": ("array:minimum-number", *(f"rule:*:{name}" for name in RULES_WITH_SIGNS)),
    "DropsBias": ("record:*:facts", "linear:*:apply", *(f"rule:*:{name}" for name in RULES_WITH_SIGNS[:3])),
    "WrongKind": ("record:avg-pool2d:*", "linear:avg-pool2d:*", "vjp:avg-pool2d:samples", "rule:avg-pool2d:*"),
    "NoPaths": ("record:*:operations", "record:*:facts", "linear:*", "vjp:*:samples", "rule:*"),
    "LastWinner": ("rule:max-pool2d-overlapping:exact", "rule:max-pool2d-overlapping:guided"),
    "OtherSample": ("rule:*", "linear:*:adjoint", "vjp:*:samples", "model:*:batch"),
    "TouchesModel": ("model:*:untouched", "model:repeated", "record:*:facts"),
    "WritesIntoRecording": ("linear:*", "rule:*"),
    "Unfinished": ("vjp:max-pool2d-overlapping:*", "rule:max-pool2d-overlapping:*", "model:max-pool2d-overlapping:*"),
    "AcceptsIntegers": ("error:integers", "error:booleans", "array:prepare"),
}


@pytest.mark.parametrize("liar", CAUGHT)
def test_a_liar_is_caught(liar, register, honest):
    register("liar", f"liars:{liar}")
    report = run("liar", places=PLACES)
    found = [name for name in report.failed if name not in honest]
    assert not report.passed
    assert [p for p in CAUGHT[liar] if not any(fnmatchcase(name, p) for name in found)] == []
    assert [name for name in found if not any(fnmatchcase(name, p) for p in CAUGHT[liar])] == []
    shown = str(report)
    assert all(TOPICS[name.split(":")[0]] in shown for name in found)
    assert "missing" in shown.splitlines()[0]


def test_every_liar_is_tried():
    classes = {
        name for name, value in vars(liars).items() if isinstance(value, type) and issubclass(value, liars.TorchBackend)
    }
    assert classes - {"TorchBackend", "Recording"} == set(CAUGHT)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if not name.startswith(("operators", "comparisons"))])
def test_every_wrong_array_function_is_caught(name, register, monkeypatch):
    method = name.partition("-")[0]
    true = getattr(liars.TorchBackend, method)
    monkeypatch.setattr(liars.Garbage, method, lambda *given: true(*given) + 1e-6, raising=False)
    register("liar", "liars:Garbage")
    assert f"array:{name}" in run("liar", topics=["array"]).failed


def test_a_wrong_conversion_is_caught(register, monkeypatch):
    monkeypatch.setattr(liars.Garbage, "asarray", lambda _, array, like: torch.from_numpy(array), raising=False)
    register("liar", "liars:Garbage")
    assert "array:round-trip" in run("liar", topics=["array"]).failed


# --- the suite's own data ---


def test_unfinished_operations_are_missing_and_the_report_says_what_to_do(register):
    register("liar", "liars:Unfinished")
    shown = str(run("liar", topics=["vjp"], places=["max-pool2d", "relu"]))
    assert shown.startswith("conformance of backend 'liar': 4 cases, 2 passed (0 of them refused, as they should be)")
    assert "vjp: look at Backend.vjp of this kind of operation" in shown
    assert "missing  difference, samples\n      at max-pool2d\n      NotImplementedError: max-pooling" in shown


def test_a_rule_that_is_accepted_where_it_should_be_refused_is_a_failure(monkeypatch):
    everywhere = suite.Refusal(rules="formula", error=PlanError, why="for this test")
    monkeypatch.setattr(suite, "REFUSALS", (everywhere,))
    report = run("torch", topics=["rule"], names=["epsilon"], places=["dense"])
    assert report.outcomes[0].text == "expected PlanError (for this test), but it was accepted"


@pytest.mark.parametrize("family", suite.FAMILIES)
def test_every_family_of_rules_is_refused_somewhere(family):
    assert any(refusal.rules == family for refusal in suite.REFUSALS)
    members = [suite.example(name) for name in registry().rules]
    assert any(suite.FAMILIES[family](rule) for rule in members)
    assert not all(suite.FAMILIES[family](rule) for rule in members)


def test_a_new_rule_is_tried_without_further_ado(monkeypatch):
    found = registry()
    owned = attrs.evolve(found.rules["flat"], entry=attrs.evolve(found.rules["flat"].entry, name="new"))
    more = attrs.evolve(found, rules={**found.rules, "new": owned})
    for name in ("cases", "rules"):
        monkeypatch.setattr(sys.modules[f"signxai_core.testing.conformance.{name}"], "registry", lambda: more)
    report = run("torch", names=["new"], places=["dense", "avg-pool2d"])
    assert [(o.case.id, o.case.refused is None) for o in report.outcomes] == [
        ("rule:dense:new", True),
        ("rule:avg-pool2d:new", False),
    ]
    assert suite.example("new").shares[0].terms[0].weight == Constant(1)


def test_the_tolerance_has_room():
    # Probes are well-conditioned: moving the input by 1e-13 moves the reference by less than the tolerance.
    random = np.random.default_rng(0)
    for name, probe in PROBES.items():
        if "max-pool" in name:
            continue  # ties are on purpose
        rule = suite.example("std_epsilon") if probe.kind in ("dense", "convolution") else suite.example("exact")
        spec = suite.method(rule, probe)
        moved = probe.x * (1 + 1e-13 * random.normal(size=probe.x.shape))
        a, b = (suite.explain(probe.network, x, spec, suite._targets(probe)).relevance for x in (probe.x, moved))
        assert np.abs(a - b).max() <= 0.01 * suite.TOLERANCE * np.abs(a).max(), name


# --- a backend that is not there ---


class Begun:
    """What an author has at first."""

    name = "begun"

    def prepare(self, model, x):
        return np.asarray(x)


def test_a_backend_that_was_begun_is_told_what_is_missing(register):
    register("begun", "test_conformance:Begun")
    report = run("begun", topics=["array"])
    assert f"{report.outcomes[0].text}, ".startswith(
        "Begun lacks record, linear, pull, pull_many, vjp, apply, forget, map_weight, split, scale_weight, select"
    )
    assert "Begun lacks record, linear" in str(report)


def test_missing_backends_fail(register):
    with pytest.raises(UnknownNameError, match="nonsense"):
        run("nonsense")
    register("absent", "no_such_framework:Backend")
    with pytest.raises(PluginError, match="no_such_framework"):
        run("absent")
    register("unbuilt", "liars:Garbage", None)
    with pytest.raises(BackendError, match="names no builder"):
        run("unbuilt")


@pytest.mark.parametrize(("backend", "code", "text"), [("torch", 0, "passed"), ("nonsense", 1, "cannot be tested")])
def test_the_pytest_form(backend, code, text):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "signxai_core.testing"]
    command += ["-k", "rule:dense:epsilon or array:minimum"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "SIGNXAI_BACKEND": backend}
    )
    assert done.returncode == code, done.stdout
    assert text in done.stdout
