"""PyTorch's side of the benchmark: architectures with random weights, the plain gradient, other packages."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

Run = Callable[[], object]


class Vgg16(nn.Module):
    """VGG16 (Simonyan & Zisserman 2015)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            channels = width or channels
        self.features = nn.Sequential(*layers)
        head = [nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
        self.classifier = nn.Sequential(*head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network."""
        return self.classifier(self.features(x).flatten(1))


class Bottleneck(nn.Module):
    """The residual block of ResNet50 (He et al. 2016)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or channels != 4 * width:
            self.skip = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        self.add = Sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the block."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.add(self.bn3(self.conv3(y)), self.skip(x)))


class Sum(nn.Module):
    """A sum as a module; packages that work on modules need one."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Add."""
        return a + b


def resnet50() -> nn.Module:
    """ResNet50 (He et al. 2016)."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, stride if block == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def ecg() -> nn.Module:
    """A one-dimensional network for 12-lead electrocardiograms of 5,000 samples."""
    layers: list[nn.Module] = []
    channels = 12
    for width in (32, 64, 64, 128, 128):
        layers += [nn.Conv1d(channels, width, 7, padding=3), nn.ReLU(), nn.MaxPool1d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, 5))


class SmallCnn(nn.Module):
    """Two convolutions and two dense layers, functional activations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64 * 64, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


#: Name -> (factory, input shape).
MODELS = {
    "vgg16_b1": (Vgg16, (1, 3, 224, 224)),
    "vgg16_b8": (Vgg16, (8, 3, 224, 224)),
    "resnet50_b1": (resnet50, (1, 3, 224, 224)),
    "resnet50_b8": (resnet50, (8, 3, 224, 224)),
    "ecg_b8": (ecg, (8, 12, 5000)),
    "small_cnn_b64": (SmallCnn, (64, 3, 32, 32)),
}


def versions(threads: int) -> str:
    """Pin the number of threads, and return what is measured."""
    torch.set_num_threads(threads)
    return f"torch {torch.__version__}"


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a model with random weights, and an input."""
    factory, shape = MODELS[name]
    torch.manual_seed(0)
    return factory().eval().requires_grad_(False), torch.rand(shape)


def gradient(model: nn.Module, x: torch.Tensor) -> Run:
    """Return the plain input gradient of the largest logit."""

    def run() -> object:
        inputs = x.clone().requires_grad_()
        return torch.autograd.grad(model(inputs).max(dim=1).values.sum(), inputs)

    return run


def tensors_peak(run: Run) -> float:
    """Return the most that the tensors of a run take at a time, in MiB; what was there before does not count."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(itertools.accumulate(size for _, size in changes)) / 2**20


def rivals(model: nn.Module, x: torch.Tensor, method: str) -> Iterator[tuple[str, Run]]:
    """Yield what other packages offer for the rules of a method, where they are installed."""
    if importlib.util.find_spec("zennit"):
        yield from _zennit(model, x, method)
    if importlib.util.find_spec("captum") and method == "lrp_epsilon_0_1":
        from captum.attr import LRP  # noqa: PLC0415

        yield "captum", lambda: LRP(model).attribute(x.clone().requires_grad_(), target=0)


def _without_torchvision() -> object:
    raise ImportError("zennit imports torchvision, which is not installed")


def _zennit(model: nn.Module, x: torch.Tensor, method: str) -> Iterator[tuple[str, Run]]:
    if not importlib.util.find_spec("torchvision"):
        yield "zennit", _without_torchvision
        return
    from torch.nn import Linear as Dense  # noqa: PLC0415
    from zennit.attribution import Gradient  # noqa: PLC0415
    from zennit.composites import LayerMapComposite  # noqa: PLC0415
    from zennit.rules import AlphaBeta, Epsilon, ZPlus  # noqa: PLC0415
    from zennit.types import Convolution, Linear  # noqa: PLC0415

    maps = {
        "lrp_epsilon_0_1": [(Linear, Epsilon(epsilon=0.1))],
        "lrp_alpha_1_beta_0": [(Linear, ZPlus())],
        "lrp_sequential_composite_b": [(Convolution, AlphaBeta(2, 1)), (Dense, Epsilon(epsilon=0.1))],
    }
    if method in maps:
        composite = LayerMapComposite(maps[method])

        def run() -> object:
            with Gradient(model=model, composite=composite) as attributor:
                return attributor(x.clone().requires_grad_(), lambda out: out)

        yield "zennit", run
