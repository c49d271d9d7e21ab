"""The published comparison of SIGN methods, redone with one command.

    python examples/comparison/paper --quick            # digits, 1 training, 50 images
    python examples/comparison/paper                    # digits, 5 trainings, 100 images
    python examples/comparison/paper --truth shapes_cnn ecg_resnet   # and data with known truth
    python examples/comparison/paper --data mnist.npz   # MNIST from a file; or --data mnist
    python examples/comparison/paper --vgg16 keras.applications:VGG16 --weights imagenet --pictures FOLDER

Killed, the same command goes on where it was: every model (VGG16: every image) is a file of its own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import attrs
import digits
import figures
import judging
import networks
import page
import tables
import torch
import truth
import vgg16

import signxai_core as sx
from signxai_core.cli import files
from signxai_core.data.recipes import RECIPES


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    if given.vgg16 is not None:
        vgg16.run(given)
        return
    plan = judging.Plan(
        data=given.data,
        images=given.images or (50 if given.quick else 100),
        seeds=given.seeds or (1 if given.quick else 5),
        convention=given.convention,
        epochs=networks.EPOCHS_DIGITS if given.data == "digits" else networks.EPOCHS,
    )
    _check(given.output, plan)
    data = digits.load(given.data)
    results = _results(given.output, plan, data, given.only)
    print("SIGN variants less the methods beside them:", page.conclusion(tables.differences(results)))
    known = [truth.judge(given.output, network, given.samples, given.convention) for network in given.truth]
    place = given.output if given.page is None else given.page.parent / given.page.stem
    tables.write(place / "tables", results)
    if known:
        truth.write(place / "tables", known)
    figures.draw(place / "figures", given.output, results, data, plan)
    path = given.output / "comparison.md" if given.page is None else given.page
    page.write(path, results, plan, data.source, place / "figures", truth.section(known) if known else ())
    print(f"page {path}")


def _results(output: Path, plan: judging.Plan, data: digits.Digits, only: str) -> list[judging.Result]:
    """Judge every model that has no result yet, and return all results."""
    settings = [setting for setting in networks.SETTINGS if fnmatchcase(str(setting), only)]
    if not settings:
        raise SystemExit(f"no model matches {only!r}; there are {', '.join(map(str, networks.SETTINGS))}")
    wanted = [(setting, seed) for seed in range(plan.seeds) for setting in settings]
    results = []
    for number, (setting, seed) in enumerate(wanted, start=1):
        start = time.perf_counter()
        path = judging.judge(output, setting, seed, data, plan)
        result = judging.read(path, setting, seed)
        took, accuracy = time.perf_counter() - start, float(result.arrays["accuracy"])
        print(f"{number}/{len(wanted)} {setting}, seed {seed}: accuracy {accuracy:.1%}, {took:.0f} s", flush=True)
        results.append(result)
    return results


def _check(output: Path, plan: judging.Plan) -> None:
    """Refuse to go on with a run of other settings; more trainings may be added."""
    path = output / "run.json"
    asked = {**attrs.asdict(plan), "signxai-core": sx.__version__, "torch": torch.__version__}
    asked.pop("seeds")
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
        changed = [
            f"{key}: {before.get(key)!r}, now {value!r}" for key, value in asked.items() if before.get(key) != value
        ]
        if changed:
            raise SystemExit(f"{output} holds a run of other settings ({'; '.join(changed)}); give another --output")
        return
    files.write(path, json.dumps(asked, indent=2).encode())


def _parser() -> argparse.ArgumentParser:
    known = ", ".join(RECIPES)
    parser = argparse.ArgumentParser(prog="comparison/paper", description="The comparison of SIGN methods, redone.")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder of results, tables, figures")
    parser.add_argument("--data", default="digits", help="digits (offline), mnist (downloaded), or a file mnist.npz")
    parser.add_argument("--quick", action="store_true", help="1 training, 50 images")
    parser.add_argument("--seeds", type=int, help="trainings per model [5]")
    parser.add_argument("--images", type=int, help="test images per model [100]")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="models, such as 'cnn_*'")
    parser.add_argument("--convention", choices=("textbook", "signxai"), default="textbook")
    parser.add_argument("--page", type=Path, help="write page, tables and figures here: docs/comparison.md")
    parser.add_argument("--truth", nargs="*", default=[], metavar="NETWORK", help="also judge on known truth: " + known)
    parser.add_argument("--samples", type=int, default=16, help="of known truth, per network [16]")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch [2]")
    group = parser.add_argument_group("VGG16 on a folder of images")
    group.add_argument("--vgg16", metavar="MODEL", help="keras.applications:VGG16, a file, or module:callable")
    group.add_argument("--weights", type=Path, help="imagenet, or a file")
    group.add_argument("--pictures", type=Path, help="folder of images")
    group.add_argument("--list", default="imagenet_vgg16_main_table", help="of methods, in method_lists.json")
    group.add_argument("--size", type=int, default=224, help="side that images are resized to [224]")
    return parser


if __name__ == "__main__":
    main()
