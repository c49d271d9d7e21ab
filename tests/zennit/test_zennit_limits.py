"""What zennit cannot express, and what of zennit's cannot be read, is refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import zennit.canonizers
import zennit.composites
import zennit.core
import zennit.rules
from torch import nn
from zennit_nets import distance, vgg_like, with_rule

import signxai_core as sx
from signxai_core.errors import ModelError, PlanError
from signxai_core.specs import Exact, FunctionRule, MethodSpec
from signxai_torch.zennit_bridge import CANNOT, from_zennit, to_zennit


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-2, 2, size=(3, 3, 16, 16))


class OwnMapping(zennit.composites.LayerMapComposite):
    def mapping(self, ctx, name, module):
        return None


UNREADABLE = {
    "BasicHook is made of functions of its own; readable are Epsilon": zennit.core.BasicHook(),
    "ReLUBetaSmooth is made of functions": zennit.rules.ReLUBetaSmooth(),
    "the stabiliser <function <lambda>": zennit.rules.Epsilon(lambda z: z + 1),
    "clips or scales by a norm": zennit.rules.Epsilon(zennit.core.Stabilizer(clip=True)),
    "only the bias can be left out": zennit.rules.Epsilon(zero_params=["weight"]),
    "one per sample of a batch": zennit.rules.ZBox(torch.zeros(2, 3, 1, 1), torch.ones(2, 3, 1, 1)),
    "OwnMapping maps modules to hooks by a function": OwnMapping([]),
    "Composite maps modules to hooks by a function": zennit.core.Composite(),
    "a hook for modules of type": zennit.composites.LayerMapComposite([(nn.LSTM, zennit.rules.Pass())]),
    "the canonizer AttributeCanonizer": zennit.composites.LayerMapComposite(
        [], canonizers=[zennit.canonizers.AttributeCanonizer(lambda *_: {})]
    ),
    "expected a composite or a hook of zennit's, got 3": 3,
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(PlanError) as caught:
        from_zennit(UNREADABLE[text])
    assert text in str(caught.value)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()
        self.flat, self.fc = nn.Flatten(), nn.Linear(3 * 256, 4)

    def forward(self, x):
        return self.fc(self.flat(self.relu(self.conv(x) + x)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()
        self.flat, self.fc = nn.Flatten(), nn.Linear(3 * 256, 4)

    def forward(self, x):
        return self.fc(self.flat(self.conv(self.relu(self.conv(x)))))


class OutOfOrder(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.flat = nn.Linear(3 * 256, 4), nn.Flatten()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.fc(self.flat(self.conv(x)))


class ScaledFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.fc = nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(3 * 196, 4)

    def forward(self, x):
        return self.fc(self.flat(self.conv(x / 255)))


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def small(*front, classes=4):
    return nn.Sequential(*front, nn.Conv2d(3, 3, 3), nn.Flatten(), nn.LazyLinear(classes))


class Inverse(nn.Module):
    """A function that has no rule."""

    def forward(self, x):
        return torch.erfinv(torch.tanh(x) / 2)


NOT_EXPRESSIBLE = {
    "std": "lrp_epsilon_0_25_std_x",
    "normalisation": sx.parse("lrp_epsilon_0_1", convention="signxai"),
    "function": with_rule(FunctionRule("a:b", name="mine"), kinds={"dense"}),
    "modifier": "gradient_x_input",
    "sampling": "smoothgrad",
    "cam": "grad_cam",
    "exact": (vgg_like, with_rule(Exact(clip=True), kinds={"max_pooling"})),
    "functional": (Skip, "lrp_epsilon_0_1"),
    "class": (lambda: small(Doubled(), nn.ReLU()), "lrp_epsilon_0_1"),
    "reused": (Twice, "lrp_epsilon_0_1"),
    "before": (ScaledFirst, "lrp_epsilon_0_1"),
    "padding": (lambda: small(nn.ZeroPad2d(1)), "flatlrp_z"),
    "order": (OutOfOrder, "lrpsign_z"),
    "linearised": (lambda: nn.Sequential(*small(classes=4), Inverse()), "lrp_epsilon_0_1"),
    "head": (lambda: nn.Sequential(*vgg_like(), nn.Softmax(dim=1)), "lrp_epsilon_0_1"),
}


def test_there_is_a_case_for_every_reason():
    assert set(NOT_EXPRESSIBLE) == set(CANNOT)


@pytest.mark.parametrize("reason", NOT_EXPRESSIBLE)
def test_what_zennit_cannot_express_is_refused(reason, x):
    case = NOT_EXPRESSIBLE[reason]
    with pytest.raises(PlanError) as caught:  # noqa: PT012 - models are made lazily
        if isinstance(case, tuple):
            model = case[0]().double()
            with torch.no_grad():
                model.eval()(torch.tensor(x))
            spec = case[1] if isinstance(case[1], str) else MethodSpec(family="lrp", composite=case[1], seed="logit")
            if reason == "exact":
                to_zennit(spec).register(model)
            sx.explain(model, x, spec, backend="zennit", strict=reason != "linearised")
        else:
            to_zennit(case)
    assert CANNOT[reason] in str(caught.value)


def test_padding_without_a_rule_that_minds_is_fine(x):
    torch.manual_seed(2)
    model = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(768, 4)).double().eval()
    ours = sx.explain(model, x, "lrp_alpha_2_beta_1")
    theirs = sx.explain(model, x, "lrp_alpha_2_beta_1", backend="zennit")
    assert distance(theirs.relevance, ours.relevance) < 1e-10


def test_training_mode_is_refused(x):
    with pytest.raises(ModelError, match=r"call model.eval\(\) first"):
        sx.explain(vgg_like().train(), x, "lrp_z", backend="zennit")


def test_hooks_are_removed_when_something_fails(x):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3)).double().eval()
    composite = to_zennit("lrp_epsilon_0_1")
    with pytest.raises(PlanError, match=r"0 \(BatchNorm2d\), not directly behind a linear module"):
        composite.register(model)
    assert not any(module._forward_hooks for module in model.modules())
