"""Rules that are Python functions: the same on every backend, and never named by a file."""

from __future__ import annotations

import attrs
import function_rules
import numpy as np
import pytest
import torch
from nets import BatchNormed, seeded

import signxai_core as sx
import signxai_rules
from signxai_core import config
from signxai_core.errors import ConfigError, PlanError, PluginError
from signxai_core.registry import build, registry
from signxai_core.registry.entries import load
from signxai_core.specs import UNWEIGHTED, WEIGHTED, Entry, FunctionRule, Where
from signxai_core.testing import Network, explain
from signxai_core.testing.nodes import Activation, BatchNorm, Conv, Dense
from signxai_core.testing.structure import Add, AvgPool, Flatten, Pad


def everywhere(rule, *, name="lrp_z", kinds=WEIGHTED):
    spec = sx.parse(name)
    composite = attrs.evolve(spec.composite, entries=(Entry(Where(kinds=kinds), rule), *spec.composite.entries))
    return attrs.evolve(spec, composite=composite)


def with_functions():
    return build({"rules": signxai_rules, "functions": function_rules})


@pytest.fixture
def network():
    draw = np.random.default_rng(3)
    weights = [draw.normal(size=size) for size in ((4, 2, 3, 3), (4, 4, 3, 3), (3, 16))]
    return Network(
        [
            Pad(name="pad", amounts=((1, 1), (1, 1))),
            Conv(name="conv", inputs="pad", weight=weights[0], bias=draw.normal(size=4)),
            BatchNorm(
                name="norm",
                inputs="conv",
                gamma=draw.uniform(0.5, 1, 4),
                beta=draw.normal(size=4),
                mean=draw.normal(size=4),
                var=draw.uniform(0.5, 1, 4),
            ),
            Activation(name="relu", inputs="norm"),
            Conv(name="conv2", inputs="relu", weight=weights[1], padding=1),
            Add(name="add", inputs=("conv2", "relu")),
            AvgPool(name="pool", inputs="add"),
            Flatten(name="flat", inputs="pool"),
            Dense(name="logits", inputs="flat", weight=weights[2], bias=draw.normal(size=3)),
        ],
        input_shape=(2, 4, 4),
    )


def test_a_function_written_like_a_rule_is_that_rule():
    model, x = seeded(BatchNormed), np.random.default_rng(0).normal(size=(2, 3, 5, 5))
    found = sx.explain(model, x, everywhere(function_rules.make_epsilon(0.2)))
    wanted = sx.explain(model, x, "lrp_epsilon_0_2")
    np.testing.assert_allclose(found.relevance, wanted.relevance, rtol=0, atol=1e-12)
    assert "written_epsilon" in str(found.plan)


@pytest.mark.parametrize("kinds", [WEIGHTED, WEIGHTED | UNWEIGHTED], ids=["weights", "sums too"])
@pytest.mark.parametrize("fold", [True, False])
def test_backend_and_reference_agree(network, kinds, fold):
    torch = registry().backends["torch"]
    model = load(torch.entry.builder, torch.owner)(network)
    x = np.random.default_rng(1).normal(size=(2, 2, 4, 4))
    spec = everywhere(function_rules.make_stronger(2), kinds=kinds)
    spec = attrs.evolve(spec, composite=attrs.evolve(spec.composite, fold_normalisation=fold))
    found = sx.explain(model, x, spec).relevance
    wanted = explain(network, x, spec).relevance
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


