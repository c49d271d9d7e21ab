# ruff: noqa: F811 - fixtures
"""Names that files declare: identifiers, beside the grammar's names and never in their place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_cli import fail, place, run, succeed  # noqa: F401 - a fixture
from test_config import clean_registry, load  # noqa: F401 - fixtures

import signxai_core as sx
from signxai_core.errors import ConfigError, PluginError
from signxai_core.specs import KEEP, Composite, Entry, MethodSpec, Pass, Phrase, Preset, Share, Term, Where

METHOD = '[methods."{}"]\nname = "lrp_z"\n'
#: A name -> the declaration that it would stand in, for every table of a file.
TABLES = {
    "rules": '[rules."{}"]\nuse = "z"\n',
    "composites": '[composites."{}"]\nentries = []\n',
    "presets": '[presets."{}"]\nlow = 0\n',
    "words": '[words."{}"]\nrule = "z"\n',
    "methods": METHOD,
    "experiments": '[experiments."{}"]\nmodel = "m:f"\ninputs = ["x.npy"]\nmethods = ["lrp_z"]\noutput = "o"\n',
}


def _mistake(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    (problem,) = caught.value.problems
    return problem


# Identifiers


BAD = ["../../../../escaped", "a/b", "a b", "", "1a", "a\\u001b[2Jb", "a\\u0000", "é", "a" * 101]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("table", TABLES)
def test_declared_names_are_identifiers(load, table, name):
    problem = _mistake(load, TABLES[table].format(name))
    assert "is no name: expected a letter, then letters, digits and '_', at most 100" in problem
    assert problem.isprintable()
    assert sx.methods() == sx.methods()


def test_a_method_cannot_write_outside_the_output(place, tmp_path, clean_registry):
    (tmp_path / "work").mkdir()
    (tmp_path / "ours.toml").write_text(METHOD.format("../../../escaped"))
    before = sorted(tmp_path.rglob("*"))
    fail(ConfigError, "explain", f"{place}:images", "x.npy", "-m", "all", "--set", "mu=0", "--config", "ours.toml",
         "-o", "work/out")  # fmt: skip
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before


def test_dump_refuses_a_name_that_load_would_refuse():
    with pytest.raises(ConfigError, match="'a b' is no name"):
        sx.dump(sx.parse("lrp_z"), "a b")


# Names that stay what they are


def test_a_declared_name_does_not_take_over_a_name_of_the_grammar(place, tmp_path, clean_registry):
    (tmp_path / "ours.toml").write_text('[methods.ours]\nname = "lrp_z"\n')
    succeed("explain", f"{place}:images", "x.npy", "-m", "lrp_z", "-m", "ours", "--config", "ours.toml", "-o", "out")
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert [key for key in found if key.startswith("maps/")] == ["maps/lrp_z", "maps/ours"]
        assert list(json.loads(str(found["metadata"]))["methods"]) == ["lrp_z", "ours"]
    assert sx.name(sx.parse("lrp_z")) == "lrp_z"


def test_the_explanation_has_the_name_that_was_asked_for(load, branching):
    load('[methods.ours]\nname = "lrp_z"\n[methods.half]\nname = "lrpsign_z"\nparameters = { mu = 0.5 }')
    maps = sx.explain_many(*branching, ["ours", "lrp_z", "half"])
    assert [found.method for found in maps.values()] == ["ours", "lrp_z", "half"]
    assert sx.explain(*branching, "half", mu=0.25).method == "lrpsign_z_mu_0_25"


def test_what_was_asked_for_is_stored_in_every_spelling(place, tmp_path):
    wanted = ["input_t_gradient", "gradient_x_input", "lrp_epsilon_1_0", "lrp_epsilon_1"]
    succeed("explain", f"{place}:images", "x.npy", *[a for name in wanted for a in ("-m", name)], "-o", "out")
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert [key for key in found if key.startswith("maps/")] == [f"maps/{name}" for name in wanted]
        np.testing.assert_array_equal(found[f"maps/{wanted[0]}"], found[f"maps/{wanted[1]}"])


@pytest.mark.parametrize("name", ["lrp_z", "lrp_epsilon_7", "lrpsign_epsilon_0_37_mu_neg_1_25", "gradient_x_input"])
def test_a_name_that_the_grammar_knows_is_refused(load, name):
    assert _mistake(load, f'[methods.{name}]\nname = "flatlrp_zplus"\n') == (
        f"methods.{name}: the grammar knows the name {name!r} already; choose another"
    )


def test_a_name_of_the_files_own_words_is_refused(load):
    text = '[words.lrpown]\nrule = "z"\n[methods.lrpown_z]\nname = "lrp_z"\n'
    assert "the grammar knows the name 'lrpown_z' already" in _mistake(load, text)


def test_a_word_does_not_take_over_a_method_of_another_file(load):
    load('[methods.lrpown_z]\nname = "lrp_z"\n', "one.toml")
    problem = _mistake_in(load, '[words.lrpown]\nrule = "flat"\n')
    assert problem == "words: with them the grammar knows 'lrpown_z', a method that another file declares; rename one"
    load("", "one.toml")
    load('[words.lrpown]\nrule = "flat"\n', "two.toml")


def _mistake_in(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text, "two.toml")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[words.z_mu_0_5]\ncomposite = "epsilon_plus_flat"', "lrpsign_z_mu_0_5"),
        ('[words.epsilon_0_1]\ncomposite = "epsilon_plus_flat"', "lrp_epsilon_0_1"),
        ('[words.z_MNISTCNN]\ncomposite = "epsilon_plus_flat"', "lrp_z_MNISTCNN"),
    ],
)
def test_a_word_that_the_grammar_reads_already_is_refused(load, text, name):
    before = sx.parse(name)
    assert "the grammar reads" in _mistake(load, text)
    assert sx.parse(name) == before


def test_a_preset_does_not_change_a_name(load):
    before = sx.parse("lrpsign_z_mu_0_5"), sx.parse("grad_cam_timeseries")
    load("[presets.mu_0_5]\nlow = 0\n[presets.timeseries]\nlow = 0")
    assert (sx.parse("lrpsign_z_mu_0_5"), sx.parse("grad_cam_timeseries")) == before


def test_a_word_with_a_slot_is_refused(load):
    assert _mistake(load, '[words."x_{n}"]\ncomposite = "epsilon_plus"') == (
        "words.x_{n}: a word of a file takes no number: its composite or rule is the same whatever a name says. Leave "
        "{n} out and declare a word for each value, or register the word in a plug-in, whose factory gets the number"
    )


def test_a_file_that_was_loaded_before_starts_anew(load):
    load('[rules.soft]\nuse = "gamma"\ngamma = 0.1\n[words.lrpsoft]\nrule = "soft"')
    assert "unknown rule 'soft'" in _mistake(load, '[words.lrpsoft]\nrule = "soft"')


def test_a_file_is_the_same_under_every_spelling_of_its_path(load, tmp_path, monkeypatch):
    load('[methods.ours]\nname = "lrp_z"\n')
    monkeypatch.chdir(tmp_path)
    assert list(sx.load("./file.toml").methods) == ["ours"]
    (tmp_path / "other.toml").write_text('[methods.ours]\nname = "lrp_z"\n')
    with pytest.raises(PluginError, match="method 'ours' is taken"):
        sx.load("other.toml")


# Specifications in full


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('convention = "nonsense"', "'convention' must be in"),
        ('phrase = { word = "../x" }', "word must be words and {slots} joined by '_', got '../x'"),
        ('prefix = "a b"', "prefix must be"),
        ('preset = { name = "../x" }', "name must be a letter, then letters, digits and '_', at most 100, got '../x'"),
    ],
)
def test_texts_of_a_specification_are_checked(load, line, problem):
    text = f'[methods.ours]\nfamily = "lrp"\ncomposite = {{ entries = [] }}\n{line}\n'
    assert problem in _mistake(load, text)


# Lists


LISTS = {
    '[experiments.e]\nmodel = "m:f"\ninputs = "x.npy"\nmethods = ["lrp_z"]\noutput = "o"': "experiments.e.inputs",
    '[experiments.e]\nmodel = "m:f"\ninputs = ["x"]\nmethods = "lrp_z"\noutput = "o"': "experiments.e.methods",
    '[experiments.e]\nmodel = "m:f"\ninputs = ["x"]\nmethods = ["a"]\noutput = "o"\nexclude = "lrp_z"': (
        "experiments.e.exclude"
    ),
    '[experiments.e]\nmodel = "m:f"\ninputs = ["x"]\nmethods = ["a"]\noutput = "o"\nmean = { a = 1 }': (
        "experiments.e.mean"
    ),
    '[composites.c]\nentries = "abc"': "composites.c.entries",
    '[composites.c]\nentries = { where = {}, rule = "z" }': "composites.c.entries",
    '[rules.r]\ntype = "rule"\nshares = "x"': "rules.r.shares",
    '[rules.r]\ntype = "rule"\nshares = [{ terms = "x" }]': "rules.r.shares[0].terms",
}


@pytest.mark.parametrize("text", LISTS, ids=lambda text: LISTS[text])
def test_a_text_is_no_list(load, text):
    assert _mistake(load, text).startswith(f"{LISTS[text]}: expected a list, got ")


@pytest.mark.parametrize("key", ["parameters", "rules"])
def test_a_text_is_no_table(load, key):
    text = f'[experiments.e]\nmodel = "m:f"\ninputs = ["x"]\nmethods = ["a"]\noutput = "o"\n{key} = "abc"'
    assert _mistake(load, text) == f"experiments.e.{key}: expected a table, got 'abc'"


def test_texts_are_no_lists_in_python_either():
    term = Term(KEEP, KEEP, KEEP)
    for make, name in (
        (lambda: Where(kinds="dense"), "kinds"),
        (lambda: Where(functions="relu"), "functions"),
        (lambda: Share("ab"), "terms"),
        (lambda: Share({"a": term}), "terms"),
        (lambda: Composite("ab"), "entries"),
        (lambda: sx.registry.BackendEntry(name="a", factory="a:b", packages="torch"), "packages"),
        (lambda: sx.registry.Grid(template="{a}", choices={"a": "xyz"}), "choices"),
        (lambda: Phrase("a", "12"), "numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{name} must be a list"):
            make()
    assert Where(kinds=["dense"]).kinds == {"dense"}
    assert Composite([Entry(Where(), Pass())]).entries
    assert Preset(name="A_1").name == "A_1"
    with pytest.raises(ValueError, match="name must be"):
        Preset(name="../x")
    assert MethodSpec(family="lrp", composite=Composite(()))
