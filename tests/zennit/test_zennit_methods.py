"""zennit's objects as methods, our published methods and a plug-in's words carried out by zennit."""

from __future__ import annotations

import numpy as np
import pytest
import signxai_example
import torch
import zennit.composites
import zennit.core
import zennit.rules
import zennit.types
from zennit_nets import BOX, NETS, by_zennit, distance, vgg_like

import signxai_core as sx
import signxai_rules
from signxai_core import grammar
from signxai_core.errors import ParameterError, PlanError
from signxai_core.registry import build, registry
from signxai_core.specs import TEXTBOOK, MethodSpec
from signxai_core.testing import Network
from signxai_core.testing import explain as explain_by_reference
from signxai_core.testing.nodes import Activation, Conv, Dense
from signxai_core.testing.structure import Flatten, MaxPool
from signxai_torch.network import build as build_torch
from signxai_torch.zennit_bridge import CANNOT, from_zennit, to_zennit


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-2, 2, size=(3, 3, 16, 16))


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
