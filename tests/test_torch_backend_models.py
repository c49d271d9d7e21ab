"""Small models for the tests of the PyTorch backend, and what autograd says of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from signxai_core.engine.backend import Backend, Recording  # noqa: E402
from signxai_torch.backend import TorchBackend  # noqa: E402

BACKEND = TorchBackend()
IMAGE, SERIES, FLAT, TOKENS = (2, 3, 8, 8), (2, 3, 12), (2, 6), (2, 5, 8)


class Fn(nn.Module):
    """A model from a function of (layers, x)."""

    def __init__(self, function: Callable[[Any, Any], Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            if isinstance(layer, torch.Tensor) and not isinstance(layer, nn.Parameter):
                self.register_buffer(name, layer)
            else:
                setattr(self, name, layer)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def walk(recording: Recording, backend: Backend = BACKEND) -> Any:
    """Return the gradient of the output's sum, by the operations' products from the output back."""
    cotangents = {recording.output: torch.ones_like(recording.values[recording.output])}
    for operation in reversed(recording.operations):
        given = [cotangents.get(identity) for identity in operation.outputs]
        if any(cotangent is not None for cotangent in given):
            for identity, gradient in zip(operation.inputs, backend.vjp(operation, given), strict=True):
                known = cotangents.get(identity)
                cotangents[identity] = gradient if known is None else known + gradient
    zeros = torch.zeros_like(recording.values[recording.input])
    return cotangents.get(recording.input, zeros)


def truth(model: Any, x: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return a model's output and gradient at inference, by autograd alone."""
    if isinstance(model, nn.Module):
        model.eval()
    point = torch.tensor(x, requires_grad=True)
    output = model(point.clone())
    return output.detach(), torch.autograd.grad(output.sum(), point)[0]


def linear(inner: int, outer: int) -> nn.Module:
    return nn.Linear(inner, outer)


def conv(**options: Any) -> nn.Module:
    return nn.Conv2d(3, 4, 3, **options)


def _inplace_slice(m: Any, x: Any) -> Any:
    x = m.c(x)
    x[:, 0] += 1
    x[:, 1:3].mul_(2)
    return x * x


def _inplace_view(m: Any, x: Any) -> Any:
    y = m.c(x)
    view = y.view(2, -1)
    y += 1
    y.relu_()
    return view * y.flatten(1)


def _inplace_base(m: Any, x: Any) -> Any:
    y = m.c(x)
    view = y[:, 0]
    view.mul_(3)
    view.add_(1)
    return y**2


def _fill(m: Any, x: Any) -> Any:
    out = torch.zeros(x.shape[0], 4, dtype=x.dtype)
    out[:, 0] = x[:, 0] ** 2
    out[:, 1:3] = x[:, 1:3]
    return out * out


def _list_of_features(m: Any, x: Any) -> Any:
    features = [x]
    for layer in (m.a, m.b):
        features.append(F.relu(layer(torch.cat(features, 1)), inplace=True))
    return torch.cat(features, dim=1).mean(dim=(2, 3))


def _constant_changed(m: Any, x: Any) -> Any:
    constant = torch.ones(6, dtype=x.dtype)
    y = x + constant
    constant.add_(1)
    return y * (x + constant)


def _tanh_net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))


def _attention(m: Any, x: Any) -> Any:
    q, k, v = m.qkv(x).chunk(3, dim=-1)
    weights = (q @ k.transpose(-2, -1) / 3.0).softmax(dim=-1)
    return m.out(weights @ v).mean(1)


def _detach(m: Any, x: Any) -> Any:
    return x / (x.detach().abs().amax(1, keepdim=True) + 1) + x.argmax(1, keepdim=True)


