"""The plug-in template is built, installed, used by a new process, and gone when it is uninstalled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parent.parent / "examples/plugin_template"

USE = """
import json
import numpy as np
import signxai_core as sx
from signxai_core.registry import registry
from signxai_core.testing.conformance import load_subject
from signxai_core.testing import Network, explain
from signxai_core.testing.nodes import Activation, Conv, Dense
from signxai_core.testing.structure import Flatten, MaxPool

random = np.random.default_rng(0)
network = Network(
    [
        Conv(name="conv", weight=random.normal(size=(4, 2, 3, 3)), bias=random.normal(size=4)),
        Activation(name="relu", inputs="conv"),
        MaxPool(name="pool", inputs="relu"),
        Flatten(name="flat", inputs="pool"),
        Dense(name="hidden", inputs="flat", weight=random.normal(size=(6, 16)), bias=random.normal(size=6)),
        Activation(name="relu2", inputs="hidden"),
        Dense(name="logits", inputs="relu2", weight=random.normal(size=(3, 6))),
    ],
    input_shape=(2, 6, 6),
)
x = random.uniform(0, 1, size=(2, 2, 6, 6))
names = [
    "lrpevidence_epsilon_0_1", "lrpevidence_evidence_0_75", "lrpsign_evidence_0_25_mu_0_5", "zblrp_evidence_0_5_UnitBox"
]
wanted = {name: explain(network, x, sx.parse(name)).relevance for name in names}
assert all(sx.name(sx.parse(name)) == name for name in names)
far = {}
for backend, owned in registry().backends.items():
    if owned.entry.builder:
        subject = load_subject(backend)
        model = subject.build(network)
        for name in names:
            found = subject.neutral(sx.explain(model, subject.given(x), name).relevance)
            far[f"{backend}: {name}"] = float(np.abs(found - wanted[name]).max() / np.abs(wanted[name]).max())
found = registry()
print(json.dumps({
    "far": far,
    "problems": [str(problem) for problem in found.problems],
    "owners": [found.rules["evidence"].owner, found.words["lrpevidence"].owner, found.presets["UnitBox"].owner,
               found.composites["evidence"].owner],
}))
"""


def run(folder, *command):
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def signxai(folder, *arguments):
    return run(folder, sys.executable, "-c", "from signxai_core.cli import main; main()", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The template in a folder of its own, put there by pip, without a network."""
    source = tmp_path_factory.mktemp("source") / "plugin_template"
    shutil.copytree(TEMPLATE, source)  # building leaves files behind
    folder = tmp_path_factory.mktemp("target")
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target"]
    options = ["--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, folder, *options, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_its_names_work_and_agree_with_the_reference(installed):
    shown = json.loads(run(installed, sys.executable, "-c", USE))
    assert shown["problems"] == []
    assert shown["owners"] == ["evidence"] * 4
    backends = [case.partition(":")[0] for case in shown["far"]]
    assert {name: backends.count(name) for name in backends} == {"numpy": 4, "torch": 4, "tensorflow": 4}
    assert max(shown["far"].values()) < 1e-8, shown["far"]


def test_its_rule_is_in_the_conformance_suite(installed, monkeypatch):
    monkeypatch.setenv("SIGNXAI_BACKEND", "numpy, torch, tensorflow")
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "signxai_core.testing"]
    shown = run(installed, sys.executable, *suite, "-k", "evidence and dense")
    assert "15 passed" in shown, shown


def test_it_is_listed_with_its_owner(installed):
    assert "lrpevidence_evidence_0_75" in signxai(installed, "methods").split()
    methods = json.loads(signxai(installed, "methods", "lrp*_epsilon_0_1", "--json"))
    assert {method["name"]: method["owner"] for method in methods} == {
        "lrp_epsilon_0_1": "rules",
        "lrpsign_epsilon_0_1": "rules",
        "lrpz_epsilon_0_1": "rules",
        "lrpevidence_epsilon_0_1": "evidence",
    }
    (line,) = [line for line in signxai(installed, "rules").splitlines() if line.startswith("evidence")]
    assert line.split()[:2] == ["evidence", "evidence"]
    assert "the plug-in template" in line
    plugins = signxai(installed, "plugins", "--verbose")
    assert "signxai_example" in plugins
    assert "signxai-example-plugin" in plugins
    assert "R / (z)" in signxai(installed, "show", "lrpevidence_evidence_0_75")


def test_it_is_gone_when_uninstalled(installed, tmp_path):
    folder = tmp_path / "target"
    shutil.copytree(installed, folder)
    assert "lrpevidence_z" in signxai(folder, "methods")
    (record,) = folder.glob("*.dist-info")
    shutil.rmtree(record)  # what 'pip uninstall' removes; it does not know about --target
    shutil.rmtree(folder / "signxai_example")
    assert "lrpevidence" not in signxai(folder, "methods")
    assert "evidence" not in signxai(folder, "plugins", "--verbose")


def test_it_can_be_switched_off(installed, monkeypatch):
    monkeypatch.setenv("SIGNXAI_DISABLE_PLUGINS", "evidence")
    assert "lrpevidence" not in signxai(installed, "methods")
    assert "disabled by SIGNXAI_DISABLE_PLUGINS" in signxai(installed, "plugins")


def test_it_states_what_it_has(installed):
    text = (TEMPLATE / "README.md").read_text("utf-8")
    for name in ("lrpevidence", "evidence_{supporting}", "UnitBox", "lrpevidence_epsilon_0_1"):
        assert f"`{name}`" in text
