"""Roles of operands: found in the graph, shown in plans, overridden by rules and composites; names beyond the table."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
import torch
from torch import nn

import signxai_core as sx
from signxai_core import config, errors
from signxai_core.cli import recompute
from signxai_core.registry import registry
from signxai_core.specs import Entry, Shared, Where


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.a(x) * torch.sigmoid(self.b(x)))


MODEL = Gated().double()
X = np.random.default_rng(0).normal(size=(2, 4))


def with_product(rule, name="lrp_z", **changes):
    spec = sx.parse(name)
    entries = (Entry(Where(kinds={"product"}), rule), *spec.composite.entries)
    return attrs.evolve(spec, composite=attrs.evolve(spec.composite, entries=entries, **changes))


def product_row(plan):
    return next(row for row in plan.rows if row.kind == "product")


def paths(plan):
    return [row.operation.split(" ")[0] for row in plan.rows if row.kind == "dense"]


def test_plans_show_roles_and_where_they_come_from():
    assert product_row(sx.plan(MODEL, X, "lrp_z")).why.endswith("signal → 1, gate: sigmoid → 0")
    assert product_row(sx.plan(MODEL, X, "lrp_attn")).why.endswith("signal → 0.5, gate: sigmoid → 0.5")


def test_a_plan_holds_only_what_relevance_arrives_at():
    assert paths(sx.plan(MODEL, X, "lrp_z")) == ["a", "head"]
    assert paths(sx.plan(MODEL, X, "lrp_attn")) == ["a", "b", "head"]
    assert paths(sx.plan(MODEL, X, "gradient")) == ["a", "b", "head"]


def test_a_plan_is_a_method():
    plan = sx.plan(MODEL, X, "lrpsign_epsilon_0_1_mu_0_25")
    again = sx.explain(MODEL, X, plan)
    np.testing.assert_array_equal(again.relevance, sx.explain(MODEL, X, "lrpsign_epsilon_0_1_mu_0_25").relevance)
    assert again.plan == plan


def test_roles_can_be_given():
    turned = with_product(Shared(roles=("gate", "signal")))
    assert paths(sx.plan(MODEL, X, turned)) == ["b", "head"]
    both = sx.explain(MODEL, X, with_product(Shared(roles=("signal", "signal")))).relevance
    np.testing.assert_allclose(both, sx.explain(MODEL, X, with_product(Shared(frozen=()))).relevance, rtol=1e-12)


def test_layers_can_be_frozen():
    frozen = with_product(Shared(frozen=()), frozen=("a",))
    assert product_row(sx.plan(MODEL, X, frozen)).why.endswith("frozen → 0, gate → 1")
    assert paths(sx.plan(MODEL, X, frozen)) == ["b", "head"]


def test_both_survive_a_file(tmp_path):
    spec = with_product(Shared(frozen=("gate",), roles=("gate", "signal")), frozen=("*.x_proj", "b"))
    text = config.dump(spec, "mine", registry())
    (tmp_path / "mine.toml").write_text(text)
    assert config.read(tmp_path / "mine.toml", registry()).methods["mine"] == spec


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shared(roles=("signal", "noise")), "unknown role 'noise'; roles of operands: signal, gate"),
        (lambda: Shared(frozen=("signal",)), "unknown role 'signal'; roles that can be frozen: gate"),
    ],
)
def test_unknown_roles_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_rule_with_too_few_roles_does_not_fit():
    with pytest.raises(errors.PlanError, match="it gives 1 roles, and the operation has 2 operands"):
        sx.plan(MODEL, X, with_product(Shared(roles=("signal",))))


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.sign(self.a(x)))


def test_an_output_that_is_piecewise_constant_has_no_relevance():
    with pytest.raises(errors.PlanError, match="no relevance arrives at the input"):
        sx.explain(Constant().double(), X, "lrp_z")


@pytest.mark.parametrize("count", [1, 2, 4, 8])
@pytest.mark.parametrize("method", ["lrp_z", "equal", "bare"])
def test_chains_of_gates_keep_the_total(count, method):
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.signals = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(count))
            self.gates = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(count))
            self.head = nn.Linear(4, 3, bias=False)

        def forward(self, x):
            for signal, gate in zip(self.signals, self.gates, strict=True):
                x = signal(x) * torch.sigmoid(gate(x))
            return self.head(x)

    model = Chain().double()
    if method == "bare":  # no rule for products: strict=False linearises them
        known = sx.parse("lrp_z")
        entries = tuple(entry for entry in known.composite.entries if "product" not in (entry.where.kinds or ()))
        spec = attrs.evolve(known, composite=attrs.evolve(known.composite, entries=entries))
        found = sx.explain(model, X, spec, strict=False)
        assert any("mul" in warning for warning in found.plan.warnings)
    else:
        found = sx.explain(model, X, "lrp_z" if method == "lrp_z" else with_product(Shared(frozen=("statistic",))))
    np.testing.assert_allclose(found.conservation.total, found.conservation.expected, rtol=1e-9)


def test_names_beyond_the_table():
    assert len(sx.methods()) == 152
    more = sx.methods(all=True)
    assert more[: len(sx.methods())] == sx.methods() or set(sx.methods()) < set(more)
    assert {"lrpsign_attn", "w2lrp_cp", "lrp_cp_gamma_0_25"} <= set(more)
    for name in more:
        if name not in sx.methods():
            assert sx.name(sx.parse(name)) == name


def test_a_revision_can_be_asked_for():
    first = sx.explain(MODEL, X, "lrp_z", convention="textbook@1")
    np.testing.assert_array_equal(first.relevance, sx.explain(MODEL, X, "lrp_z").relevance)
    assert first.revision == 1
    with pytest.raises(errors.UnknownNameError, match="unknown revision of recognised functions '7'"):
        sx.explain(MODEL, X, "lrp_z", convention="textbook@7")


def test_files_of_another_revision_are_refused(tmp_path):
    path = tmp_path / "maps.npz"
    metadata = {"format": recompute.FORMAT, "revision": 99, "versions": {"signxai-core": "7.1"}}
    np.savez(path, metadata=np.array(json.dumps(metadata)))
    with pytest.raises(errors.FileError, match=r"revision 99 .* this version has revision 1.*wrote it \(7.1\)"):
        recompute.read(path)