class Straight(torch.autograd.Function):
    """Rounds, with the gradient of twice the identity."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return 2 * gradient


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (lambda: nn.Sequential(linear(6, 5), nn.ReLU(), linear(5, 3)), FLAT),
    "conv": (lambda: nn.Sequential(conv(padding=1), nn.ReLU(inplace=True), nn.Flatten(), linear(256, 3)), IMAGE),
    "conv_same": (lambda: nn.Conv2d(3, 4, (2, 4), padding="same", dilation=(1, 3)), IMAGE),
    "conv_circular": (lambda: nn.Sequential(conv(padding=2, padding_mode="circular")), IMAGE),
    "conv_groups": (lambda: nn.Conv2d(3, 6, 3, groups=3, stride=2, dilation=2), IMAGE),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.MaxPool1d(2), nn.Tanh(), nn.Flatten(1)), SERIES),
    "conv3d": (lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 2), nn.AvgPool3d(2, 2)), IMAGE),
    "transposed": (lambda: nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1, output_padding=1, groups=3), IMAGE),
    "batch_norm": (
        lambda: nn.Sequential(conv(), _normalised(nn.BatchNorm2d(4, 0.1)), nn.ReLU(inplace=True)),
        IMAGE,
    ),
    "batch_norm_flat": (lambda: nn.Sequential(_normalised(nn.BatchNorm1d(6)), linear(6, 2)), FLAT),
    "norms": (lambda: nn.Sequential(nn.GroupNorm(1, 3), nn.InstanceNorm2d(3), nn.LayerNorm(8)), IMAGE),
    "instance_norm": (lambda: _normalised(nn.InstanceNorm2d(3, affine=True, track_running_stats=True)), IMAGE),
    "skip": (lambda: Fn(lambda m, x: F.relu(m.c(x) + x), c=nn.Conv2d(3, 3, 3, padding=1)), IMAGE),
    "skip_inplace": (lambda: Fn(_inplace_skip, c=nn.Conv2d(3, 3, 3, padding=1)), IMAGE),
    "broadcast_sum": (lambda: Fn(lambda m, x: x - 2 * x.mean((2, 3), keepdim=True)), IMAGE),
    "alpha": (lambda: Fn(lambda m, x: torch.add(x, x**2, alpha=-3) - x.sub(x.tanh(), alpha=2)), FLAT),
    "reused": (lambda: Fn(lambda m, x: m.a(F.relu(m.a(x))), a=linear(6, 6)), FLAT),
    "dense_net": (lambda: Fn(_list_of_features, a=nn.Conv2d(3, 2, 1), b=nn.Conv2d(5, 2, 3, padding=1)), IMAGE),
    "pools": (lambda: Fn(_pools), IMAGE),
    "indices": (lambda: Fn(lambda m, x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)), IMAGE),
    "upsample": (lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Upsample(size=5, mode="bilinear")), IMAGE),
    "bicubic": (lambda: Fn(lambda m, x: F.interpolate(x, size=5, mode="bicubic")), IMAGE),
    "pads": (lambda: nn.Sequential(nn.ZeroPad2d(1), nn.ReflectionPad2d(2), nn.ConstantPad2d(1, 3.0)), IMAGE),
    "shapes": (lambda: Fn(_shapes), IMAGE),
    "scalings": (lambda: Fn(lambda m, x: (3 - (2 * x + m.b - 1) / 4) * m.b, b=torch.rand(3, 1, 1)), IMAGE),
    "products": (lambda: Fn(lambda m, x: x * x + x / (1 + x**2) + 1 / (x * x.sigmoid() + 3)), FLAT),
    "matmul": (lambda: Fn(lambda m, x: torch.addmm(m.v, x @ m.w, m.w.T), w=_weight(6, 4), v=_weight(6)), FLAT),
    "matmul_left": (lambda: Fn(lambda m, x: m.w @ x.mT, w=_weight(4, 8)), TOKENS),
    "einsum": (lambda: Fn(lambda m, x: torch.einsum("ntc,cd->ntd", x, m.w), w=_weight(8, 4)), TOKENS),
    "class_token": (lambda: Fn(lambda m, x: torch.cat([m.t.expand(2, -1, -1), x], 1), t=_weight(1, 1, 8)), TOKENS),
    "attention": (lambda: Fn(_attention, qkv=linear(8, 24), out=linear(8, 3)), TOKENS),
    "multihead": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), TOKENS),
    "sdpa": (lambda: Fn(lambda m, x: F.scaled_dot_product_attention(x, x, x)), TOKENS),
    "lstm": (lambda: Fn(lambda m, x: m.r(x)[0][:, -1], r=nn.LSTM(8, 4, num_layers=2, dropout=0.5)), TOKENS),
    "gru": (lambda: Fn(lambda m, x: m.r(x)[1][0], r=nn.GRU(8, 4, batch_first=True)), TOKENS),
    "activations": (lambda: Fn(_activations), FLAT),
    "heads": (lambda: nn.Sequential(linear(6, 4), nn.LogSoftmax(dim=1)), FLAT),
    "dropouts": (lambda: nn.Sequential(nn.Dropout(0.5, inplace=True), nn.AlphaDropout(), linear(6, 3)), FLAT),
    "inplace_slice": (lambda: Fn(_inplace_slice, c=conv()), IMAGE),
    "inplace_view": (lambda: Fn(_inplace_view, c=conv()), IMAGE),
    "inplace_base": (lambda: Fn(_inplace_base, c=conv()), IMAGE),
    "inplace_input": (lambda: Fn(lambda m, x: x.mul_(2).add_(x.tanh()).relu_()), FLAT),
    "fill": (lambda: Fn(_fill), FLAT),
    "masked": (lambda: Fn(lambda m, x: torch.where(x > 0, x**2, 0.1 * x).masked_fill(x > 1, 0.0)), FLAT),
    "tainted": (lambda: Fn(_detach), FLAT),
    "custom_function": (lambda: Fn(lambda m, x: m.a(Straight.apply(m.a(x))) ** 2, a=linear(6, 6)), FLAT),
    "scripted": (lambda: _scripted(nn.Sequential(linear(6, 3), nn.Tanh()).double()), FLAT),
    "weight_norm": (lambda: nn.utils.parametrizations.weight_norm(linear(6, 3)), FLAT),
    "spectral_norm": (lambda: nn.utils.parametrizations.spectral_norm(linear(6, 3)), FLAT),
    "splits": (
        lambda: Fn(lambda m, x: sum(i * p for i, p in enumerate(x.split(2, 1))) - x.unbind(1)[0][:, None]),
        FLAT,
    ),
    "dropout_view": (lambda: Fn(lambda m, x: (m.d(x), x[:, :2] * 2)[1], d=nn.Dropout(0.5, inplace=True)), FLAT),
    "constant_changed": (lambda: Fn(_constant_changed), FLAT),
    "checkpoint": (lambda: Fn(lambda m, x: checkpoint(m.a, x, use_reentrant=False) ** 2, a=_tanh_net()), FLAT),
    "identity": (nn.Identity, FLAT),
    "sort": (lambda: Fn(lambda m, x: x.sort(1)[0] ** 2 + x.topk(6, 1).values + x.cumsum(1)), FLAT),
    "plain_function": (lambda: lambda x: (x**3).sum(1, keepdim=True), FLAT),
}


def _scripted(model: Any) -> Any:
    with warnings.catch_warnings():
        # How PyTorch says that tracing goes one day depends on the version; models saved with it are there.
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        return torch.jit.trace(model, torch.zeros(1, 6, dtype=torch.float64))


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def _normalised(layer: Any) -> Any:
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def _inplace_skip(m: Any, x: Any) -> Any:
    y = m.c(x)
    y += x
    return F.relu_(y)


def _pools(m: Any, x: Any) -> Any:
    parts = [F.avg_pool2d(x, 3, padding=1, stride=2), F.max_pool2d(x, 2), F.lp_pool2d(x.abs(), 2, 2)]
    parts += [F.adaptive_avg_pool2d(x, 4), F.adaptive_max_pool2d(x, 4)]
    flat = [x.amax((2, 3)), x.max(2)[0].max(dim=-1).values, x.mean([-1, -2]), x.sum(axis=(2, 3))]
    return torch.cat([torch.cat(parts, 1).flatten(1), *flat], 1)


def _shapes(m: Any, x: Any) -> Any:
    x = x.permute(0, 2, 3, 1).contiguous().transpose(1, 2).movedim(-1, 1)
    x = torch.stack([x, x.flip(2).roll(1, 3)], 1).reshape(2, 6, 8, 8).unsqueeze(1).squeeze(1)
    x = F.pixel_unshuffle(x, 2).repeat(1, 2, 1, 1).unfold(2, 2, 1)
    x = x.index_select(1, torch.tensor([3, 1, 1])).narrow(2, 0, 2)[:, [0, 2], ..., 1:]
    return x.flatten(1).view(2, -1).expand(3, 2, -1)[1] * 2


def _activations(m: Any, x: Any) -> Any:
    names = "relu relu6 elu selu celu gelu silu mish hardswish hardtanh hardsigmoid softplus softsign logsigmoid"
    parts = [getattr(F, name)(x) for name in names.split()]
    parts += [F.leaky_relu(x, 0.2), F.rrelu(x), F.threshold(x, 0.1, 0.2), x.clamp(-1, 1), x.clamp_min(0), x.clip(0, 6)]
    return torch.cat([*parts, F.prelu(x, torch.tensor(0.3, dtype=x.dtype)), x.tanh(), torch.sigmoid(x)], 1)


def build(name: str) -> tuple[Any, np.ndarray[Any, Any]]:
    """Return a model in double precision, in training mode, and an input."""
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model = make()
    if isinstance(model, nn.Module) and not isinstance(model, torch.jit.ScriptModule):
        model = model.double().train()
    elif isinstance(model, nn.Module):
        model.eval()
    return model, np.random.default_rng(1).normal(size=shape)
