"""PyTorch models of half types: recorded and walked in float32, so that their maps are those of the float32 model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import signxai_core as sx

METHODS = ["gradient", "lrp_epsilon_0_1", "lrp_sequential_composite_b", "lrpsign_epsilon_0_25_std_x"]


class Casting(nn.Module):
    """Casts to its weight's type, and away from it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        kept = x.to(self.linear.weight.dtype) + torch.ones(8, dtype=self.linear.weight.dtype)
        return self.linear(kept.half().float().to(self.linear.weight)).type_as(self.linear.bias)


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.linear(x)


NETS = {
    "convolutions": lambda: [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 5),
    ],
    "dense": lambda: [nn.Flatten(), nn.Linear(192, 8), nn.LayerNorm(8), nn.GELU(), Casting(), nn.Linear(8, 5)],
    "autocast": lambda: [nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), Autocast(), nn.Linear(8, 5)],
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NETS)
def test_maps_are_those_of_the_float32_model(name, dtype):
    torch.manual_seed(0)
    narrow = nn.Sequential(*NETS[name]()).to(dtype).eval()
    wide = copy.deepcopy(narrow).float()
    x = (
        torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8, 8)) * 60)
        .half()
        .to(torch.bfloat16)
        .float()
        .numpy()
    )
    if name == "autocast":  # which the float32 model is, too, when it runs
        wide[3].forward = wide[3].linear.forward
    expected = sx.explain_many(wide, x, METHODS if name != "dense" else METHODS[:1], 1)
    for given in (narrow, lambda x: narrow(x) * 1):
        found = sx.explain_many(given, x, expected, 1, backend="torch")
        for method, result in expected.items():
            assert found[method].relevance.dtype == np.float32
            np.testing.assert_allclose(
                found[method].relevance, result.relevance, atol=1e-5 * np.abs(result.relevance).max(), rtol=0
            )
    assert {parameter.dtype for parameter in narrow.parameters()} == {dtype}


def test_a_forward_pass_beyond_float16_is_finite():
    """16 bits end at 65,504."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).half()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(300.0)
    found = sx.explain(model, np.full((1, 4), 300.0), "lrp_epsilon_0_1", 0)
    assert np.isfinite(found.relevance).all()
    np.testing.assert_allclose(found.output, 300.0 * 4 * (300.0 * 1200 + 300) + 300, rtol=1e-6)
