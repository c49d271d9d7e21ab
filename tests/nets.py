"""Small torch models that tests share."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Branching(nn.Module):
    """Residual sum, functional ReLU, concat and a reused module, written in ``forward``."""

    def __init__(self, *, bias: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=bias)
        self.shared = nn.Conv2d(4, 4, 3, padding=1, bias=bias)
        self.side = nn.Conv2d(4, 3, 1, bias=bias)
        self.head = nn.Linear(7 * 9, 5, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = F.relu(self.stem(x))
        y = F.relu(self.shared(skip))
        y = self.shared(y) + skip
        y = torch.relu(y)
        y = torch.cat([y, F.relu(self.side(skip))], dim=1)
        y = F.max_pool2d(y, 2)
        return self.head(y.flatten(1))


class BatchNormed(nn.Module):
    """Conv + batch-norm + ReLU, a residual sum, global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)) + x)
        return self.fc(self.pool(x).flatten(1))


class Series(nn.Module):
    """A one-dimensional network, as for an electrocardiogram."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(3, 6, 5, padding=2)
        self.conv2 = nn.Conv1d(6, 8, 3, stride=2, dilation=2, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool1d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).mean(dim=-1))


def seeded(module: type[nn.Module], **options: bool) -> nn.Module:
    """Return a float64 module with random weights and batch-norm statistics."""
    torch.manual_seed(7)
    model = module(**options).double()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, -1.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return model.eval()
