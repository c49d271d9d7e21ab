"""Networks made of modules, as zennit needs them, and how maps are compared."""

from __future__ import annotations

import numpy as np
import torch
import zennit.attribution
from torch import nn

import signxai_core as sx
from signxai_core.specs import Composite, Entry, Where


def vgg_like():
    """Convolutions in pairs, max-pooling, dense layers; float64."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 24),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(24, 10),
    )
    for module in model:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)  # activations of order 1, as in trained networks
    return model.double().eval()


def normalised():
    """Batch-normalisation behind every convolution and the first dense layer; float64."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(108, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 5),
    ).double()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


def with_rule(rule, **where):
    """Return LRP-z with another rule at some operations."""
    return Composite((Entry(Where(**where), rule), *sx.parse("lrp_z").composite.entries))


def distance(found, wanted):
    """Return the largest difference of any sample, as a share of its largest relevance."""
    axes = tuple(range(1, wanted.ndim))
    return float((np.abs(found - wanted).max(axes) / np.abs(wanted).max(axes)).max())


def by_zennit(model, composite, x, classes, seed):
    """Relevance by zennit alone, from the logit or from 1."""

    def start(out):
        return nn.functional.one_hot(classes, out.shape[1]) * (out.detach() if seed == "logit" else 1.0)

    with zennit.attribution.Gradient(model=model, composite=composite) as attributor:
        return attributor(torch.tensor(x), start)[1].detach().numpy()


NETS = {"vgg": vgg_like, "batch-norm": normalised}
BOX = {"low": -3.0, "high": np.array([3.0, 2.5, 4.0])}
