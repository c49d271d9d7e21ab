"""Configuration files: what they declare works like a plugin's, and all mistakes come at once."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given
from test_grammar import names

import signxai_core as sx
from signxai_core import config
from signxai_core.errors import ConfigError, FileError, NameSyntaxError, PluginError, UnknownNameError
from signxai_core.registry import process, registry
from signxai_core.specs import Sign
from signxai_core.testing.strategies import rules as drawn_rules

GOOD = """
[rules.soft]
use = "gamma"
gamma = 0.1

[rules.full]
type = "rule"
shares = [{ terms = [{ x = "positive", weight = { positive = 1.5, negative = 1 }, bias = "zero" }] }]
stabiliser = { epsilon = 0.1 }

[composites.mine]
entries = [
    { where = { kinds = ["dense"] }, rule = { use = "epsilon", epsilon = 0.1 } },
    { where = { kinds = ["convolution"] }, rule = "soft" },
]
extends = "epsilon_plus"

[presets.Box]
low = -1
high = [1, 2]

[words.lrpsoft]
rule = "full"

[words.mine]
composite = "mine"

[methods.ours]
name = "zblrp_mine_Box"

[methods.signed]
name = "lrpsign_mine"
parameters = { mu = 0.5 }
convention = "signxai"
"""

BAD = {
    "typo = 1": "typo: unknown table; accepted: rules, composites, presets, words, methods",
    '[rules.a]\nuse = "gama"': "rules.a: unknown rule 'gama'; accepted: z, epsilon",
    '[rules.b]\ntype = "rule"\nshares = [{ terms = [{ x = "keeep", weight = "keep", bias = "keep" }] }]': (
        "rules.b.shares[0].terms[0].x: unknown cell 'keeep'; accepted: keep, positive"
    ),
    '[rules.c]\ntype = "rule"\nshares = [{ weight = 0.5, terms = [{ x = "keep", weight = "keep", bias = "keep" }] }]': (
        "rules.c: the share weights of a rule must sum to 1 on each side of the gate"
    ),
    '[rules.d]\ntype = "pass"\nclip = true': "rules.d: unknown key clip; accepted: ",
    '[rules.e]\nuse = "epsilon"\nepsilom = 3': "rules.e: rule 'epsilon' cannot take {'epsilom': 3}",
    '[composites.f]\nentries = [{ where = { kinds = ["dens"] }, rule = "flat" }]': (
        "composites.f.entries[0].where.kinds: unknown operation kind 'dens'; accepted: dense"
    ),
    '[composites.g]\nentries = [{ where = { position = "middle" }, rule = "flat" }]': (
        "composites.g.entries[0].where.position: expected one of first, last; got 'middle'"
    ),
    '[presets.P]\nlow = "x"': "presets.P.low: expected a number, an array of numbers or 'parameter', got 'x'",
    "[words.w]": "words.w: a word has either 'rule' (a prefix) or 'composite' (a chain), got {}",
    '[methods.m]\nname = "lrp_zz"': "methods.m: unknown method name 'lrp_zz'",
    '[methods.n]\nname = "lrp_z"\nparameters = { mu = 1 }': "methods.n: method 'lrp_z' has no parameter 'mu'",
}


@pytest.fixture
def clean_registry():
    yield
    process._FILES.clear()
    process.registry.cache_clear()


@pytest.fixture
def load(tmp_path, clean_registry):
    def write_and_load(text, name="file.toml"):
        path = tmp_path / name
        path.write_text(text)
        return sx.load(path)

    return write_and_load


def test_a_file_declares_names(load, branching):
    model, x = branching[0], np.clip(branching[1], -1, 1)  # within the box of the file
    load(GOOD)
    assert sx.name(sx.parse("lrpsoft_epsilon_0_1")) == "lrpsoft_epsilon_0_1"
    assert sx.name(sx.parse("ours")) == "zblrp_mine_Box"
    assert sx.parse("signed").input_layer.times == Sign(0.5)
    assert sx.rules()["soft"]() == sx.rules()["gamma"](gamma=0.1)
    maps = sx.explain_many(model, x, ["ours", "zblrp_mine", "lrpsoft_mine"], low=-1, high=np.array([1, 2]))
    np.testing.assert_array_equal(maps["ours"].relevance, maps["zblrp_mine"].relevance)
    with pytest.raises(NameSyntaxError, match="signed"):
        sx.parse("signe")


def test_loading_twice_replaces_and_two_files_clash(load):
    load(GOOD)
    load(GOOD)
    with pytest.raises(PluginError, match=r"word 'mine' is taken by .*file.toml"):
        load('[words.mine]\ncomposite = "epsilon_plus"', "other.toml")
    with pytest.raises(PluginError, match="rule 'epsilon' is taken by 'rules'"):
        load('[rules.epsilon]\nuse = "z"', "other.toml")
    with pytest.raises(ConfigError, match="the grammar knows the name .lrp_z. already"):
        load('[methods.lrp_z]\nname = "lrpz_z"', "other.toml")


@pytest.mark.parametrize("text", BAD, ids=lambda text: text.partition("]")[0].strip("["))
def test_each_mistake_is_found(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert any(problem.startswith(BAD[text]) for problem in caught.value.problems), caught.value.problems
    with pytest.raises(UnknownNameError):
        registry().backend("nothing was registered")


def test_all_mistakes_come_in_one_run(load):
    with pytest.raises(ConfigError) as caught:
        load("\n".join(BAD))
    for text in BAD.values():
        assert any(problem.startswith(text) for problem in caught.value.problems), text
    assert len(caught.value.problems) == len(BAD)
    assert f"{len(BAD)} mistakes" in str(caught.value)


#: A mistake in each place that others build on -> its message. All of them follow from one line.
CASCADES = {
    'use = "gamma"': ('use = "gama"', "rules.soft: unknown rule 'gama'"),
    "weight = { positive = 1.5, negative = 1 }": (
        'weight = "keeep"',
        "rules.full.shares[0].terms[0].weight: unknown cell 'keeep'",
    ),
    'kinds = ["dense"]': ('kinds = ["dens"]', "composites.mine.entries[0].where.kinds: unknown operation kind 'dens'"),
    "low = -1": ('low = "x"', "presets.Box.low: expected a number"),
    'composite = "mine"': ('compost = "mine"', "words.mine: a word has either"),
}


@pytest.mark.parametrize("right", CASCADES)
def test_what_follows_from_a_mistake_is_not_reported(load, right):
    wrong, message = CASCADES[right]
    assert GOOD.count(right) == 1
    with pytest.raises(ConfigError) as caught:
        load(GOOD.replace(right, wrong))
    (problem,) = caught.value.problems
    assert problem.startswith(message)


def test_a_mistake_does_not_hide_those_beside_it(load):
    """One entry refers to a rule that has a mistake and has another mistake of its own."""
    text = GOOD.replace('use = "gamma"', 'use = "gama"').replace('kinds = ["dense"]', 'kinds = ["dens"]')
    text += (
        '[methods.third]\nname = "lrpsign_mine_mu"\n[methods.fourth]\nname = "lrpsign_yours"\n[words.x]\nrule = "hard"'
    )
    with pytest.raises(ConfigError) as caught:
        load(text)
    found = [problem.partition(":")[0] for problem in caught.value.problems]
    assert found == ["rules.soft", "composites.mine.entries[0].where.kinds", "words.x", "methods.fourth"]


def test_a_table_that_is_none_takes_its_names_along(load):
    text = GOOD[GOOD.index("[composites.mine]") :].replace('rule = "full"', 'rule = "soft"')
    with pytest.raises(ConfigError) as caught:
        load(f"rules = 3\n{text}")
    (problem,) = caught.value.problems
    assert problem == "rules: expected a table of tables, got 3"


def test_unreadable_files(load, tmp_path):
    with pytest.raises(FileError, match="cannot read the configuration file"):
        sx.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load("[rules")


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
def test_every_published_method_survives_a_file(tmp_path, convention):
    path = tmp_path / "method.toml"
    for name in sx.methods():
        spec = sx.parse(name, convention=convention)
        path.write_text(sx.dump(spec, "again"))
        read = config.read(path, registry()).methods["again"]
        assert read == spec
        assert read.convention == convention


@given(names)
def test_every_name_of_the_grammar_survives(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("dump") / "method.toml"
    spec = sx.parse(name)
    path.write_text(sx.dump(spec))
    assert config.read(path, registry()).methods["method"] == spec


@given(drawn_rules())
def test_random_rules_survive(tmp_path_factory, rule):
    path = tmp_path_factory.mktemp("dump") / "method.toml"
    spec = attrs.evolve(sx.parse("lrpz_z"), input_layer=rule)
    path.write_text(sx.dump(spec))
    assert config.read(path, registry()).methods["method"] == spec


def test_arrays_survive(tmp_path, branching):
    model, x = branching
    spec = sx.explain(model, x, "lrpsign_z", mu=x[0]).spec
    path = tmp_path / "method.toml"
    path.write_text(sx.dump(spec))
    assert config.read(path, registry()).methods["method"] == spec


def test_a_composite_in_toml_reproduces_sequential_composite_b(load, branching):
    model, x = branching
    load(
        """
        [rules.two_one]
        use = "alpha_beta"
        alpha = 2

        [composites.again]
        entries = [
            { where = { kinds = ["dense"] }, rule = { use = "epsilon", epsilon = 0.1 } },
            { where = { kinds = ["convolution", "normalisation", "scaling"] }, rule = "two_one" },
            { where = { kinds = ["sum", "average_pooling", "interpolation"] }, rule = "norm" },
            { where = { kinds = ["activation", "dropout"] }, rule = "identity" },
            { where = { kinds = ["max_pooling", "shape"] }, rule = "exact" },
        ]
        [words.again]
        composite = "again"
        """
    )
    maps = sx.explain_many(model, x, ["lrp_again", "lrp_sequential_composite_b"])
    np.testing.assert_array_equal(maps["lrp_again"].relevance, maps["lrp_sequential_composite_b"].relevance)
