"""Plugins: what they register, and what is said of broken ones."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest

import signxai_core as sx
import signxai_rules
from signxai_core.errors import PluginError, UnknownNameError
from signxai_core.grammar import parse
from signxai_core.registry import BackendEntry, Grid, RuleEntry, Word, build, hookimpl, registry
from signxai_core.registry.entries import load
from signxai_core.specs import TEXTBOOK, Preset


def plugin(**hooks):
    """Return a plugin with the given hooks: what each returns, or the exception that it raises."""
    module = types.ModuleType("plugin")
    for name, value in hooks.items():
        setattr(module, name, hookimpl(_hook(value), specname=name))
    return module


def _hook(value):
    def hook():
        if isinstance(value, Exception):
            raise value
        return value

    return hook


def with_rules(**plugins):
    return build({"rules": signxai_rules, **plugins})


def test_the_shipped_plugins_have_no_problem():
    assert registry().problems == ()
    assert {info.name for info in registry().plugins} >= {"rules", "torch"}
    assert {"torch", "tensorflow"} <= {*sx.backends()}


def test_a_word_makes_names():
    word = Word(text="lrphalf", role="prefix", factory="signxai_rules.methods:flat_input_layer")
    chain = Word(text="soft_{epsilon}", role="chain", factory="signxai_rules.composites:epsilon")
    found = with_rules(third=plugin(signxai_words=[word, chain]))
    assert found.problems == ()
    assert found.words["lrphalf"].owner == "third"
    spec = parse("lrphalf_soft_0_5", found, TEXTBOOK)
    assert spec.input_layer == sx.rules()["flat"]()


def test_a_name_clash_is_reported_with_both_owners():
    found = with_rules(third=plugin(signxai_words=[Word(text="lrp", role="prefix", factory="a:b")]))
    (problem,) = found.problems
    assert "plugin 'third', hook signxai_words: 'lrp' is taken: plugin 'rules' registered it first" in str(problem)
    assert found.words["lrp"].owner == "rules"


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (plugin(signxai_rules=RuntimeError("boom")), "hook signxai_rules: RuntimeError: boom"),
        (plugin(signxai_rules=["epsilon"]), "handed over 'epsilon' of type str, expected RuleEntry"),
        (plugin(signxai_rules=None), "hook signxai_rules: TypeError"),
        (plugin(signxai_rulez=[]), "registration: PluginValidationError"),
    ],
)
def test_a_broken_plugin_does_not_take_the_rest_down(broken, text):
    fine = plugin(signxai_presets=[Preset(name="Mine", low=0, high=1)])
    found = with_rules(broken=broken, fine=fine)
    assert any(text in str(problem) and "plugin 'broken'" in str(problem) for problem in found.problems)
    assert "Mine" in found.presets
    assert "epsilon" in found.rules


def test_entries_are_validated():
    with pytest.raises(
        ValueError, match="factory must be an import path 'package.module:attribute', got 'rules.epsilon'"
    ):
        RuleEntry(name="mine", factory="rules.epsilon", reference="")
    with pytest.raises(ValueError, match="text must be words and {slots} joined by '_'"):
        Word(text="two words", role="chain", factory="a:b")
    with pytest.raises(ValueError, match="role"):
        Word(text="word", role="suffix", factory="a:b")
    with pytest.raises(ValueError, match="name must be a name"):
        BackendEntry(name="", factory="a:b", packages=())


def test_an_import_path_that_leads_nowhere_names_its_owner():
    with pytest.raises(
        PluginError, match="plugin 'mine' names 'signxai_rules.rules:nothing', which cannot be imported"
    ):
        load("signxai_rules.rules:nothing", "mine")
    with pytest.raises(PluginError, match="plugin 'mine' names 'no_such_module:x'"):
        load("no_such_module:x", "mine")


def test_unknown_backend():
    with pytest.raises(UnknownNameError, match="unknown backend 'torhc'; did you mean torch"):
        registry().backend("torhc")


def test_grids_multiply():
    grid = Grid(template="{a}_{b}", choices={"a": ("x", "y"), "b": ("1", "2")})
    assert list(grid) == ["x_1", "x_2", "y_1", "y_2"]


def test_plugins_can_be_switched_off():
    code = (
        "from signxai_core.registry import registry; r = registry(); "
        "print(list(r.backends), [i.status for i in r.plugins if i.name == 'torch'])"
    )
    environment = {**os.environ, "SIGNXAI_DISABLE_PLUGINS": "torch"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "'torch'" not in shown.stdout.split("]")[0]
    assert "disabled by SIGNXAI_DISABLE_PLUGINS" in shown.stdout
