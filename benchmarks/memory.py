"""Memory over a loop of explanations, which must stay flat.

    python benchmarks/memory.py [--explanations 1000] [--method lrp_epsilon_0_1]

Prints the resident set after warm-up and at the end, and the growth per explanation in bytes.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

import numpy as np
import torch
from torch import nn

import signxai_core as sx

WARM_UP = 100


def resident() -> int:
    """Return the resident set of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def model() -> nn.Module:
    """Return a small convolutional network."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def main() -> None:
    """Run the loop and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--explanations", type=int, default=1000)
    parser.add_argument("--method", default="lrp_epsilon_0_1")
    arguments = parser.parse_args()
    explained, x = model(), np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype("float32")
    gc.disable()  # a leak that the collector would hide is still a leak
    for _ in range(WARM_UP):
        sx.explain(explained, x, arguments.method)
    before = resident()
    for _ in range(arguments.explanations):
        sx.explain(explained, x, arguments.method)
    after = resident()
    print(f"{arguments.method}: {arguments.explanations} explanations, garbage collector off")
    print(f"resident after warm-up {before / 2**20:.1f} MiB, at the end {after / 2**20:.1f} MiB")
    print(f"growth {(after - before) / arguments.explanations:.0f} bytes per explanation")


if __name__ == "__main__":
    main()
