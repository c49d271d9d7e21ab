"""Small networks with gates, normalisations, attention and recurrence, written as their authors write them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def randomised(model, seed=0):
    """Return the model in float64 and evaluation mode with random parameters, biases included.

    Scales of normalisations stay around 1, so that no layer drowns the others.
    """
    random = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        if parameter.ndim >= 2:
            values = values / parameter[0].numel() ** 0.5
        elif name.endswith("weight"):
            values = 1 + 0.3 * values
        else:
            values = 0.3 * values
        parameter.data = values
    return model


class SqueezeExcite(nn.Module):
    """A convolutional network with a squeeze-and-excite gate; ``gate`` is the gate's function."""

    def __init__(self, gate):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3)
        self.fc1, self.fc2 = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.gate, self.head = gate, nn.Linear(6, 4)

    def forward(self, x):
        y = F.relu(self.stem(x))
        scale = F.relu(self.fc1(y.mean((2, 3), keepdim=True)))
        y = y * self.gate(self.fc2(scale)) + y
        return self.head(F.relu(self.conv(y)).mean((2, 3)))


class SelfAttention(nn.Module):
    """Attention through ``F.scaled_dot_product_attention``, with one layer for query, key and value."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(n, t, d))


class VisionTransformer(nn.Module):
    """Patches, class token, positions, one pre-norm block, the class token's head."""

    def __init__(self, *, fused, width=8, heads=2):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 10, width))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.fused = fused
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True) if fused else SelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(x), -1, -1), y], dim=1) + self.positions
        inside = self.norm1(y)
        y = y + (
            self.attention(inside, inside, inside, need_weights=False)[0] if self.fused else self.attention(inside)
        )
        y = y + self.mlp(self.norm2(y))
        return self.head(self.norm(y)[:, 0])


class RMSNorm(nn.Module):
    """As language models write it."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotary(tokens, width):
    """Return cosine and sine of rotary position embeddings, (tokens, width) each."""
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64), 100.0 ** -torch.linspace(0, 1, width // 2).double())
    return torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()


def rotate(x):
    """Return (−second half, first half) of the last axis."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


class Llama(nn.Module):
    """One block of a language model on embedded tokens, and a head on its last token."""

    def __init__(self, *, fused=False, width=8, heads=2):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.norm1, self.norm2, self.norm = RMSNorm(width), RMSNorm(width), RMSNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(width, 12), nn.Linear(width, 12), nn.Linear(12, width)
        self.head = nn.Linear(width, 4)

    def attend(self, x):
        n, t, d = x.shape
        q, k, v = (f(x).reshape(n, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        cos, sin = rotary(t, d // self.heads)
        q, k = q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.full((t, t), -torch.inf, dtype=x.dtype).triu(1)
            y = (q @ k.transpose(2, 3) / (d // self.heads) ** 0.5 + mask).softmax(-1) @ v
        return self.o(y.transpose(1, 2).reshape(n, t, d))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        inside = self.norm2(x)
        x = x + self.down(F.silu(self.gate(inside)) * self.up(inside))
        return self.head(self.norm(x)[:, -1])


class ConvNeXt(nn.Module):
    """A stem and one block: depthwise convolution, layer norm, GELU, layer scale."""

    def __init__(self, width=6):
        super().__init__()
        self.stem, self.norm0 = nn.Conv2d(3, width, 2, stride=2), nn.LayerNorm(width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 12), nn.Linear(12, width)
        self.scale = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        x = self.norm0(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = self.norm1(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.fc2(F.gelu(self.fc1(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(self.norm2(x.mean((2, 3))))


class GroupNormed(nn.Module):
    """Convolutions with group and instance normalisation, and a residual sum."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(2, 6), nn.InstanceNorm2d(6, affine=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)) + y)
        return self.head(F.max_pool2d(y, 2).mean((2, 3)))


class Recurrent(nn.Module):
    """A recurrent layer of PyTorch, and a head on the last step or on the mean of all."""

    def __init__(self, cell, *, last, **options):
        super().__init__()
        self.cell = cell(3, 5, num_layers=2, bidirectional=True, batch_first=True, **options)
        self.last, self.head = last, nn.Linear(10, 4)

    def forward(self, x):
        y, _ = self.cell(x)
        return self.head(y[:, -1] if self.last else y.mean(1))


IMAGE, TOKENS, SERIES = (3, 6, 6), (5, 8), (4, 3)
CASES = {
    "se_sigmoid": (partial(SqueezeExcite, nn.Sigmoid()), IMAGE),
    "se_hardsigmoid": (partial(SqueezeExcite, nn.Hardsigmoid()), IMAGE),
    "vit_mha": (partial(VisionTransformer, fused=True), IMAGE),
    "vit_sdpa": (partial(VisionTransformer, fused=False), IMAGE),
    "llama": (Llama, TOKENS),
    "llama_sdpa": (partial(Llama, fused=True), TOKENS),
    "convnext": (ConvNeXt, IMAGE),
    "group_norm": (GroupNormed, IMAGE),
    "lstm_last": (partial(Recurrent, nn.LSTM, last=True), SERIES),
    "lstm_mean": (partial(Recurrent, nn.LSTM, last=False), SERIES),
    "gru_last": (partial(Recurrent, nn.GRU, last=True), SERIES),
    "gru_mean": (partial(Recurrent, nn.GRU, last=False), SERIES),
    "rnn_last": (partial(Recurrent, nn.RNN, last=True), SERIES),
    "rnn_mean": (partial(Recurrent, nn.RNN, last=False), SERIES),
}


def made(case, samples=2):
    """Return a network of the cases and a batch for it."""
    make, shape = CASES[case]
    return randomised(make()), np.random.default_rng(0).normal(size=(samples, *shape))
