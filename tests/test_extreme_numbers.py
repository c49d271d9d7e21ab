"""Numbers whose squares float32 does not hold: the deviation of std-epsilon, the squared weights of w²."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from torch import nn

import signxai_core as sx
from signxai_tf import trace

X = np.random.default_rng(6).normal(size=(2, 6))
WEIGHTS = [np.random.default_rng(7).normal(size=shape) for shape in ((6, 80), (80, 3))]


def torch_model(dtype, scale):
    """Return two dense layers, the first one's weights times a number and the second one's divided by it."""
    model = nn.Sequential(nn.Linear(6, 80, bias=False), nn.ReLU(), nn.Linear(80, 3, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.as_tensor(WEIGHTS[0].T))
        model[2].weight.copy_(torch.as_tensor(WEIGHTS[1].T))
        model = model.to(dtype)
        model[0].weight.mul_(scale)
        model[2].weight.div_(scale)
    return model


def tf_model(dtype, scale):
    name = {torch.float32: "float32", torch.float64: "float64"}[dtype]
    model = keras.Sequential([keras.Input((6,), dtype=name)])
    model.add(keras.layers.Dense(80, use_bias=False, activation="relu", dtype=name))
    model.add(keras.layers.Dense(3, use_bias=False, dtype=name))
    model.set_weights([WEIGHTS[0] * scale, WEIGHTS[1] / scale])
    return model


MODELS = {"torch": torch_model, "tensorflow": tf_model, "tensorflow, compiled": tf_model}


@pytest.fixture(params=MODELS)
def make(request, monkeypatch):
    if request.param.endswith("compiled"):
        monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    return MODELS[request.param]


def agree(single, double):
    assert np.abs(single).max() > 0
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-4 * np.abs(double).max())


@pytest.mark.parametrize("size", [1e20, 1e30, 1e-25, 1e-30])
def test_deviations_whose_squares_are_no_float32(make, size):
    """The map of c · x is that of x, divided by c nowhere: numerator and stabiliser grow alike."""
    x = (X * size).astype(np.float32)
    maps = [
        sx.explain(make(dtype, 1.0), x.astype(kind), "lrp_epsilon_0_5_std_x", 1, seed="one").relevance
        for dtype, kind in ((torch.float32, np.float32), (torch.float64, np.float64))
    ]
    agree(*maps)
    usual = sx.explain(make(torch.float64, 1.0), X, "lrp_epsilon_0_5_std_x", 1, seed="one").relevance
    agree(maps[0], usual)


@pytest.mark.parametrize("scale", [1e19, 1e25, 1e-19, 1e-25])
@pytest.mark.parametrize("name", ["w2lrp_epsilon_0", "lrp_w2"])
def test_weights_whose_squares_are_no_float32(make, name, scale):
    x = X.astype(np.float32)
    single = sx.explain(make(torch.float32, scale), x, name, 1).relevance
    agree(single, sx.explain(make(torch.float64, 1.0), X, name, 1).relevance)


def test_constant_inputs_have_no_deviation(make):
    x = np.ones((2, 6), np.float32)
    maps = [sx.explain(make(torch.float32, 1.0), x, name, 1).relevance for name in ("lrp_epsilon_0_5_std_x", "lrp_z")]
    assert np.isfinite(maps[0]).all()


def test_usual_numbers_are_what_they_were(make):
    """Scaling by a power of two changes no digit."""
    model = make(torch.float32, 1.0)
    x = X.astype(np.float32)
    maps = sx.explain_many(model, x, ["w2lrp_epsilon_0", "lrp_epsilon_0_5_std_x"], 1)
    again = sx.explain_many(model, x * 2, ["w2lrp_epsilon_0", "lrp_epsilon_0_5_std_x"], 1, seed="one")
    half = sx.explain_many(model, x, ["w2lrp_epsilon_0", "lrp_epsilon_0_5_std_x"], 1, seed="one")
    for name in maps:
        np.testing.assert_array_equal(again[name].relevance, half[name].relevance)


@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_large_weights_that_are_mapped_part_by_part(backend):
    """The unit is that of the whole weight, wherever it is parted."""
    weights = np.random.default_rng(8).normal(size=(1500, 1500)) * np.geomspace(1, 1e-20, 1500)[:, None]
    x = np.random.default_rng(9).normal(size=(1, 1500))
    maps = []
    for kind, scale in ((np.float32, 1e25), (np.float64, 1.0)):
        given = (weights * scale).astype(kind)
        if backend == "torch":
            model = nn.Linear(1500, 1500, bias=False, dtype=torch.float32 if kind is np.float32 else torch.float64)
            model.weight.data = torch.as_tensor(given.T.copy())
        else:
            dense = keras.layers.Dense(1500, use_bias=False, dtype=kind.__name__)
            model = keras.Sequential([keras.Input((1500,), dtype=kind.__name__), dense])
            model.set_weights([given])
        maps.append(sx.explain(model, x.astype(kind), "lrp_w2", 7, seed="one").relevance)
    agree(*maps)
