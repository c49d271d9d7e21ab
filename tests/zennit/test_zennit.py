"""Two engines that share nothing but the plan: zennit's hooks and ours give the same maps."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.core
import zennit.layer
import zennit.rules
import zennit.types
from signxai_example.rules import evidence
from torch import nn
from zennit_nets import BOX, NETS, by_zennit, distance, normalised, vgg_like, with_rule

import signxai_core as sx
from signxai_core import grammar
from signxai_core.registry import registry
from signxai_core.specs import WEIGHTED, Composite, Entry, Exact, MethodSpec, Stabiliser, Where
from signxai_torch.zennit_bridge import from_zennit, to_zennit
from signxai_torch.zennit_bridge.writing import MergeBatchNorm

NAMES = (
    "lrp_epsilon_plus",
    "lrp_epsilon_gamma_box",
    "lrp_epsilon_alpha2_beta1_flat",
    "lrp_epsilon_0_1",
    "lrpsign_z",
    "lrp_z",
    "lrpsign_epsilon_0_25_mu_0_5",
    "zblrp_gamma_0_25",
    "w2lrp_alpha_2_beta_1",
    "flatlrp_zplus",
    "lrp_sequential_composite_b",
    "lrp_excitation_backprop",
    "gradient",
    "guided_backprop",
    "deconvnet",
)


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-2, 2, size=(3, 3, 16, 16))


def configured(name):
    spec = sx.parse(name)
    return grammar.configure(spec, BOX, registry(), name) if "box" in name or name.startswith("zb") else spec


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", NAMES)
def test_to_zennit_run_by_zennit_is_ours(net, name, x):
    model, spec = NETS[net](), configured(name)
    ours = sx.explain(model, x, spec)
    theirs = by_zennit(model, to_zennit(spec), x, torch.tensor(ours.target), spec.seed)
    # The same sums in another order, in float64; no stabiliser is zennit's own.
    assert distance(theirs, ours.relevance) < 1e-10
    assert np.abs(ours.relevance).max() > 0


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", NAMES)
def test_zennit_as_an_engine(net, name, x):
    model = NETS[net]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    spec = configured(name)
    ours, theirs = sx.explain(model, x, spec, 2), sx.explain(model, x, spec, 2, backend="zennit")
    assert distance(theirs.relevance, ours.relevance) < 1e-10
    np.testing.assert_allclose(theirs.conservation.gap, ours.conservation.gap, atol=1e-8 * np.abs(ours.relevance).sum())
    assert theirs.backend == "zennit"
    assert theirs.method == ours.method
    assert theirs.plan.rows == ours.plan.rows
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert {m.eps for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))} <= {1e-5}


#: zennit's own composites, from canonizers and what it adds to every denominator.
NATIVE = {
    "lrp_epsilon_plus": lambda c, e: zennit.composites.EpsilonPlus(stabilizer=e, canonizers=c),
    "lrp_epsilon_gamma_box": lambda c, e: zennit.composites.EpsilonGammaBox(
        low=torch.tensor(-3.0).double(),
        high=torch.tensor([3.0, 2.5, 4.0]).double().reshape(1, 3, 1, 1),
        stabilizer=e,
        canonizers=c,
    ),
    "lrp_epsilon_alpha2_beta1_flat": lambda c, e: zennit.composites.EpsilonAlpha2Beta1Flat(stabilizer=e, canonizers=c),
    "lrp_epsilon_0_1": lambda c, e: zennit.composites.LayerMapComposite(
        [
            (zennit.types.Linear, zennit.rules.Epsilon(0.1)),
            (zennit.types.Activation, zennit.rules.Pass()),
            (zennit.types.AvgPool, zennit.rules.Norm(e)),
        ],
        canonizers=c,
    ),
}
#: zennit's default.
STABILISER = 1e-6


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", NATIVE)
def test_zennits_own_composites_are_ours(net, name, x):
    """Once its stabiliser is small and the merged batch-normalisation divides by 1."""
    model, spec = NETS[net](), configured(name)
    ours = sx.explain(model, x, spec)

    def apart(canonizer, stabiliser):
        composite = NATIVE[name]([canonizer()] if net == "batch-norm" else [], stabiliser)
        return distance(by_zennit(model, composite, x, torch.tensor(ours.target), "logit"), ours.relevance)

    assert apart(MergeBatchNorm, 1e-13) < 1e-10
    # With zennit's defaults the two differences show, and nothing else does.
    assert apart(zennit.canonizers.SequentialMergeBatchNorm, STABILISER) < (1e-5 if net == "vgg" else 1e-4)


@pytest.mark.parametrize("name", ["lrp_epsilon_plus", "lrp_epsilon_0_1", "lrpsign_z"])
def test_what_zennits_canonizer_leaves_behind(name, x):
    """Its batch-normalisation still divides by sqrt(1 + eps), forward and backward: 1e-5 for each of three.

    So zennit's canonizer explains a slightly different function. Ours agrees with zennit on that
    function to rounding, and with zennit on the given one through the canonizer that to_zennit brings.
    """
    model, spec = normalised(), configured(name)
    ours = sx.explain(model, x, spec)
    classes, composite = torch.tensor(ours.target), to_zennit(spec)
    assert distance(by_zennit(model, composite, x, classes, "logit"), ours.relevance) < 1e-10
    composite.canonizers = [zennit.canonizers.SequentialMergeBatchNorm()]
    theirs = by_zennit(model, composite, x, classes, "logit")
    assert 2e-5 < distance(theirs, ours.relevance) < 4e-5
    handles = zennit.canonizers.SequentialMergeBatchNorm().apply(model)
    exact = attrs.evolve(
        spec.composite,
        entries=(Entry(Where(kinds={"normalisation"}), Exact()), *spec.composite.entries),
        fold_normalisation=False,
    )
    left_behind = sx.explain(model, x, attrs.evolve(spec, composite=exact), ours.target)
    for handle in handles:
        handle.remove()
    assert distance(theirs, left_behind.relevance) < 1e-10


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", NATIVE)
def test_from_zennit_run_by_us_is_zennits(net, name, x):
    model = NETS[net]()
    if net == "batch-norm":
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eps = 1e-12  # else zennit's merged batch-norm differs by its own eps
    canonizers = [zennit.canonizers.SequentialMergeBatchNorm()] if net == "batch-norm" else []
    theirs = NATIVE[name](canonizers, STABILISER)
    spec = MethodSpec(family="lrp", composite=from_zennit(theirs), seed="logit")
    ours = sx.explain(model, x, spec)
    assert distance(ours.relevance, by_zennit(model, theirs, x, torch.tensor(ours.target), "logit")) < 1e-8


READ = {
    "names before types": zennit.composites.NameLayerMapComposite(
        name_map=[(["0"], zennit.rules.WSquare(stabilizer=1e-7))],
        layer_map=[(zennit.types.Linear, zennit.rules.Gamma(0.5, zero_params="bias")), (nn.ReLU, zennit.rules.Pass())],
    ),
    "first": zennit.composites.SpecialFirstLayerMapComposite(
        layer_map=[(nn.Linear, zennit.rules.AlphaBeta(3, 2, zero_params=["bias"])), (nn.Conv2d, zennit.rules.ZPlus())],
        first_map=[((zennit.types.Convolution,), zennit.rules.Flat())],
    ),
    "guided": zennit.composites.GuidedBackprop(),
    "deconvnet": zennit.composites.DeconvNet(),
    "excitation": zennit.composites.ExcitationBackprop(),
    "epsilon plus flat": zennit.composites.EpsilonPlusFlat(epsilon=0.01, stabilizer=1e-5),
}


@pytest.mark.parametrize("name", READ)
def test_other_composites_are_read(name, x):
    model = vgg_like()
    ours = sx.explain(model, x, MethodSpec(family="lrp", composite=from_zennit(READ[name]), seed="logit"))
    theirs = by_zennit(model, READ[name], x, torch.tensor(ours.target), "logit")
    assert distance(ours.relevance, theirs) < 1e-9


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("supporting", [0.0, 0.25, 1.0])
def test_the_rule_of_the_plug_in_template(net, supporting, x):
    model, spec = NETS[net](), sx.parse("lrp_z")
    spec = attrs.evolve(spec, composite=with_rule(evidence(supporting), kinds=WEIGHTED), input_layer=evidence())
    ours, theirs = sx.explain(model, x, spec), sx.explain(model, x, spec, backend="zennit")
    assert distance(theirs.relevance, ours.relevance) < 1e-10


def test_a_hook_is_read_for_all_layers(x):
    model = vgg_like()
    composite = from_zennit(zennit.rules.Epsilon(0.5))
    theirs = zennit.composites.LayerMapComposite([(zennit.types.Linear, zennit.rules.Epsilon(0.5))])
    ours = sx.explain(model, x, MethodSpec(family="lrp", composite=composite, seed="logit"))
    assert distance(ours.relevance, by_zennit(model, theirs, x, torch.tensor(ours.target), "logit")) < 1e-10
    (entry, _) = composite.entries
    assert entry.rule.stabiliser == Stabiliser(0.5)


def test_round_trip():
    spec = sx.parse("lrp_epsilon_plus")
    assert from_zennit(to_zennit(spec)) == spec.composite


def test_zennits_own_stabiliser_is_a_parameter_like_any(x):
    """Ours with 1e-6 in every denominator is zennit's EpsilonPlus to rounding."""
    model = vgg_like()
    spec = sx.parse("lrp_epsilon_plus")
    entries = [
        Entry(e.where, attrs.evolve(e.rule, stabiliser=Stabiliser(1e-6)) if hasattr(e.rule, "stabiliser") else e.rule)
        for e in spec.composite.entries
    ]
    ours = sx.explain(model, x, attrs.evolve(spec, composite=Composite(entries)))
    theirs = by_zennit(model, zennit.composites.EpsilonPlus(), x, torch.tensor(ours.target), "logit")
    assert distance(theirs, ours.relevance) < 1e-10
