"""Functions that a framework has in one piece, and the same written out with plainer ones, on the same layers."""

from __future__ import annotations

import math

import torch
from modern_nets import randomised
from torch import nn
from torch.nn import functional as F


class Twin(nn.Module):
    """A function ``run(net, x)`` on layers that its twins share."""

    def __init__(self, run, layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


def twins(layers, *runs):
    """Return one network per function; they share layers with random weights."""
    randomised(nn.ModuleDict(layers))
    return [Twin(run, layers).eval() for run in runs]


# --- elementwise functions ---


def inside(function):
    return lambda net, x: net.head(function(net.stem(x)))


def in_the_middle(*functions):
    """Return twins with an elementwise function between two dense layers, and the shape of a sample."""
    layers = {"stem": nn.Linear(5, 6), "head": nn.Linear(6, 3)}
    return twins(layers, *map(inside, functions)), (5,)


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


ELEMENTWISE = {
    "gelu": (F.gelu, lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), gelu_tanh),
    "hard_swish": (
        F.hardswish,
        lambda x: x * F.relu6(x + 3) / 6,
        lambda x: x * (torch.clamp(x + 3, 0, 6) / 6),
        lambda x: x * F.hardsigmoid(x),
    ),
    "silu": (F.silu, lambda x: x * torch.sigmoid(x), lambda x: x / (1 + torch.exp(-x))),
    "mish": (F.mish, lambda x: x * torch.tanh(F.softplus(x)), lambda x: x * torch.tanh(torch.log(1 + torch.exp(x)))),
    "softsign": (F.softsign, lambda x: x / (1 + x.abs())),
    "square": (torch.square, lambda x: x * x, lambda x: x**2),
    "sigmoid": (torch.sigmoid, lambda x: 1 / (1 + torch.exp(-x)), lambda x: (1 + torch.tanh(x / 2)) / 2),
    "tanh": (torch.tanh, lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))),
}


# --- gates ---


def squeezed(gate):
    def run(net, x):
        y = F.relu(net.conv(x))
        scale = gate(net.fc2(F.relu(net.fc1(y.mean((2, 3))))))
        y = y * scale[:, :, None, None]
        return net.head(F.relu(net.last(y)).flatten(1))

    return run


def squeeze_excite(*gates):
    """Return twins with a gate per channel, and the shape of a sample."""
    convolutions = {"conv": nn.Conv2d(3, 4, 3), "last": nn.Conv2d(4, 4, 2)}
    dense = {"fc1": nn.Linear(4, 3), "fc2": nn.Linear(3, 4), "head": nn.Linear(36, 3)}
    return twins(convolutions | dense, *map(squeezed, gates)), (3, 6, 6)


GATES = {
    "sigmoid_gate": ELEMENTWISE["sigmoid"],
    "hard_sigmoid_gate": (
        F.hardsigmoid,
        lambda x: F.relu6(x + 3) / 6,
        lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
        lambda x: F.hardtanh(x + 3, 0, 6) * (1 / 6),
    ),
}


# --- normalisations ---


def mean_of(x):
    return x.mean(-1, keepdim=True)


def variance(x):
    return mean_of((x - mean_of(x)).square())


def centred(x, w, b, eps):
    return (x - mean_of(x)) * torch.rsqrt(variance(x) + eps) * w + b


def divided(x, w, b, eps):
    return w * ((x - mean_of(x)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + eps)) + b


def gathered(x, w, b, eps):
    inverse = torch.rsqrt(variance(x) + eps) * w
    return x * inverse + (b - mean_of(x) * inverse)


def without_constants(x, w, b, eps):
    inverse = torch.rsqrt(variance(x) + eps)
    return (x * inverse + -mean_of(x) * inverse) * w + b


def root_mean_square(x, w, eps):
    return w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def by_norm(x, w, eps):
    return x / torch.sqrt(x.norm(dim=-1, keepdim=True).square() / x.shape[-1] + eps) * w


def by_groups(groups):
    def run(part, x):
        y = x.reshape(len(x), groups, -1)
        y = (y - mean_of(y)) / torch.sqrt(variance(y) + part.eps)
        return y.reshape(x.shape) * part.weight[:, None, None] + part.bias[:, None, None]

    return run


def normalised_first(norm):
    return lambda net, x: net.head(F.relu(net.stem(norm(net.norm, x)).flatten(1)))


def normalised_inside(norm):
    return lambda net, x: net.head(F.relu(norm(net.norm, net.stem(x)).flatten(1)))


def residual(norm):
    def run(net, x):
        y = net.stem(x)
        return net.head((y + F.relu(net.body(norm(net.norm, y)))).flatten(1))

    return run


def called(function):
    return lambda part, x: function(x, part.weight, part.bias, part.eps)


def called_unbiased(function):
    return lambda part, x: function(x, part.weight, part.eps)


