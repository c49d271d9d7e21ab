"""A map with NaN or infinite numbers is an error that names the operation; one that underflowed warns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from torch import nn

import signxai_core as sx
from signxai_core.errors import RelevanceError
from signxai_tf import trace


def torch_model(scale):
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
    for place in (0, 2):
        nn.init.constant_(model[place].weight, scale)
    return model


def tf_model(scale):
    layers = [keras.layers.Dense(n, use_bias=False, name=name) for n, name in ((5, "0"), (3, "2"))]
    model = keras.Sequential([keras.Input((4,)), layers[0], keras.layers.ReLU(name="1"), layers[1]])
    model.set_weights([np.full((4, 5), scale), np.full((5, 3), scale)])
    return model


MODELS = {"torch": torch_model, "tensorflow": tf_model, "tensorflow, compiled": tf_model}


@pytest.fixture(params=MODELS)
def make(request, monkeypatch):
    if request.param.endswith("compiled"):
        monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    return MODELS[request.param]


def ones(scale, samples=2):
    return np.full((samples, 4), scale, np.float32)


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated_gradients", "gradient_x_input"])
def test_overflow_is_an_error_that_names_the_operation(make, method):
    """∂logit/∂x = 5 · 1e25 · 1e25, of logits of 1e25."""
    with pytest.raises(RelevanceError) as raised:
        sx.explain(make(1e25), ones(1e-25), method, 1)
    assert raised.value.operation == "0 (linear), rule exact VJP"
    assert str(raised.value).startswith(f"the map of {method!r} holds 8 numbers that are NaN or infinite; the first ")
    assert "arose at 0 (linear), rule exact VJP. Numbers there are too large or too small for float32" in str(
        raised.value
    )


def test_a_quotient_of_almost_nothing_is_named():
    model = torch_model(1e-20)
    with pytest.raises(RelevanceError, match=r"the first arose at 2 \(linear\), rule z\. "):
        sx.explain(model, ones(1.0), "lrp_z", 1, seed="one")


def test_underflow_warns_and_names_the_operation(make):
    """∂logit/∂x = 5 · 1e-25 · 1e-25, of logits of 1e-24."""
    result = sx.explain(make(1e-25), ones(1e25), "gradient", 1)
    assert not result.relevance.any()
    (warning,) = result.warnings
    assert warning.startswith("the map of sample 0 and 1 others is 0 everywhere: its numbers became too small for ")
    assert warning.endswith("float32 at 0 (linear), rule exact VJP; explain the model in float64")
    double = sx.explain(torch_model(1e-25).double(), ones(1e25).astype(np.float64), "gradient", 1)
    assert double.warnings == ()
    assert double.relevance.all()


def test_zeros_that_are_right_are_not_warned_of(make):
    """Dead units, inputs of 0 and outputs of 0 have maps of zeros."""
    for method in ("gradient", "lrp_z"):
        result = sx.explain(make(-1.0), ones(1.0), method, 1)
        assert not result.relevance.any()
        assert result.warnings == ()
    assert sx.explain(make(1.0), ones(0.0), "gradient_x_input", 1).warnings == ()


def test_one_sample_of_a_batch_and_a_function():
    x = np.stack([ones(1e25, 1)[0], -ones(1e25, 1)[0]])
    model = torch_model(1e-25)
    assert len(sx.explain(model, x, "gradient", [1, 2], batch_size=1).warnings) == 1
    assert sx.explain(model, x, "gradient", [1, 2]).warnings[0].startswith("the map of sample 0 and 1 others is 0")
    assert len(sx.explain(model, x[:1], "gradient", lambda y: y[:, 0]).warnings) == 1
    assert sx.explain(model, x, "gradient", lambda y: y[:, 0]).warnings == ()


def test_finite_maps_cost_no_second_walk(monkeypatch):
    calls = []
    monkeypatch.setattr(sx.engine.trouble, "_paths", lambda *given: calls.append(given) or iter(()))
    sx.explain(torch_model(1.0), ones(1.0), "lrp_z", 1)
    assert calls == []
