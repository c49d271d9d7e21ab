"""Time and memory of explanations as ratios to the plain input gradient of the same model and batch.

    python benchmarks/speed.py [--backend tensorflow] [--models vgg16_b1 ecg_b8] [--pairs 5] [--threads 1]
                               [--many] [--memory] [--json FILE] [--markdown FILE]

A ratio of times is the median over pairs (gradient, explanation), all in one process. Other packages
(zennit, captum) stand beside ours where they are installed; what they cannot run is said below the table.
Peak memory is that of a fresh process for each figure (Linux), and for PyTorch that of its tensors
without the weights. Weights are random.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import signxai_core as sx
from signxai_core.specs.methods import Integrate, Smooth

Run = Callable[[], object]
SINGLE = (
    "gradient",
    "lrp_epsilon_0_1",
    "lrp_alpha_1_beta_0",
    "lrp_sequential_composite_b",
    "lrpsign_epsilon_0_25_std_x",
)
LRP = "all LRP names at once"
ONE_BY_ONE = "all LRP names one by one"
TABLE = "the whole table at once"
MODELS = ("small_cnn_b64", "ecg_b8", "vgg16_b1", "resnet50_b1", "vgg16_b8", "resnet50_b8")


def lrp_names() -> list[str]:
    """Return the LRP names of the table."""
    return [name for name in sx.methods() if "lrp" in name]


def table_names() -> list[str]:
    """Return the table's names for images."""
    return [name for name in sx.methods() if "timeseries" not in name]


def gradients_needed(names: list[str]) -> int:
    """Return how many gradient evaluations a list of methods comes to if nothing is computed twice.

    One for every trunk (rules behind the first layer, and seed), noisy sample and integration node.
    """
    specs = [sx.parse(name) for name in names]
    trunks = {(spec.composite, spec.seed) for spec in specs if spec.sampling is None}
    noisy = {(spec.sampling.noise, spec.sampling.samples) for spec in specs if isinstance(spec.sampling, Smooth)}
    paths = {(spec.sampling.nodes, spec.sampling.steps) for spec in specs if isinstance(spec.sampling, Integrate)}
    return len(trunks) + sum(samples for _, samples in noisy) + sum(steps for _, steps in paths)


def explanation(model: Any, x: Any, what: str) -> Run:
    """Return what is measured under a name."""
    if what == LRP:
        return lambda: sx.explain_many(model, x, lrp_names())
    if what == ONE_BY_ONE:
        return lambda: [sx.explain(model, x, name) for name in lrp_names()]
    if what == TABLE:
        return lambda: sx.explain_many(model, x, table_names(), mu=0.5)
    return lambda: sx.explain(model, x, what)


def measure(reference: Run, run: Run, pairs: int) -> dict[str, float]:
    """Return the median ratio and times of paired runs, and the time of the first run."""
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    ratios, times = [], []
    for _ in range(pairs):
        start = time.perf_counter()
        reference()
        middle = time.perf_counter()
        run()
        end = time.perf_counter()
        ratios.append((end - middle) / (middle - start))
        times.append(end - middle)
    return {"ratio": statistics.median(ratios), "seconds": statistics.median(times), "first": first}


def timings(side: Any, name: str, pairs: int, *, many: bool) -> Iterator[dict[str, Any]]:
    """Yield a row of figures for everything that is measured on a model."""
    model, x = side.build(name)
    reference = side.gradient(model, x)
    reference()
    for what in (*SINGLE, *((LRP, ONE_BY_ONE, TABLE) if many else ())):
        row: dict[str, Any] = {"model": name, "what": what}
        row |= measure(reference, explanation(model, x, what), pairs if what in SINGLE else 1)
        if what == TABLE:
            row["bound"] = gradients_needed(table_names())
        for package, run in side.rivals(model, x, what):
            try:
                row[package] = measure(reference, run, pairs)["ratio"]
            except Exception as error:  # noqa: BLE001, PERF203 - what another package cannot run is a finding
                row[package] = f"{type(error).__name__}: {error}".splitlines()[0]
        yield row


def peak(backend: str, name: str, what: str) -> dict[str, float]:
    """Return the peaks of one run, in MiB, in a process of its own."""
    command = [sys.executable, __file__, "--backend", backend, "--models", name, "--peak", what]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def own_peak(side: Any, name: str, what: str) -> dict[str, float]:
    """Return the peaks of one run, in MiB: resident memory of this process, and tensors where they can be counted."""
    model, x = side.build(name)
    run = side.gradient(model, x) if what == "plain" else explanation(model, x, what)
    run()
    found = {"peak": _status("VmHWM")}
    tensors = side.tensors_peak(run)
    return found if tensors is None else found | {"tensors": tensors}


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def memory(backend: str, name: str) -> Iterator[dict[str, Any]]:
    """Yield peak memory as a ratio to the plain gradient's: of the process, and of the tensors."""
    plain = peak(backend, name, "plain")
    for what in (*SINGLE[1:], LRP):
        own = peak(backend, name, what)
        ratios = {f"{key} ratio": own[key] / plain[key] for key in own}
        yield {"model": name, "what": what, **own, **ratios}


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "no" if value else ""


def time_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of times."""
    yield "| model | method | ratio to gradient | zennit | captum | seconds | first call (s) |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        ratio = _cell(row["ratio"])
        if "bound" in row:
            ratio += f" = {row['ratio'] / row['bound']:.2f} x {row['bound']} gradients needed"
        cells = [row["model"], row["what"], ratio, *(_cell(row.get(package)) for package in ("zennit", "captum"))]
        yield "| " + " | ".join([*cells, f"{row['seconds']:.3f}", f"{row['first']:.3f}"]) + " |"
    for row in rows:
        for package in ("zennit", "captum"):
            if isinstance(row.get(package), str):
                yield f"\n{package} on {row['model']}, {row['what']}: {row[package]}"


def memory_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of memory."""
    yield "| model | method | process / gradient's | tensors / gradient's | process (MiB) | tensors (MiB) |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        ratios = [_cell(row.get(f"{key} ratio")) for key in ("peak", "tensors")]
        sizes = [f"{row[key]:.0f}" if key in row else "" for key in ("peak", "tensors")]
        yield "| " + " | ".join([row["model"], row["what"], *ratios, *sizes]) + " |"


def main() -> None:
    """Measure, print Markdown tables, write files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("torch", "tensorflow"), default="torch")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--many", action="store_true", help="also many methods at once (one pair each), vgg16_b1")
    parser.add_argument("--memory", action="store_true", help="also peak memory")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    side = importlib.import_module({"torch": "torch_models", "tensorflow": "tf_models"}[arguments.backend])
    versions = side.versions(arguments.threads)
    if arguments.peak:
        print(json.dumps(own_peak(side, arguments.models[0], arguments.peak)))
        return
    lines = [f"{versions}, {arguments.threads} thread(s), {platform.machine()}, Python {platform.python_version()}", ""]
    print(lines[0])
    times: list[dict[str, Any]] = []
    peaks: list[dict[str, Any]] = []
    for name in arguments.models:
        for row in timings(side, name, arguments.pairs, many=arguments.many and name == "vgg16_b1"):
            times.append(row)
            print(row, file=sys.stderr)
        if arguments.memory:
            peaks += memory(arguments.backend, name)
    lines += time_lines(times)
    if peaks:
        lines += ["", *memory_lines(peaks)]
    print("\n".join(lines[1:]))
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n".join([*lines, ""]), encoding="utf-8")
    if arguments.json is not None:
        found = {"versions": versions, "threads": arguments.threads, "times": times, "memory": peaks}
        arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
