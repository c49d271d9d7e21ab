"""Two engines that share nothing but the plan: zennit's hooks and ours give the same maps."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import signxai_example
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
from zennit_nets import distance, normalised, vgg_like, with_rule

import signxai_core as sx
import signxai_rules
from signxai_core import grammar
from signxai_core.errors import ParameterError, PlanError
from signxai_core.registry import build, registry
from signxai_core.specs import TEXTBOOK, WEIGHTED, Composite, Entry, Exact, MethodSpec, Stabiliser, Where
from signxai_core.testing import Network
from signxai_core.testing import explain as explain_by_reference
from signxai_core.testing.nodes import Activation, Conv, Dense
from signxai_core.testing.structure import Flatten, MaxPool
from signxai_torch.network import build as build_torch
from signxai_torch.zennit_bridge import CANNOT, from_zennit, to_zennit
from signxai_torch.zennit_bridge.writing import MergeBatchNorm

NETS = {"vgg": vgg_like, "batch-norm": normalised}
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
BOX = {"low": -3.0, "high": np.array([3.0, 2.5, 4.0])}


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-2, 2, size=(3, 3, 16, 16))


def configured(name):
    spec = sx.parse(name)
    return grammar.configure(spec, BOX, registry(), name) if "box" in name or name.startswith("zb") else spec


def by_zennit(model, composite, x, classes, seed):
    """Relevance by zennit alone, from the logit or from 1."""

    def start(out):
        return nn.functional.one_hot(classes, out.shape[1]) * (out.detach() if seed == "logit" else 1.0)

    with zennit.attribution.Gradient(model=model, composite=composite) as attributor:
        return attributor(torch.tensor(x), start)[1].detach().numpy()


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


class OwnEpsilon(zennit.rules.Epsilon):
    """A user's class: which numbers it holds is not known."""


GIVEN = {
    "composite": zennit.composites.EpsilonPlusFlat(),
    "hook": zennit.rules.Epsilon(0.5),
    "composite of ours": to_zennit("lrp_epsilon_plus"),
}


@pytest.mark.parametrize("what", GIVEN)
@pytest.mark.parametrize("seed", [None, "one"])
def test_zennits_objects_are_methods(what, seed, x):
    model, given = vgg_like(), GIVEN[what]
    ours = sx.explain(model, x, given, 2, seed=seed)
    spec = MethodSpec(family="lrp", composite=from_zennit(given), seed="logit")
    np.testing.assert_array_equal(ours.relevance, sx.explain(model, x, spec, 2, seed=seed).relevance)
    composite = given
    if what == "hook":
        composite = zennit.composites.LayerMapComposite([(zennit.types.Linear, given)])
    theirs = by_zennit(model, composite, x, torch.tensor([2] * len(x)), seed or "logit")
    assert distance(ours.relevance, theirs) < 1e-9
    assert ours.backend == "torch"
    assert sx.plan(model, x, given).rows == ours.plan.rows


def test_zennits_objects_beside_names(x):
    model = vgg_like()
    maps = sx.explain_many(model, x, ["lrp_z", zennit.rules.Epsilon(0.5), zennit.composites.EpsilonPlus()])
    assert len(maps) == 3
    assert [found.spec.composite for found in maps.values()][1:] == [
        from_zennit(zennit.rules.Epsilon(0.5)),
        from_zennit(zennit.composites.EpsilonPlus()),
    ]


@pytest.mark.parametrize("given", [OwnEpsilon(), zennit.core.BasicHook()], ids=["of a class of its own", "BasicHook"])
def test_an_object_that_cannot_be_read_is_refused_with_the_reason(given, x):
    with pytest.raises(
        PlanError, match=f"{type(given).__name__} is made of functions of its own; readable are Epsilon"
    ):
        sx.explain(vgg_like(), x, given)
    with pytest.raises(ParameterError, match=r"a method is a name or a MethodSpec, or an object of zennit; got 3 of"):
        sx.explain(vgg_like(), x, 3)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("family", ["gradient", "cam", "control", "lrp"])
def test_every_published_method_agrees_or_is_refused_with_the_reason(net, family, x):
    """None is left out in silence: what is not compared is in CANNOT, and here is how many that are."""
    model = NETS[net]()
    compared, refused = 0, set()
    for name in (name for name in sx.methods() if sx.parse(name).family == family):
        known = grammar.parameters(sx.parse(name), registry())
        given = {key: value for key, value in {**BOX, "mu": 0.25}.items() if key in known and not known[key].stated}
        try:
            theirs = sx.explain(model, x[:1], name, backend="zennit", **given)
        except PlanError as error:
            reasons = {reason for reason, text in CANNOT.items() if text in str(error)}
            assert reasons, error
            refused |= reasons
            continue
        assert distance(theirs.relevance, sx.explain(model, x[:1], name, **given).relevance) < 1e-9, name
        compared += 1
    assert (compared, refused) == PUBLISHED[family]


#: Methods of the published table that zennit computes as we do, and why it does not compute the others.
PUBLISHED = {
    "gradient": (3, {"modifier", "sampling"}),
    "cam": (0, {"cam"}),
    "control": (0, {"sampling"}),
    "lrp": (84, {"std"}),
}

PLUGGED_IN = build({"rules": signxai_rules, "evidence": signxai_example})


@pytest.mark.parametrize(
    "name",
    [
        "lrpevidence_epsilon_0_1",
        "lrpevidence_evidence_0_75",
        "lrpsign_evidence_0_25_mu_0_5",
        "zblrp_evidence_0_5_UnitBox",
    ],
)
def test_the_words_of_the_plug_in_template_agree_with_the_reference(name):
    random = np.random.default_rng(0)
    network = Network(
        [
            Conv(name="conv", weight=random.normal(size=(4, 2, 3, 3)), bias=random.normal(size=4), padding=1),
            Activation(name="relu", inputs="conv"),
            MaxPool(name="pool", inputs="relu"),
            Flatten(name="flat", inputs="pool"),
            Dense(name="logits", inputs="flat", weight=random.normal(size=(3, 36)), bias=random.normal(size=3)),
        ],
        input_shape=(2, 6, 6),
    )
    x = random.uniform(0, 1, size=(3, 2, 6, 6))
    spec = grammar.parse(name, PLUGGED_IN, TEXTBOOK)
    found = sx.explain(build_torch(network).eval(), x, spec, backend="zennit").relevance
    wanted = explain_by_reference(network, x, spec).relevance
    assert np.abs(wanted).max() > 1e-2
    assert np.abs(found - wanted).max() < 1e-8 * np.abs(wanted).max()
