"""Heads that a model goes on with: a class is still a logit; where it is not, plan and result say what it is."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from test_function_targets import X, tf_model, torch_model
from torch import nn

import signxai_core as sx
from signxai_core.testing import network as net
from signxai_core.testing import reference
from signxai_tf import trace


class Behind(nn.Module):
    """A model, and a function behind it."""

    def __init__(self, function, head="softmax"):
        super().__init__()
        self.model, self.function = torch_model(head), function

    def forward(self, x):
        return self.function(self.model(x))


FOLLOWED = {
    "clip": lambda p: p.clamp(1e-7, 1 - 1e-7),
    "reshape": lambda p: p.reshape(-1, 4),
    "cast": lambda p: p.float(),
    "cast by name": lambda p: p.to(torch.float32),
    "percent": lambda p: p * 100,
    "shifted": lambda p: (p - 0.5) / 2,
    "log": torch.log,
    "safe log": lambda p: torch.log(p + 1e-9),
    "clip and log": lambda p: p.clip(min=1e-7).log(),
    "two": lambda p: torch.sqrt(p.view(-1, 4)).double(),
    "dropout": lambda p: nn.functional.dropout(p.clamp(min=1e-7), 0.5),
}
OTHERS = {
    "one minus": lambda p: 1 - p,
    "negative log": lambda p: -torch.log(p),
    "weighted": lambda p: p * torch.tensor([1.0, 2.0, 3.0, 4.0]).double(),
    "flipped": lambda p: p.flip(1),
    "square": lambda p: p**2,
    "index": lambda p: p[:, :3],
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_head_that_the_model_goes_on_with_is_skipped(name):
    model = Behind(FOLLOWED[name])
    for method in ("gradient", "lrp_epsilon_0_1"):
        given, expected = sx.explain(model, X, method, 2), sx.explain(torch_model(), X, method, 2)
        np.testing.assert_allclose(given.relevance, expected.relevance, rtol=1e-12)
        np.testing.assert_allclose(given.output, expected.output, rtol=1e-12)
    assert given.explains.startswith("the selected output of model.c (linear); skipped behind it: model (softmax), ")


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_class_would_survive_is_kept_and_said(name):
    model = Behind(OTHERS[name])
    x = torch.as_tensor(X).requires_grad_()
    model(x)[:, 2].sum().backward()
    given = sx.explain(model, X, "gradient", 2)
    np.testing.assert_allclose(given.relevance, x.grad.numpy(), rtol=1e-9, atol=1e-14)
    assert "model.c (linear) feeds through model (softmax)" in given.explains
    assert "skipped" not in given.explains


def test_one_output_that_is_squeezed():
    class Binary(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc = nn.Linear(6, 1).double()

        def forward(self, x):
            return torch.sigmoid(self.fc(x)).squeeze(-1)

    model = Binary()
    given, expected = (sx.explain(one, X, "lrp_z", 0) for one in (model, model.fc))
    np.testing.assert_allclose(given.relevance, expected.relevance)
    assert given.output.shape == (3,)
    assert given.explains == "the selected output of fc (linear); skipped behind it: sigmoid, squeeze"


def test_a_convolution_as_classifier_whose_softmax_is_flattened():
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3).double()
    model = nn.Sequential(conv, nn.Softmax(dim=1), nn.Flatten())
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 3))
    for method in ("lrp_epsilon_0_1", "smoothgrad"):
        given, expected = (sx.explain(one, x, method, [3, 1]) for one in (model, nn.Sequential(conv, nn.Flatten())))
        np.testing.assert_allclose(given.relevance, expected.relevance, rtol=1e-9)
        assert given.output.shape == (2, 4)
        np.testing.assert_allclose(given.conservation.expected, expected.conservation.expected)


def test_functions_as_targets_see_all_of_it():
    given = sx.explain(Behind(FOLLOWED["percent"]), X, "gradient", lambda p: p[:, 0])
    np.testing.assert_allclose(given.output.sum(axis=1), 100)
    assert given.explains.startswith("the target function of what the model returns, the output of mul")


def test_attention_and_gates_inside_are_no_heads():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(6, 4).double()

        def forward(self, x):
            z = self.a(x)
            return torch.sigmoid(z) * z

    given = sx.explain(Gated(), X, "gradient", 1)
    assert given.explains == "the selected output of mul"


KERAS = {
    "clip": lambda p: tf.clip_by_value(p, 1e-7, 1 - 1e-7),
    "keras clip": lambda p: keras.ops.clip(p, 1e-7, 1 - 1e-7),
    "reshape": lambda p: tf.reshape(p, [-1, 4]),
    "cast": lambda p: tf.cast(p, "float32"),
    "percent": lambda p: p * 100,
    "shifted": lambda p: (p - 0.5) / 2,
    "safe log": lambda p: tf.math.log(p + 1e-9),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", KERAS)
def test_heads_in_tensorflow(name, compiled, monkeypatch):
    if compiled:
        monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    inner = tf_model("softmax")
    model = keras.Model(inner.input, keras.layers.Lambda(KERAS[name], name="behind")(inner.output))
    for method in ("gradient", "lrp_epsilon_0_1"):
        given, expected = sx.explain(model, X, method, 2), sx.explain(torch_model(), X, method, 2)
        np.testing.assert_allclose(given.relevance, expected.relevance, rtol=1e-9, atol=1e-14)
    assert given.explains.startswith("the selected output of c (linear); skipped behind it: head (softmax), ")


def test_other_things_behind_a_head_in_tensorflow():
    inner = tf_model("softmax")
    model = keras.Model(inner.input, keras.layers.Lambda(lambda p: 1 - p, name="behind")(inner.output))
    explains = sx.explain(model, X, "gradient", 2).explains
    assert explains.startswith("the selected output of behind (sub), which c (linear) feeds through head (softmax), ")


def test_the_reference_skips_the_same():
    rng = np.random.default_rng(2)
    nodes = [
        net.Dense(name="a", weight=rng.normal(size=(5, 6))),
        net.Activation(name="relu", inputs="a"),
        net.Dense(name="b", inputs="relu", weight=rng.normal(size=(4, 5))),
        net.Softmax(name="softmax", inputs="b"),
        net.Scaling(name="percent", inputs="softmax", scale=100, shift=1),
        net.Reshape(name="reshape", inputs="percent", shape=(4,)),
    ]
    whole, bare = net.Network(nodes, (6,)), net.Network(nodes[:3], (6,))
    spec = sx.parse("lrp_epsilon_0_1")
    expected = reference.explain(bare, X, spec, 1).relevance
    np.testing.assert_allclose(reference.explain(whole, X, spec, 1).relevance, expected)
    np.testing.assert_allclose(sx.explain(whole, X, "lrp_epsilon_0_1", 1, backend="numpy").relevance, expected)
    kept = net.Network([*nodes[:4], net.Scaling(name="minus", inputs="softmax", scale=-1)], (6,))
    gradient = sx.parse("gradient")
    np.testing.assert_allclose(
        reference.explain(kept, X, gradient, 1).relevance, sx.explain(kept, X, "gradient", 1, backend="numpy").relevance
    )


# --- signs of what has no negative number ---


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("gradient_x_sign", "no number of x is below 0, so that × sgn(x) changes nothing"),
        ("guided_backprop_x_sign_mu_0", "no number of x is below 0, so that × sgn(x − 0) changes nothing"),
        ("gradient_x_sign_mu_neg_2", "no number of x is below -2, so that × sgn(x − -2) changes nothing"),
        ("lrpsign_epsilon_0_1", "no number that the first layer reads is below 0, so that SIGN is +1 everywhere"),
        ("lrpsign_z_mu_neg_1", "no number that the first layer reads is below -1, so that SIGN is +1 everywhere"),
    ],
)
def test_signs_that_change_nothing_are_noted(name, note):
    model = torch_model()
    x = np.abs(X)
    assert [text for text in sx.plan(model, x, name).notes if "so that" in text] == [note]
    assert note in sx.explain(model, x, name).plan.notes
    assert not any("so that" in text for text in sx.plan(model, X * 3, name).notes)
    if "sign" in name.partition("_x_")[2]:
        plain = sx.explain(model, x, name.partition("_x_")[0]).relevance
        np.testing.assert_array_equal(sx.explain(model, x, name).relevance, plain)


def test_signs_that_change_something_are_not_noted():
    x = np.abs(X) + 1
    shifted = nn.Sequential(Behind(lambda z: z, None))
    for name in ("gradient_x_sign_mu_1_5", "lrpsign_z_mu_1_5", "lrp_z", "gradient"):
        assert not any("so that" in text for text in sx.plan(shifted, x, name).notes)
    notes = sx.plan(shifted, x, "gradient_x_sign_mu", mu=np.full((3, 6), 0.5)).notes
    assert notes[-1] == "no number of x is below μ, so that × sgn(x − μ) changes nothing"


def test_parts_of_a_batch_share_what_holds_for_all_of_them():
    x = np.concatenate([np.abs(X), X])
    assert len(sx.explain(torch_model(), x, "gradient_x_sign", batch_size=3).plan.notes) == 2
    assert len(sx.explain(torch_model(), np.abs(x), "gradient_x_sign", batch_size=3).plan.notes) == 3