def test_as_the_rule_of_the_input_layer(network):
    spec = attrs.evolve(sx.parse("lrp_epsilon_0_1"), input_layer=function_rules.make_stronger(1))
    torch = registry().backends["torch"]
    model = load(torch.entry.builder, torch.owner)(network)
    x = np.random.default_rng(1).normal(size=(1, 2, 4, 4))
    wanted = explain(network, x, spec).relevance
    np.testing.assert_allclose(sx.explain(model, x, spec).relevance, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


def test_it_is_a_value():
    rule = FunctionRule("function_rules:stronger", {"power": 2, "a": 1}, name="stronger")
    assert rule == FunctionRule("function_rules:stronger", (("a", 1.0), ("power", 2.0)))
    assert len({rule, attrs.evolve(rule, name="other")}) == 1
    assert rule.formula() == "R_in = function_rules:stronger(x, z, R, a=1, power=2)"
    with pytest.raises(ValueError, match="path"):
        FunctionRule("not a path")


def test_a_function_that_returns_the_wrong_shape_is_named(branching):
    model, x = branching
    spec = everywhere(FunctionRule("function_rules:wrong", name="mine"))
    with pytest.raises(PluginError, match=r"rule 'mine' \(function_rules:wrong\) must return one array per input"):
        sx.explain(model, x, spec)


@pytest.mark.parametrize("path", ["function_rules:nothing", "no_such_module:f"])
def test_a_function_that_is_not_there_is_named(branching, path):
    model, x = branching
    with pytest.raises(PluginError, match=f"the rule 'mine' is the function '{path}'"):
        sx.explain(model, x, everywhere(FunctionRule(path, name="mine")))


def test_files_hold_its_name(tmp_path):
    known = with_functions()
    rule = function_rules.make_stronger(3)
    spec = attrs.evolve(everywhere(rule), input_layer=function_rules.make_epsilon(0.5))
    text = config.dump(spec, "mine", known)
    assert "function_rules" not in text
    (tmp_path / "mine.toml").write_text(text)
    assert config.read(tmp_path / "mine.toml", known).methods["mine"] == spec
    with pytest.raises(PlanError, match="function 'function_rules:stronger', which a file cannot hold"):
        sx.dump(everywhere(rule))
    with pytest.raises(PlanError, match="which a file cannot hold"):
        config.dump(everywhere(attrs.evolve(rule, name="written_epsilon")), "mine", known)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[rules.a]\ntype = "function"\npath = "os:system"', "a rule is a table with type = one of rule, pass, exact"),
        ('[rules.a]\nuse = "os:system"', "unknown rule 'os:system'"),
        ('[rules.a]\nuse = "stronger"\npath = "os:system"', "rule 'stronger' cannot take"),
        (
            '[methods.m]\nfamily = "lrp"\ncomposite = { entries = [] }\ninput_layer = { path = "os:system" }',
            "methods.m.input_layer: unknown key path",
        ),
    ],
)
def test_a_file_cannot_name_code(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "bad.toml", with_functions())
    assert message in str(caught.value)


def test_what_only_linear_operations_have_is_refused_elsewhere(branching):
    model, x = branching
    spec = everywhere(function_rules.make_stronger(), kinds={"activation"})
    with pytest.raises(PlanError, match=r"the operation is not linear, .*use context.apply and context.vjp"):
        sx.explain(model, x, spec)


class Gated(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.a(x) * torch.sigmoid(self.b(x)))


def test_a_function_at_a_product_sees_operands_and_derivatives():
    torch.manual_seed(0)
    model, x = Gated().double(), np.random.default_rng(0).normal(size=(2, 4))
    own = sx.explain(model, x, everywhere(FunctionRule("function_rules:halves", name="halves"), kinds={"product"}))
    shared = sx.explain(model, x, everywhere(sx.rules()["equal_shares"](), kinds={"product"}))
    np.testing.assert_allclose(own.relevance, shared.relevance, rtol=1e-9, atol=1e-12)
    assert "halves" in str(own.plan)


@pytest.mark.parametrize("name", ["key_error", "type_error", "recursion_error", "overflow_error"])
def test_whatever_a_function_raises_names_rule_and_operation(name):
    model, x = Gated().double(), np.random.default_rng(0).normal(size=(2, 4))
    spec = everywhere(FunctionRule(f"function_rules:raises_{name}", name="mine"), kinds={"product"})
    with pytest.raises(PluginError, match=rf"the rule 'mine' .*failed at mul at .*: {name.title().replace('_', '')}"):
        sx.explain(model, x, spec)
