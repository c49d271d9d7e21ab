"""A ReLU is a ReLU however a model writes it: guided backpropagation and the deconvnet see it, LRP passes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import signxai_core as sx


def _assigned(x):
    y = x.clone()
    y[y < 0] = 0
    return y


def _multiplied_in_place(x):
    y = x * 1.0
    y *= y > 0
    return y


FORMS = {
    "relu": torch.relu,
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum, zero first": lambda x: torch.maximum(torch.tensor(0.0, dtype=x.dtype), x),
    "max of two": lambda x: torch.max(x, torch.zeros_like(x)),
    "fmax": lambda x: torch.fmax(x, torch.zeros_like(x)),
    "clamp": lambda x: x.clamp(min=0),
    "clamp, both bounds": lambda x: x.clamp(0, float("inf")),
    "clamp, tensor": lambda x: torch.clamp(x, min=torch.zeros((), dtype=x.dtype)),
    "clamp_min": lambda x: torch.clamp_min(x, 0.0),
    "clip": lambda x: torch.clip(x, 0, None),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, float("inf")),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.0),
    "leaky_relu, by name": lambda x: F.leaky_relu(x, negative_slope=0.0),
    "prelu": lambda x: F.prelu(x, torch.zeros(1, dtype=x.dtype)),
    "elu": lambda x: F.elu(x, alpha=0.0),
    "where": lambda x: torch.where(x > 0, x, 0),
    "where, zeros": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "where, >=": lambda x: torch.where(x >= 0, x, 0.0),
    "where, <": lambda x: torch.where(x < 0, 0.0, x),
    "where, not": lambda x: torch.where(~(x > 0), 0.0, x),
    "where, reflected": lambda x: torch.where(torch.lt(torch.zeros_like(x), x), x, 0.0),
    "where, method": lambda x: x.where(x > 0, torch.zeros_like(x)),
    "times mask": lambda x: x * (x > 0),
    "times mask of a detached tensor": lambda x: x * (x.detach() > 0),
    "times mask of data": lambda x: x * (x.data > 0).double(),
    "mask times": lambda x: (x > 0) * x,
    "times float mask": lambda x: x * (x > 0).to(x.dtype),
    "times mask, type_as": lambda x: x * torch.gt(x, 0).type_as(x),
    "times mask, in place": _multiplied_in_place,
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "masked_fill, not": lambda x: x.masked_fill(torch.logical_not(x > 0), 0),
    "assigned": _assigned,
}
OTHERS = {
    "another tensor's mask": lambda x: torch.where(x.flip(1) > 0, x, 0),
    "threshold above": lambda x: torch.where(x > 0.1, x, 0),
    "other value": lambda x: torch.where(x > 0, x, -1.0),
    "the negative part": lambda x: torch.where(x < 0, x, 0),
    "times the wrong mask": lambda x: x * (x < 0),
    "minimum": lambda x: torch.minimum(x, torch.zeros_like(x)),
    "maximum of one": lambda x: torch.maximum(x, torch.ones_like(x)),
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.1], dtype=x.dtype)),
    "clamped mask": lambda x: x * (x > 0).flip(0),
}


class Net(nn.Module):
    """Two convolutions and two activations of one form."""

    def __init__(self, activation) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.one, self.two, self.fc = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 3)
        self.activation = activation
        self.double()

    def forward(self, x):
        y = self.activation(self.two(self.activation(self.one(x))))
        return self.fc(y.mean(dim=(2, 3)))


X = np.random.default_rng(5).normal(size=(2, 2, 8, 8))
METHODS = ["gradient", "guided_backprop", "deconvnet", "lrp_z", "lrp_sequential_composite_b"]
PLAIN = {name: sx.explain(Net(torch.relu), X, name, 1).relevance for name in METHODS}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_relu_in_torch(form):
    net = Net(FORMS[form])
    for name in METHODS:
        np.testing.assert_allclose(sx.explain(net, X, name, 1).relevance, PLAIN[name], rtol=0, atol=1e-12, err_msg=name)
    assert [row.rule for row in sx.plan(net, X, "deconvnet").rows].count("clip, then unmasked VJP") == 2


@pytest.mark.parametrize("form", OTHERS)
def test_what_is_no_relu_stays_that_in_torch(form):
    rows = sx.plan(Net(OTHERS[form]), X, "guided_backprop").rows
    assert "clip, then exact VJP" not in {row.rule for row in rows}


def test_a_mask_that_was_changed_is_no_relus():
    def changed(x):
        mask = x > 0
        mask.logical_not_()
        return x * mask

    def changed_past_torch(x):
        mask = x > 0
        mask.numpy()[:] = True
        return x * mask

    for form in (changed, changed_past_torch):
        rows = sx.plan(Net(form), X, "guided_backprop").rows
        assert "clip, then exact VJP" not in {row.rule for row in rows}


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet", "guided_grad_cam"])
def test_a_model_without_any_relu_is_warned_of(name):
    net = Net(torch.tanh)
    (warning,) = sx.plan(net, X, name).warnings
    explanation = sx.explain(net, X, name, 1)
    assert explanation.warnings == (warning,)
    assert warning.startswith("the model has no ReLU (relu|relu6), so that 'clip, then ")
    assert warning.endswith("is applied nowhere: its relevance is the plain gradient")
    assert repr(explanation).endswith("warnings=1)")


def test_no_warning_where_there_is_a_relu_or_none_is_asked_for():
    assert sx.explain(Net(torch.relu), X, "guided_backprop").warnings == ()
    assert sx.explain(Net(torch.tanh), X, "gradient").warnings == ()
    assert "warnings" not in repr(sx.explain(Net(torch.tanh), X, "gradient"))
