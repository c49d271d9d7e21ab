"""Functions around PyTorch models in training mode: explained at inference, or refused with the reason."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import signxai_core as sx
from signxai_core.errors import UnsupportedOperationError

X = np.random.default_rng(0).normal(size=(3, 4, 6))


class Depth(nn.Module):
    """Stochastic depth, as torchvision has it."""

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.empty(x.shape[0], 1, 1, dtype=x.dtype).bernoulli_(0.5) / 0.5


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x) if self.training else x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=True)
        self.depth, self.noise, self.dropout = Depth(), Noise(), nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        x = x + self.depth(self.attention(x, x, x)[0])
        x = self.norm(self.dropout(self.noise(x)))
        return self.head(F.relu(x).flatten(1))


def net():
    torch.manual_seed(0)
    return Net().double().train()


MODEL = net()


def by_global(x):
    return MODEL(x)


def by_another_function(x):
    return by_global(x) + 0


def by_inner_function(x):
    def inner(y):
        return sum(MODEL(z) for z in (y,))

    return inner(x)


class Wrapper:
    def __init__(self, model):
        self.parts = {"model": [model]}

    def __call__(self, x):
        return self.parts["model"][0](x)


class Slotted:
    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model

    def __call__(self, x):
        return self.model(x)


class ByGlobal:
    def __call__(self, x):
        return self.run(x)

    def run(self, x):
        return MODEL(x)


def by_argument(x, model=MODEL, *, other=MODEL):
    return (model(x) + other(x)) / 2


def closing_over(model):
    return lambda x: model(x) + 0


def recursive(model):
    def run(x, depth=2):
        return model(x) if depth == 0 else run(x, depth - 1)

    return run


def decorated(model):
    @torch.enable_grad()
    def run(x):
        return model(x)

    return run


AROUND = {
    "closure": lambda: closing_over(MODEL),
    "global": lambda: by_global,
    "function": lambda: by_another_function,
    "inner function": lambda: by_inner_function,
    "partial": lambda: functools.partial(lambda x, model: model(x), model=MODEL),
    "argument": lambda: by_argument,
    "bound method": lambda: MODEL.forward,
    "method of an object": lambda: Wrapper(MODEL).__call__,
    "object": lambda: Wrapper(MODEL),
    "object with slots": lambda: Slotted(MODEL),
    "object whose class uses a global": ByGlobal,
    "recursive function": lambda: recursive(MODEL),
    "decorated function": lambda: decorated(MODEL),
}


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("method", ["gradient", "lrp_epsilon_0_1"])
def test_a_function_is_explained_at_inference(name, method):
    expected = sx.explain(MODEL, X, method, 1, strict=False)
    state = torch.random.get_rng_state()
    found = sx.explain(AROUND[name](), X, method, 1, backend="torch", strict=False)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-12)
    np.testing.assert_allclose(found.output, expected.output, rtol=1e-12)
    assert torch.equal(torch.random.get_rng_state(), state), "nothing was drawn"
    assert all(module.training for module in MODEL.modules())
    assert set(found.warnings) == set(expected.warnings)


def test_layers_have_their_paths():
    rows = str(sx.plan(functools.partial(MODEL), X, "gradient", backend="torch"))
    assert "head" in rows
    assert rows == str(sx.plan(MODEL, X, "gradient"))
    assert "head" in str(sx.plan(closing_over(MODEL), X, "gradient", backend="torch"))


def test_several_models_have_the_names_of_their_variables():
    first, second = nn.Sequential(nn.Linear(6, 6)).double(), nn.Sequential(nn.Linear(6, 3)).double()
    rows = str(sx.plan(lambda x: second(first(x[:, 0])), X, "gradient", backend="torch"))
    assert "first.0" in rows
    assert "second.0" in rows


def test_the_users_objects_stay_theirs():
    model, calls = net(), []
    wrapper = Wrapper(model)

    def run(x):
        calls.append(x.shape)
        return wrapper(x)

    before = dict(run.__globals__), run.__closure__, vars(wrapper)["parts"]
    sx.explain(run, X, "gradient", 1, backend="torch")
    assert (dict(run.__globals__), run.__closure__, vars(wrapper)["parts"]) == before
    assert wrapper.parts["model"][0] is model
    assert model.training
    assert len(calls) == 1, "what has no model in it is used as it is"


class Hidden:
    """What no function refers to by a name."""

    models = (net(),)


def test_a_model_that_cannot_be_seen_is_refused_where_it_draws():
    function = functools.partial(lambda x, get: get()(x), get=lambda: vars(Hidden)["sledom"[::-1]][0])
    with pytest.raises(UnsupportedOperationError, match=r"'bernoulli' .*Depth.*training mode.*call \.eval\(\)"):
        sx.explain(function, X, "gradient", 1, backend="torch")


class Sampling(nn.Module):
    """Draws at inference, too."""

    def forward(self, x):
        return x * torch.randn(x.shape[-1], dtype=x.dtype)


def test_what_draws_at_inference_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 3), Sampling()).double().eval()
    for given in (model, lambda x: model(x) + 0):
        found = sx.explain(given, X, "gradient", 1, backend="torch")
        assert len(found.warnings) == 1
        assert "random numbers ('randn' in '2')" in found.warnings[0]
    assert not sx.explain(model[:2], X, "gradient", 1).warnings