NORMS = {
    "layer_norm": (
        nn.LayerNorm(6),
        [lambda part, x: part(x), *map(called, (centred, divided, gathered, without_constants))],
    ),
    "rms_norm": (
        nn.RMSNorm(6, eps=1e-6),
        [lambda part, x: part(x), *map(called_unbiased, (root_mean_square, by_norm))],
    ),
    "group_norm": (nn.GroupNorm(2, 6), [lambda part, x: part(x), by_groups(2)]),
    "instance_norm": (nn.InstanceNorm2d(6, affine=True), [lambda part, x: part(x), by_groups(6)]),
    "normalize": (
        nn.Identity(),
        [
            lambda _, x: F.normalize(x, dim=-1),
            lambda _, x: x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12),
            lambda _, x: x / (x * x).sum(-1, keepdim=True).sqrt(),
        ],
    ),
}


def normalisation(norm, forms, place):
    """Return twins with a normalisation, and the shape of a sample."""
    spatial = isinstance(norm, (nn.GroupNorm, nn.InstanceNorm2d))
    size = 6 * 9 if spatial else 6 * 2
    stem, body = (nn.Conv2d(6, 6, 1) if spatial else nn.Linear(6, 6) for _ in range(2))
    layers = {"stem": stem, "body": body, "norm": norm, "head": nn.Linear(size, 3)}
    return twins(layers, *map(place, forms)), (6, 3, 3) if spatial else (2, 6)


# --- softmax and attention ---


def softmax(x):
    powers = torch.exp(x - x.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


def bare_softmax(x):
    return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)


def heads(x):
    return x.unflatten(-1, (2, -1)).transpose(1, 2)


def attend(net, x, kernel):
    q, k, v = (
        heads(part) for part in F.linear(x, net.attention.in_proj_weight, net.attention.in_proj_bias).chunk(3, -1)
    )
    return net.attention.out_proj(kernel(q, k, v).transpose(1, 2).flatten(2))


def by_module(net, x):
    return net.attention(x, x, x, need_weights=False)[0]


def by_kernel(net, x):
    return attend(net, x, F.scaled_dot_product_attention)


def by_softmax(function):
    return lambda net, x: attend(net, x, lambda q, k, v: function(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5) @ v)


def by_einsum(net, x):
    """Return attention with a layer each for query, key and value."""
    weights, biases = net.attention.in_proj_weight.chunk(3), net.attention.in_proj_bias.chunk(3)
    q, k, v = (F.linear(x, w, b).unflatten(-1, (2, -1)) for w, b in zip(weights, biases, strict=True))
    scores = torch.einsum("bqhd,bkhd->bhqk", q * q.shape[-1] ** -0.5, k)
    return net.attention.out_proj(torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2))


def attention():
    """Return twins with pre-norm self-attention, and the shape of a sample."""

    def block(function):
        return lambda net, x: net.head((x + function(net, net.norm(x))).mean(1))

    layers = {
        "norm": nn.LayerNorm(6),
        "attention": nn.MultiheadAttention(6, 2, batch_first=True),
        "head": nn.Linear(6, 3),
    }
    forms = (by_module, by_kernel, by_einsum, *map(by_softmax, (softmax, bare_softmax)))
    return twins(layers, *map(block, forms)), (4, 6)


# --- recurrent cells, step by step ---


def lstm_step(cell, a, r, b, d, h, c):
    i, f, g, o = (a + r + (b + d)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(cell, a, r, b, d, h, _):
    size = cell.hidden_size
    reset, update = torch.sigmoid((a + r + (b + d))[:, : 2 * size]).chunk(2, dim=-1)
    new = torch.tanh(a[:, 2 * size :] + b[2 * size :] + reset * (r[:, 2 * size :] + d[2 * size :]))
    return (1 - update) * new + update * h, None


def rnn_step(cell, a, r, b, d, h, _):
    return torch.tanh(a + r + (b + d)), None


def step_by_step(step, suffix, order):
    def run(cell, x):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w, u, b, d = (getattr(cell, f"{name}_{suffix}") for name in names)
        # Zeros that depend on the input: what the state is at the first step is no other operation than later.
        h = c = (0 * x[:, 0, :1]).expand(-1, cell.hidden_size)
        steps = {}
        for t in order(range(x.shape[1])):
            h, c = step(cell, F.linear(x[:, t], w), F.linear(h, u), b, d, h, c)
            steps[t] = h
        return torch.stack([steps[t] for t in sorted(steps)], dim=1)

    return run


def unrolled(step):
    """Return both directions of both layers, step by step."""

    def run(net, x):
        for layer in range(2):
            forwards = step_by_step(step, f"l{layer}", iter)(net.cell, x)
            backwards = step_by_step(step, f"l{layer}_reverse", reversed)(net.cell, x)
            x = torch.cat([forwards, backwards], dim=-1)
        return net.head(x[:, -1])

    return run


CELLS = {"lstm": (nn.LSTM, lstm_step), "gru": (nn.GRU, gru_step), "rnn": (nn.RNN, rnn_step)}


def recurrence(cell, step):
    """Return twins with two recurrent layers of both directions, and the shape of a sample."""
    layers = {"cell": cell(3, 4, num_layers=2, bidirectional=True, batch_first=True), "head": nn.Linear(8, 3)}
    return twins(layers, lambda net, x: net.head(net.cell(x)[0][:, -1]), unrolled(step)), (3, 3)
