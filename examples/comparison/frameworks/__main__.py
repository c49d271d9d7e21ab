"""PyTorch against TensorFlow with the same weights: activations, then all methods' maps.

    python examples/comparison/frameworks --output frameworks
    python examples/comparison/frameworks --width 1 --side 224      # VGG16 itself

Exit status 1 where a layer or a method differs by more than the tolerance; what rounding decides in float32 (a
derivative that jumps) is computed again in float64.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import judging
import page
import twins


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and return the exit status."""
    given = _parser().parse_args(arguments)
    builds = {
        "image": lambda dtype: twins.image(width=given.width, side=given.side, dtype=dtype),
        "ecg": lambda dtype: twins.ecg(length=given.length, dtype=dtype),
    }
    results = []
    for key in given.networks:
        results.append(judging.judge(builds[key], given.methods, given.dtype, given.tolerance))
        within = sum(a.relative <= given.tolerance for a in results[-1].methods)
        print(f"{key}: {within} of {len(results[-1].methods)} methods agree within {given.tolerance:g}", flush=True)
    beyond = page.write(given.output, results, given.tolerance, given.dtype)
    for name in beyond:
        print(f"differs by more than {given.tolerance:g}: {name}")
    print(f"page {given.output / 'frameworks.md'}")
    return 1 if beyond else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="comparison/frameworks", description="PyTorch against TensorFlow.")
    parser.add_argument("--output", type=Path, default=Path("frameworks"), help="folder of the page and tables")
    parser.add_argument("--networks", nargs="+", choices=("image", "ecg"), default=["image", "ecg"])
    parser.add_argument("--methods", nargs="+", default=["all"], help="names or patterns [all]")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest max |a − b| / max |a| [1e-4]")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--width", type=float, default=0.125, help="share of VGG16's width [0.125]")
    parser.add_argument("--side", type=int, default=64, help="of the images, a multiple of 32 [64]")
    parser.add_argument("--length", type=int, default=512, help="of the ECGs, a multiple of 16 [512]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
