"""The oracle itself: values, totals without biases, and small examples by hand; nothing of the library is used."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch
from modern_nets import CASES, made


@pytest.mark.parametrize("chain", ["default", "attn", "cp"])
@pytest.mark.parametrize("case", CASES)
def test_the_rewritten_network_has_the_values_of_the_network(case, chain):
    net, x = made(case)
    with torch.no_grad():
        expected = net(torch.tensor(x)).numpy()
    _, logits = oracle.relevance(net, x, chain)
    np.testing.assert_allclose(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chain", ["default", "cp"])
@pytest.mark.parametrize("case", CASES)
def test_relevance_is_conserved_without_biases(case, chain):
    net, x = made(case)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "bias" in name or name in ("token", "positions"):
                parameter.zero_()
    found, logits = oracle.relevance(net, x, chain)
    np.testing.assert_allclose(found.reshape(2, -1).sum(1), logits.max(1), rtol=1e-10)


def relevance_of(function, *x):
    given = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (c,) = torch.autograd.grad(function(given), given)
    return (given * c).detach().numpy()


def test_a_gate_by_hand():
    def gated(chain):
        return lambda x: oracle.gated(chain, x[0], oracle.activation(torch.sigmoid, x[1]))

    y = 3 / (1 + math.exp(2))
    np.testing.assert_allclose(relevance_of(gated("default"), 3, -2), [y, 0])
    np.testing.assert_allclose(relevance_of(gated("attn"), 3, -2), [y / 2, y / 2])


def test_a_normalisation_by_hand():
    # mean 3, variance 14/3 and epsilon 1/3: the deviation is the root of 5
    found = relevance_of(lambda x: oracle.normalise(x, -1, 1 / 3)[0], 6, 2, 1)
    np.testing.assert_allclose(found, np.array([6 * 2 / 3, -2 / 3, -1 / 3]) / math.sqrt(5))


def test_softmax_by_hand():
    # s = (1/4, 3/4), R = (s₁·8, 0) = (2, 0): R_i = x_i (R_i − s_i Σ R)
    found = relevance_of(lambda x: 8 * x.softmax(-1)[0], 2, 2 + math.log(3))
    np.testing.assert_allclose(found, [2 * (2 - 2 / 4), (2 + math.log(3)) * (0 - 2 * 3 / 4)])


def test_attention_by_hand():
    # one query, keys 1 and 0, values 3 and 5: scores (log 3, 0), probabilities (3/4, 1/4), y = 7/2
    def attend(chain):
        def run(x):
            q, k, v = x[:1].reshape(1, 1), x[1:3].reshape(2, 1), x[3:].reshape(2, 1)
            return oracle.attention(chain, q, k, v)[0, 0]

        return relevance_of(run, math.log(3), 1, 0, 3, 5)

    np.testing.assert_allclose(attend("default"), [0, 0, 0, 9 / 4, 5 / 4], atol=1e-15)
    np.testing.assert_allclose(attend("cp"), attend("default"))
    # Half of (9/4, 5/4) each to probabilities and values; softmax: log 3 · (9/8 − 3/4 · 7/4), the other score is 0
    score = math.log(3) * (9 / 8 - 21 / 16)
    np.testing.assert_allclose(attend("attn"), [score / 2, score / 2, 0, 9 / 8, 5 / 8], atol=1e-15)


def test_two_steps_by_hand():
    # z₁ = 2 x₁ + 1 = 3, h₁ = tanh 3; z₂ = 2 x₂ + 1 + 3 h₁ with x₂ = −1/2
    def run(x):
        (h,) = oracle.rnn_step("default", 2 * x[0], torch.tensor(1.0), ())
        return oracle.rnn_step("default", 2 * x[1] + 1, 3 * h, ())[0]

    z = 3 * math.tanh(3)
    expected = math.tanh(z) * np.array([3 * math.tanh(3) / z * 2 / 3, -1 / z])
    np.testing.assert_allclose(relevance_of(run, 1, -0.5), expected)


def test_an_lstm_step_by_hand():
    # All gates are σ(log 3) = 3/4; c = 3/4 · tanh 1 + 3/4 · 2, h = 3/4 · tanh c
    def run(x):
        gate = torch.tensor(math.log(3))
        a = torch.stack([gate, gate, x[0], gate])[None]
        return oracle.lstm_step("default", a, torch.zeros_like(a), (None, x[1:].reshape(1, 1)))[0][0, 0]

    new, kept = 3 / 4 * math.tanh(1), 3 / 4 * 2
    h = 3 / 4 * math.tanh(new + kept)
    np.testing.assert_allclose(relevance_of(run, 1, 2), [h * new / (new + kept), h * kept / (new + kept)])
