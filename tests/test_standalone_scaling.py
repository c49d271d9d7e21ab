"""Normalisations and scalings that stand alone: the z rule in every chain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import seeded
from torch import nn
from torch.nn import functional as F

import signxai_core as sx
from signxai_core.testing import reference
from signxai_core.testing.network import Activation, Add, BatchNorm, Conv, Dense, Flatten, Network, Scaling

CHAINS = [
    "lrp_alpha_2_beta_1",
    "lrp_sequential_composite_a",
    "lrp_sequential_composite_b",
    "lrp_epsilon_0_1",
    "lrp_epsilon_0_5_std_x",
    "lrp_gamma_0_25",
    "lrp_zplus",
    "lrp_w2",
    "lrp_flat",
    "lrp_epsilon_plus",
    "lrp_epsilon_alpha2_beta1",
    "lrp_excitation_backprop",
]


class PreActivation(nn.Module):
    """ResNetV2 in small: batch-normalisation and ReLU in front of every residual block."""

    def __init__(self, blocks: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(blocks))
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(blocks))
        self.last = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.relu(norm(y))) + y
        return self.fc(F.relu(self.last(y)).mean(dim=(2, 3)))


X = np.random.default_rng(0).normal(size=(2, 3, 8, 8))


class Repeated(nn.Module):
    """Batch-normalisation and ReLU, twelve times in a row; without them, their scale on the last weights."""

    def __init__(self, *, norms: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        parts = [nn.Sequential(nn.BatchNorm2d(4, eps=0), nn.ReLU()) for _ in range(12)]
        self.body = nn.Sequential(*parts) if norms else nn.Identity()
        scale = 1.0
        with torch.no_grad():
            for norm, _ in parts:
                norm.running_var.fill_(0.5)
                scale = scale * 2**0.5
            self.fc.weight.mul_(1.0 if norms else scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(F.relu(self.conv(x))).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", sorted({*CHAINS} - {"lrp_epsilon_0_5_std_x", "lrp_w2", "lrp_flat"}))
def test_no_relevance_is_made_on_the_way(name):
    """Alpha-beta with beta = 1 would multiply relevance by two at each, by 4,096 in all."""
    nets = [Repeated(norms=norms).double().eval() for norms in (True, False)]
    with_norms, without = (sx.explain(net, X, name, 1).relevance for net in nets)
    np.testing.assert_allclose(with_norms, without, rtol=0, atol=1e-9 * np.abs(without).max())


@pytest.mark.parametrize("name", CHAINS)
def test_z_rule_in_every_chain(name):
    rows = sx.plan(seeded(PreActivation), X, name).rows
    assert {row.rule for row in rows if row.kind == "normalisation"} == {"z"}


@pytest.mark.parametrize("name", CHAINS)
def test_a_scaling_alone_gets_the_z_rule_in_both_conventions(name):
    def model(x):
        y = F.relu(net[0](x))
        return net[1]((F.relu(y * 2 - 1) * torch.arange(36.0).reshape(6, 6).double()).flatten(1))

    torch.manual_seed(0)
    net = [nn.Conv2d(3, 2, 3).double(), nn.Linear(72, 4).double()]
    for convention in ("textbook", "signxai"):
        rows = sx.plan(model, X, name, backend="torch", convention=convention).rows
        assert [row.rule for row in rows if row.kind == "scaling" and not row.why.startswith("part of")][-1] == "z"


def test_equals_the_reference():
    rng = np.random.default_rng(3)

    def norm(name, inputs, channels):
        numbers = {"mean": rng.normal(size=channels), "var": rng.uniform(0.5, 2, channels)}
        return BatchNorm(
            name=name, inputs=inputs, **numbers, gamma=rng.normal(size=channels), beta=rng.normal(size=channels)
        )

    network = Network(
        [
            Conv(name="stem", weight=rng.normal(size=(3, 2, 3, 3)), padding=1),
            norm("bn", "stem", 3),
            Activation(name="relu", inputs="bn"),
            Conv(name="conv", inputs="relu", weight=rng.normal(size=(3, 3, 3, 3)), padding=1),
            Add(name="sum", inputs=("conv", "stem")),
            norm("bn2", "sum", 3),
            Activation(name="relu2", inputs="bn2"),
            Scaling(name="scaling", inputs="relu2", scale=[1.5, -0.5, 2.0], shift=0.25),
            Activation(name="relu3", inputs="scaling"),
            Flatten(name="flat", inputs="relu3"),
            Dense(name="logits", inputs="flat", weight=rng.normal(size=(4, 48))),
        ],
        input_shape=(2, 4, 4),
    )
    x = rng.normal(size=(2, 2, 4, 4))
    for name in CHAINS:
        ours = sx.explain(network, x, name, 1, backend="numpy").relevance
        theirs = reference.explain(network, x, sx.parse(name), 1).relevance
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * np.abs(theirs).max(), err_msg=name)
