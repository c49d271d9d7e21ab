"""No more products than a rule needs, and the same numbers: what makes the engine fast is counted, not timed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from equivalence import Example, check
from torch import nn

import signxai_core as sx
from signxai_core.testing import network as net
from signxai_torch import parts
from signxai_torch.backend import TorchBackend

WIDTH = 80  # products per output; from 64 on, an output may be taken as the difference of two others


@pytest.fixture
def network():
    draw = np.random.default_rng(0)
    return net.Network(
        [
            net.Dense(name="first", weight=draw.normal(size=(WIDTH, 6)), bias=draw.normal(size=WIDTH)),
            net.Activation(name="relu", inputs="first"),
            net.Dense(name="wide", inputs="relu", weight=draw.normal(size=(9, WIDTH)), bias=draw.normal(size=9)),
            net.BatchNorm(
                name="norm",
                inputs="wide",
                gamma=draw.normal(size=9),
                beta=draw.normal(size=9),
                mean=draw.normal(size=9),
                var=draw.uniform(0.5, 2, size=9),
            ),
        ],
        input_shape=(6,),
    )


@pytest.fixture
def counted(monkeypatch):
    """Count the products of every operation."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(name):
        original = getattr(TorchBackend, name)

        def counting(self, operation, *args):
            counts[name, operation.path] += 1
            return original(self, operation, *args)

        monkeypatch.setattr(TorchBackend, name, counting)

    for name in ("linear", "pull", "scale_weight"):
        count(name)
    return counts


def model_of(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3)).double().eval()


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("lrp_epsilon_0_1", {"pull": 1}),  # z is the recorded one
        ("lrp_alpha_1_beta_0", {"linear": 1, "pull": 1}),  # the input is not negative: half of the terms are 0
        ("lrp_alpha_2_beta_1", {"linear": 1, "pull": 2}),  # z − z⁺ is z⁻
        ("lrpsign_epsilon_0_25_std_x", {"pull": 1}),
    ],
)
def test_products_of_a_wide_operation_behind_a_relu(counted, name, products):
    sx.explain(model_of(WIDTH), np.random.default_rng(1).normal(size=(2, 6)), name)
    assert {what: count for (what, path), count in counted.items() if path == "2"} == products


def test_a_narrow_operation_is_not_a_difference(counted):
    sx.explain(model_of(8), np.random.default_rng(1).normal(size=(2, 6)), "lrp_alpha_2_beta_1")
    assert counted["linear", "2"] == 2


def test_coarse_products_are_not_subtracted(counted):
    model = model_of(WIDTH).bfloat16()
    sx.explain(model, np.random.default_rng(1).normal(size=(2, 6)).astype("float32"), "lrp_alpha_2_beta_1")
    assert counted["linear", "2"] == 2


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
def test_differences_are_the_reference(network, convention):
    x = np.random.default_rng(1).normal(size=(3, 6))
    names = ("lrp_alpha_2_beta_1", "lrp_alpha_1_4_beta_0_4", "lrp_alpha_1_beta_0", "lrp_gamma_0_25", "lrp_epsilon_0_1")
    check(Example(network, x, names, convention))


@pytest.mark.parametrize("name", ["lrp_alpha_2_beta_1", "w2lrp_alpha_1_beta_0", "lrp_gamma_0_25"])
def test_weights_in_parts_are_the_whole(monkeypatch, name):
    """A large dense weight is mapped a few units at a time; here so few that even this one is large."""
    model, x = model_of(30), np.random.default_rng(1).normal(size=(4, 6))
    whole = sx.explain(model, x, name).relevance
    used = []
    pull = parts.InParts.pull
    monkeypatch.setattr(parts.InParts, "pull", lambda self, t: used.append(1) or pull(self, t))
    monkeypatch.setattr("signxai_torch.backend.PART", 20)
    monkeypatch.setattr(parts, "PART", 20)
    in_parts = sx.explain(model, x, name).relevance
    assert used
    np.testing.assert_allclose(in_parts, whole, rtol=1e-12, atol=1e-14)


def test_a_scale_behind_is_pulled_through_where_that_is_cheaper_than_the_weight(counted):
    """Batch-normalisation is folded into the weight only where the weight itself is mapped."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 40, 5), nn.BatchNorm1d(40), nn.Flatten(), nn.Linear(80, 2)).double().eval()
    x = np.random.default_rng(1).normal(size=(1, 3, 6))
    sx.explain(model, x, "lrp_epsilon_0_1")
    assert counted["scale_weight", "0"] == 0
    sx.explain(model, x, "lrp_alpha_1_beta_0")
    assert counted["scale_weight", "0"] == 1
