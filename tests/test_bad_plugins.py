"""Plug-ins that are broken, found by a new process as pip would have put them there: each is named, none does harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

#: Module -> its source. Each one's entry point has the module's name.
PLUGINS = {
    "bad_import": "raise RuntimeError('no such luck')",
    "bad_type": """
from signxai_core.registry import hookimpl
@hookimpl
def signxai_rules():
    return ["epsilon"]
""",
    "claims_first": """
from signxai_core.registry import Word, hookimpl
@hookimpl
def signxai_words():
    return [Word(text="lrpours", role="prefix", factory="signxai_rules.methods:flat_input_layer")]
""",
    "claims_second": """
from signxai_core.registry import RuleEntry, Word, hookimpl
@hookimpl
def signxai_words():
    return [Word(text="lrpours", role="prefix", factory="signxai_rules.methods:z_input_layer")]
@hookimpl
def signxai_rules():
    return [RuleEntry(name="kept", factory="signxai_rules.rules:flat", reference="")]
""",
    "lopsided": """
from signxai_core.registry import RuleEntry, Word, hookimpl
from signxai_core.specs import KEEP, Rule, Share, Term
def make(*, convention=None):
    return Rule((Share((Term(KEEP, KEEP, KEEP),), 0.5),))
@hookimpl
def signxai_rules():
    return [RuleEntry(name="half", factory="lopsided:make", reference="")]
@hookimpl
def signxai_words():
    return [Word(text="lrphalf", role="prefix", factory="lopsided:make")]
""",
    "returns_nothing": """
from signxai_core.registry import RuleEntry, hookimpl
def make():
    return None
@hookimpl
def signxai_rules():
    return [RuleEntry(name="nothing", factory="returns_nothing:make", reference="")]
""",
    "newer_version": """
from signxai_core.registry import RuleEntry, hookimpl
SIGNXAI_HOOKS = 99
@hookimpl
def signxai_rules():
    return [RuleEntry(name="newer", factory="signxai_rules.rules:flat", reference="")]
""",
    "newer_hook": """
from signxai_core.registry import hookimpl
@hookimpl
def signxai_telepathy():
    return []
""",
    "newer_field": """
from signxai_core.registry import RuleEntry, hookimpl
@hookimpl
def signxai_rules():
    return [RuleEntry(name="newer", factory="signxai_rules.rules:flat", reference="", colour="red")]
""",
}
#: What is said of each: the start of a line.
SAID = (
    "plugin 'bad_import', import of bad_import: RuntimeError: no such luck",
    "plugin 'bad_type', hook signxai_rules: handed over 'epsilon' of type str, expected RuleEntry",
    "plugin 'claims_second', hook signxai_words: 'lrpours' is taken: plugin 'claims_first' registered it first; rename",
    "plugin 'newer_version', registration: it was written for version 99 of the hooks, and this signxai-core has",
    "plugin 'newer_hook', registration: PluginValidationError: unknown hook 'signxai_telepathy'",
    "plugin 'newer_field', hook signxai_rules: TypeError: ",
)
#: Only seen when its factories are called.
LATE = (
    "plugin 'lopsided', rule 'half': lopsided:make: ValueError: the share weights of a rule must sum to 1",
    "plugin 'returns_nothing', rule 'nothing': returns_nothing:make returned None, expected a rule",
    "plugin 'lopsided', word 'lrphalf': lopsided:make: ValueError: the share weights of a rule must sum to 1",
)
USE = """
import json, warnings
warnings.simplefilter("ignore")
import signxai_core as sx
from signxai_core.errors import PluginError
texts = []
for use in (lambda: sx.rules()["half"](), lambda: sx.parse("lrphalf_z")):
    try:
        use()
    except PluginError as error:
        texts.append(str(error))
print(json.dumps([len(sx.methods()), sx.name(sx.parse("lrpours_epsilon_0_1")), sx.parse("lrpours_z").input_layer.name,
                  "kept" in sx.rules(), "newer" in sx.rules(), texts]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, source in PLUGINS.items():
        (folder / f"{name}.py").write_text(source)
        info = folder / f"dist_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[signxai]\n{name} = {name}\n")
    return folder


def run(site, *arguments, **variables):
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "250", **variables}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def plugins(site, *arguments, **variables):
    done = run(site, "-c", "from signxai_core.cli import main; main()", "plugins", *arguments, **variables)
    return done.stdout, [line.removeprefix("problem: ") for line in done.stderr.splitlines() if "problem: " in line]


def test_each_is_named_with_its_place(site):
    shown, problems = plugins(site)
    assert len(problems) == len(SAID), problems
    for text in SAID:
        assert any(problem.startswith(text) for problem in problems), text
    status = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert set(PLUGINS) <= set(status)
    assert status["bad_import"].rstrip().endswith("broken")
    assert status["newer_hook"].rstrip().endswith("left out")
    assert status["newer_version"].rstrip().endswith("left out")
    assert status["claims_second"].rstrip().endswith("active, with problems")
    assert status["rules"].rstrip().endswith("active")
    assert "dist-bad-type" in status["bad_type"]


def test_verbose_tries_their_factories(site):
    shown, problems = plugins(site, "--verbose")
    assert len(problems) == len(SAID) + len(LATE), problems
    for text in (*SAID, *LATE):
        assert any(problem.startswith(text) for problem in problems), text
    assert "the hooks of this version are signxai_rules, " in " ".join(problems)
    assert "kept" in shown


def test_the_others_go_on(site):
    methods, name, rule, kept, newer, texts = json.loads(run(site, "-c", USE).stdout)
    assert methods > 150
    assert (name, rule) == ("lrpours_epsilon_0_1", "flat")
    assert kept
    assert not newer
    assert len(texts) == 2
    for text in texts:
        assert text.startswith("plugin 'lopsided', lopsided:make: ValueError: the share weights of a rule must sum")


def test_all_can_be_switched_off(site):
    shown, problems = plugins(site, "--verbose", SIGNXAI_DISABLE_PLUGINS=", ".join(PLUGINS))
    assert problems == []
    assert shown.count("disabled by SIGNXAI_DISABLE_PLUGINS") == len(PLUGINS)
    assert "lrpours" not in shown
