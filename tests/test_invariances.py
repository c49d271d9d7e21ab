"""What must not change a map of gates, products, normalisations and attention: grouping, masks, batches, places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from modern_nets import CASES, made
from torch import nn
from torch.nn import functional as F
from twin_nets import heads, twins

import signxai_core as sx

CHAINS = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrpsign_epsilon_0_25_std_x", "lrp_attn", "lrp_cp"]


def worst(ours, right):
    return np.abs(ours - right).max() / np.abs(right).max()


def check_same(models, x, methods=CHAINS, tolerance=1e-9):
    """Fail where a model has another map than the first."""
    first, *others = (sx.explain_many(model, x, methods) for model in models)
    for number, found in enumerate(others, 1):
        for method, right in first.items():
            apart = worst(found[method].relevance, right.relevance)
            assert apart <= tolerance, f"{method}, model {number}: {apart:.1e}"


# --- products ---


def of_three(product):
    def run(net, x):
        return net.head(product(net.a(x), F.relu(net.b(x)), torch.tanh(net.c(x))))

    return run


GROUPINGS = {
    "three": [
        lambda a, b, c: (a * b) * c,
        lambda a, b, c: a * (b * c),
        lambda a, b, c: (c * a) * b,
        lambda a, b, c: (2 * (a * b)) * (c / 2),
        lambda a, b, c: ((a.unsqueeze(1) * b.unsqueeze(1)).reshape(a.shape)) * c,
        lambda a, b, c: torch.einsum("ij,ij,ij->ij", a, b, c),
    ],
    "gate": [
        lambda a, b, c: (a * torch.sigmoid(b)) * c,
        lambda a, b, c: (a * c) * torch.sigmoid(b),
        lambda a, b, c: a * (torch.sigmoid(b) * c),
    ],
    "silu": [
        lambda a, b, c: F.silu(a) * b,
        lambda a, b, c: a * torch.sigmoid(a) * b,
        lambda a, b, c: a * (torch.sigmoid(a) * b),
        lambda a, b, c: torch.sigmoid(a) * (b * a),
    ],
}


@pytest.mark.parametrize("case", GROUPINGS)
def test_the_grouping_of_a_product_is_free(case):
    layers = {name: nn.Linear(5, 4) for name in "abc"} | {"head": nn.Linear(4, 3)}
    models = twins(layers, *map(of_three, GROUPINGS[case]))
    check_same(models, np.random.default_rng(0).normal(size=(2, 5)))


def test_the_grouping_of_matrix_products_is_free():
    def attend(product):
        def run(net, x):
            return net.head(product(*(heads(part(x)) for part in (net.q, net.k, net.v))).transpose(1, 2).flatten(1))

        return run

    layers = {name: nn.Linear(6, 6) for name in "qkv"} | {"head": nn.Linear(24, 3)}
    models = twins(
        layers,
        attend(lambda q, k, v: (q @ k.mT) @ v),
        attend(lambda q, k, v: q @ (k.mT @ v)),
        attend(lambda q, k, v: torch.einsum("nhqd,nhde->nhqe", q, torch.einsum("nhkd,nhke->nhde", k, v))),
    )
    check_same(models, np.random.default_rng(0).normal(size=(2, 4, 6)))


def test_the_matrix_products_of_cp_are_those_of_every_chain():
    def run(net, x):
        return net.head((F.relu(net.a(x)) @ net.b(x).mT).flatten(1))

    layers = {"a": nn.Linear(6, 5), "b": nn.Linear(6, 5), "head": nn.Linear(16, 3)}
    (model,), x = twins(layers, run), np.random.default_rng(0).normal(size=(2, 4, 6))
    ours, right = (sx.explain(model, x, name).relevance for name in ("lrp_cp", "lrp_epsilon_0_000001"))
    np.testing.assert_allclose(ours, right, rtol=1e-12)


# --- masks ---

HIDDEN = torch.tensor([False, False, True, False, True])
MASKS = {
    "additive": lambda scores: scores + torch.zeros(5, dtype=torch.float64).masked_fill(HIDDEN, -torch.inf),
    "filled": lambda scores: scores.masked_fill(HIDDEN, -torch.inf),
    "smallest": lambda scores: scores.masked_fill(HIDDEN, torch.finfo(torch.float64).min),
    "where": lambda scores: torch.where(HIDDEN, -torch.inf, scores),
}


def masked(function):
    """Return attention whose queries are the visible tokens."""

    def run(net, x):
        q, k, v = (heads(part(x)) for part in (net.q, net.k, net.v))
        return net.head(function(q[:, :, ~HIDDEN[: x.shape[1]]], k, v).transpose(1, 2).flatten(1))

    return run


def by_scores(mask):
    return masked(lambda q, k, v: mask(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v)


@pytest.mark.parametrize("method", CHAINS)
def test_masked_tokens_are_as_if_they_were_not_there(method):
    layers = {name: nn.Linear(6, 6) for name in "qkv"} | {"head": nn.Linear(18, 3)}
    names, masks = zip(*MASKS.items(), strict=True)
    without, fused, *models = twins(
        layers,
        lambda net, x: net.head(
            F.scaled_dot_product_attention(*(heads(f(x)) for f in (net.q, net.k, net.v))).transpose(1, 2).flatten(1)
        ),
        masked(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=~HIDDEN.expand(3, 5))),
        *map(by_scores, masks),
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 6))
    right = sx.explain(without, x[:, ~HIDDEN], method).relevance
    for name, model in zip(("fused", *names), (fused, *models), strict=True):
        found = sx.explain(model, x, method).relevance
        assert not found[:, HIDDEN].any(), name
        if not method.endswith("std_x"):  # the deviation of an input has the hidden tokens in it
            assert worst(found[:, ~HIDDEN], right) <= 1e-9, name


# --- batches ---


@pytest.mark.parametrize("case", CASES)
def test_a_batch_is_as_its_samples_alone(case):
    net, x = made(case, samples=3)
    together = sx.explain_many(net, x, CHAINS)
    for number in range(3):
        alone = sx.explain_many(net, x[number : number + 1], CHAINS)
        for method, right in alone.items():
            assert worst(together[method].relevance[number], right.relevance[0]) <= 1e-11, (method, number)


# --- normalisations in front of the first layer ---


def instance_norm(net, x):
    return F.instance_norm(x)


def layer_norm_written(net, x):
    x = x - x.mean((1, 2), keepdim=True)
    return x / (x.square().mean((1, 2), keepdim=True) + 1e-5).sqrt()


def constants(net, x):
    return (x - 0.4) / torch.tensor([0.5, 2.0, 1.5], dtype=x.dtype)[:, None]


@pytest.mark.parametrize("inside", [instance_norm, layer_norm_written, constants])
@pytest.mark.parametrize("method", ["lrpsign_epsilon_0_1", "lrpsign_z_mu_0_5", "w2lrp_z", "flatlrp_z", "zblrp_z"])
def test_input_rules_see_the_first_layers_own_input(inside, method):
    layers = {"conv": nn.Conv1d(3, 4, 3), "head": nn.Linear(16, 3)}
    outside, model = twins(
        layers,
        lambda net, x: net.head(F.relu(net.conv(x)).flatten(1)),
        lambda net, x: net.head(F.relu(net.conv(inside(net, x))).flatten(1)),
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 6)) + 0.3
    bounds = {"low": -4.0, "high": 5.0} if method.startswith("zb") else {}
    right = sx.explain(outside, inside(outside, torch.tensor(x)).numpy(), method, **bounds).relevance
    assert worst(sx.explain(model, x, method, **bounds).relevance, right) <= 1e-12


# --- chains of gates ---


class Multiply(torch.autograd.Function):
    """A product that no table knows."""

    @staticmethod
    def forward(a, b):
        return a * b

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, above):
        a, b = ctx.saved_tensors
        return above * b, above * a


def chain_of(product, number):
    """Return a network of that many gates and no biases."""

    def run(net, x):
        y = F.relu(net.stem(x))
        for _ in range(number):
            y = product(y, torch.sigmoid(net.gate(y)))
        return net.head(y)

    sizes = {"stem": (5, 6), "gate": (6, 6), "head": (6, 3)}
    return twins({name: nn.Linear(*size, bias=False) for name, size in sizes.items()}, run)[0]


@pytest.mark.parametrize("number", [1, 2, 4, 8])
@pytest.mark.parametrize("product", [torch.mul, Multiply.apply], ids=["known", "unknown"])
@pytest.mark.filterwarnings("ignore::signxai_core.errors.SignxaiWarning")
def test_chains_of_gates_keep_the_total(product, number):
    x = np.random.default_rng(0).normal(size=(2, 5))
    found = sx.explain(chain_of(product, number), x, "lrp_z", strict=False)
    np.testing.assert_allclose(found.relevance.sum(1), found.output.max(1), rtol=1e-9)
