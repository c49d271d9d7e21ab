"""A function as target gets what the model returns; a class is a logit, and what was skipped is said."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import signxai_core as sx
from signxai_tf import trace

HEADS = {
    "softmax": (lambda z: torch.softmax(z, 1), tf.nn.softmax),
    "log_softmax": (lambda z: torch.log_softmax(z, 1), tf.nn.log_softmax),
    "sigmoid": (torch.sigmoid, tf.nn.sigmoid),
    "logsigmoid": (nn.functional.logsigmoid, keras.activations.log_sigmoid),
}
X = np.random.default_rng(4).normal(size=(3, 6))
WEIGHTS = [np.random.default_rng(5).normal(size=shape) for shape in ((6, 8), (8,), (8, 4), (4,))]


def torch_model(head=None):
    a, c = nn.Linear(6, 8).double(), nn.Linear(8, 4).double()
    with torch.no_grad():
        for parameter, values in zip((a.weight, a.bias, c.weight, c.bias), WEIGHTS, strict=True):
            parameter.copy_(torch.as_tensor(values.T))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.c = a, c

        def forward(self, x):
            z = self.c(torch.relu(self.a(x)))
            return z if head is None else HEADS[head][0](z)

    return Model()


def tf_model(head=None):
    x = keras.Input((6,), dtype="float64")
    a, c = (keras.layers.Dense(n, dtype="float64", name=name) for n, name in ((8, "a"), (4, "c")))
    z = c(keras.activations.relu(a(x)))
    y = z if head is None else keras.layers.Lambda(HEADS[head][1], dtype="float64", name="head")(z)
    model = keras.Model(x, y)
    a.set_weights(WEIGHTS[:2])
    c.set_weights(WEIGHTS[2:])
    return model


MODELS = {"torch": torch_model, "tensorflow": tf_model}


@pytest.fixture(params=MODELS)
def make(request):
    return MODELS[request.param]


@pytest.fixture(params=["plain", "compiled"])
def way(request, monkeypatch):
    """TensorFlow runs small models operation by operation; with this, compiled too."""
    if request.param == "compiled":
        monkeypatch.setattr(trace, "WORTH_COMPILING", 0)


@pytest.mark.parametrize("head", HEADS)
def test_a_function_gets_what_the_model_returns(make, head):
    model, seen = make(head), []

    def target(y):
        seen.append(y.detach().numpy() if isinstance(y, torch.Tensor) else y.numpy())
        return y[:, 1]

    result = sx.explain(model, X, "gradient", target)
    y = model(torch.as_tensor(X)) if isinstance(model, nn.Module) else model(X)
    returned = y.detach().numpy() if isinstance(y, torch.Tensor) else y.numpy()
    np.testing.assert_allclose(seen[-1], returned, rtol=1e-12)
    np.testing.assert_allclose(result.output, returned, rtol=1e-12)
    assert result.target is None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_those_of_the_function(make, head):
    model = make(head)
    x = torch.as_tensor(X).requires_grad_()
    (torch_model(head)(x)[:, 1] ** 2).sum().backward()
    sx.explain(model, X, "gradient", 1)  # a class first: nothing of its walk may be used for the function
    given = sx.explain(model, X, "gradient", lambda y: y[:, 1] ** 2).relevance
    np.testing.assert_allclose(given, x.grad.numpy(), rtol=1e-9, atol=1e-14)


def _on_logits(start):
    """Return LRP maps that start from given numbers at the logits."""
    z = torch_model()(torch.as_tensor(X)).detach()
    m = torch.as_tensor(start) / z
    return sx.explain(torch_model(), X, "lrp_epsilon_0_1", lambda logits: (m * logits).sum(1)).relevance


@pytest.mark.usefixtures("way")
def test_seeds_through_every_head(make):
    """Seed y ⊙ ∂f/∂y; sigmoids pass it on, softmax and log-softmax as inside a network."""
    z = torch_model()(torch.as_tensor(X)).detach().numpy()
    s = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    one = np.eye(4)[[1, 1, 1]]
    sigmoid = 1 / (1 + np.exp(-z))
    expected = {
        "softmax": z * (s * one - s * s[:, 1:2]),
        "log_softmax": z * one,
        "sigmoid": sigmoid * one,
        "logsigmoid": np.log(sigmoid) * one,
    }
    totals = {"softmax": s[:, 1], "log_softmax": np.log(s[:, 1]), "sigmoid": sigmoid[:, 1]}
    for head, start in expected.items():
        result = sx.explain(make(head), X, "lrp_epsilon_0_1", lambda y: y[:, 1])
        np.testing.assert_allclose(result.relevance, _on_logits(start), rtol=1e-8, atol=1e-12, err_msg=head)
        if head in totals:
            np.testing.assert_allclose(result.conservation.expected, totals[head], rtol=1e-9)


def test_the_probability_of_a_class_that_underflows_gives_finite_maps():
    model = torch_model("softmax")
    with torch.no_grad():
        model.c.bias[1] = -2000.0
    for name in ("gradient", "smoothgrad", "lrp_z"):
        assert not sx.explain(model, X, name, lambda y: y[:, 1]).relevance.any()
        assert np.isfinite(sx.explain(model, X, name, lambda y: y[:, 0]).relevance).all()


@pytest.mark.parametrize("head", HEADS)
def test_plan_and_result_say_what_is_explained(make, head):
    model = make(head)
    plan, result = sx.plan(model, X, "lrp_z"), sx.explain(model, X, "lrp_z", 1)
    assert plan.explains == result.plan.explains == result.explains
    assert plan.explains.startswith("the selected output of c (linear); skipped behind it: ")
    assert head in plan.explains
    assert f"explains: {plan.explains}" in str(plan)
    own = sx.explain(model, X, "lrp_z", lambda y: y[:, 1]).explains
    assert own.startswith("the target function of what the model returns, the output of ")
    assert head in own


def test_without_a_head_nothing_is_skipped(make):
    assert sx.explain(make(), X, "lrp_z", 1).explains == "the selected output of c (linear)"
