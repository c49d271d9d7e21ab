"""A plugin from outside adds a kind, readings, a class of rules and a probe: examples/operation_template, installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parent.parent / "examples/operation_template"

USE = """
import json, pathlib, tempfile
import numpy as np
import signxai_core as sx
from signxai_core import config
from signxai_core.registry import registry
from signxai_core.testing.conformance import run
from signxai_graphs import probe

far, plans = {}, {}
for backend in ("torch", "tensorflow"):
    model, x, method = probe.build(backend)
    for name in (method, "lrpsign_graph_0_25", "lrp_graph_0"):
        found = sx.explain(model, x, name)
        plans[f"{backend}: {name}"] = [(row.kind, row.rule) for row in found.plan.rows]
        if name == method:
            wanted = probe.relevance(x, found.target)
            far[backend] = float(np.abs(found.relevance - wanted).max() / np.abs(wanted).max())
text = config.dump(sx.parse("lrp_graph_0_5"), "mine", registry())
path = pathlib.Path(tempfile.mkdtemp()) / "mine.toml"
path.write_text(text)
again = config.read(path, registry()).methods["mine"] == sx.parse("lrp_graph_0_5")
reports = {name: run(name, topics=["plugin"]) for name in ("torch", "tensorflow", "numpy")}
print(json.dumps({
    "far": far, "plans": plans, "again": again, "toml": text,
    "suite": {name: [report.passed, len(report.outcomes)] for name, report in reports.items()},
    "problems": [str(problem) for problem in registry().problems],
}))
"""

LIE = """
from signxai_core.engine import local
from signxai_core.testing.conformance import run
import signxai_graphs.rules as rules

honest = rules.propagate
rules.propagate = lambda place, rule: tuple(1.001 * one for one in honest(place, rule))
report = run("torch", topics=["plugin"])
print(report.passed, report.failed)
"""

BROKEN = """
import numpy as np
import signxai_core as sx
from signxai_graphs import probe
import signxai_graphs.rules as rules

def raises(place, rule):
    raise RecursionError("too deep")

rules.propagate = raises
model, x, method = probe.build("torch")
try:
    sx.explain(model, x, method)
except sx.errors.PluginError as error:
    print(error)
"""


def run(folder, *command):
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "operation_template"
    shutil.copytree(TEMPLATE, source)
    folder = tmp_path_factory.mktemp("target")
    pip = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target"]
    options = ["--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, folder, *options, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_its_operations_run_as_by_hand_on_both_frameworks(installed):
    shown = json.loads(run(installed, sys.executable, "-c", USE).splitlines()[-1])
    assert shown["problems"] == []
    assert max(shown["far"].values()) < 1e-12, shown["far"]
    assert shown["again"]
    assert 'type = "aggregated"' in shown["toml"]
    kinds = {name: [kind for kind, _ in rows] for name, rows in shown["plans"].items()}
    assert all("quantiser" in found for found in kinds.values())
    assert ["matrix_product", "aggregated 0.25"] in shown["plans"]["torch: lrp_graph_0_25"]
    assert ["matrix_product", "aggregated 0.25"] in shown["plans"]["tensorflow: lrpsign_graph_0_25"]
    assert shown["suite"] == {"torch": [True, 1], "tensorflow": [True, 1], "numpy": [True, 1]}


def test_the_suite_catches_its_liar(installed):
    assert run(installed, sys.executable, "-c", LIE).split() == ["False", "('plugin:graph:oracle',)"]


def test_what_its_propagator_raises_names_plugin_rule_and_operation(installed):
    text = run(installed, sys.executable, "-c", BROKEN)
    assert "plugin 'graphs', rule 'aggregated 0.25' at matmul: RecursionError: too deep" in text


def test_without_it_the_quantiser_is_refused_or_a_constant():
    code = USE.split("far, plans", maxsplit=1)[0].replace("from signxai_graphs import probe\n", "")
    sources = str(TEMPLATE / "src")
    refused = code + (
        f"import sys; sys.path.append({sources!r})\n"
        "from signxai_graphs import probe\n"
        "for name in ('torch', 'tensorflow'):\n"
        "    try:\n"
        "        sx.explain(*probe.build(name)[:2], 'lrp_z')\n"
        "        plan = sx.plan(*probe.build(name)[:2], 'lrp_z')\n"
        "        print(name, [row.rule for row in plan.rows if row.kind == 'step'])\n"
        "    except sx.errors.SignxaiError as error:\n"
        "        print(name, type(error).__name__)\n"
    )
    # TensorFlow shows the rounding inside, which is a constant to every rule.
    lines = run("", sys.executable, "-c", refused).splitlines()
    assert lines == ["torch UnsupportedOperationError", "tensorflow ['stop']"]


def test_it_is_listed(installed):
    def signxai(*arguments):
        return run(installed, sys.executable, "-c", "from signxai_core.cli import main; main()", *arguments)

    assert "aggregated" in signxai("rules")
    verbose = signxai("plugins", "--verbose")
    for text in ("KindRow:quantiser", "torch:StraightThrough", "signxai_graphs"):
        assert text in verbose
    assert "R_A = 0.25" in signxai("show", "lrp_graph_0_25")
