"""Which methods find what makes a class, on data where it is known: method × network × framework.

    for seed in 0 1 2 3 4; do python benchmarks/known_truth.py run ecg_resnet --seed $seed; done
    python benchmarks/known_truth.py table

``run`` trains a network (PyTorch), checks the truth (``signxai_core.data.check``), ports the network to Keras, explains
test samples with both frameworks and stores what came out; ``table`` prints it all as Markdown, with 95 % intervals
over the seeds. ``run --weights FOLDER`` stores the network, too.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

import signxai_core as sx
from signxai_core import data, metrics
from signxai_core.data.recipes import RECIPES
from signxai_core.errors import PlanError, UnsupportedOperationError
from signxai_torch import example_models as in_torch

METHODS = (
    "gradient", "gradient_x_input", "gradient_x_sign", "guided_backprop", "integrated_gradients", "smoothgrad",
    "smoothgrad_x_input", "CAM", "lrp_z", "lrp_epsilon_0_1", "lrpsign_epsilon_0_1", "lrp_epsilon_0_25_std_x",
    "lrpsign_epsilon_0_25_std_x", "lrp_alpha_1_beta_0", "lrpsign_alpha_1_beta_0", "lrp_sequential_composite_a",
    "lrpsign_sequential_composite_a", "lrp_sequential_composite_b", "lrp_gamma_0_25", "w2lrp_epsilon_0_1",
    "flatlrp_epsilon_0_1", "random_uniform",
)  # fmt: skip
#: Fewer than the defaults: enough for a ranking, and everything is computed thirty times.
PARAMETERS = {
    "integrated_gradients": {"steps": 20},
    "smoothgrad": {"samples": 10},
    "smoothgrad_x_input": {"samples": 10},
}
CENTRE = "centre baseline"
STORE = Path("known_truth")


def explained(model: Any, x: Any, target: Any, methods: list[str]) -> dict[str, Any]:
    """Return maps by method, those left out that cannot explain the model."""
    found = {}
    for name in methods:
        try:
            found[name] = sx.explain(model, x, name, target, batch_size=16, **PARAMETERS.get(name, {})).relevance
        except (UnsupportedOperationError, PlanError) as error:  # noqa: PERF203 - each method by itself
            print(f"  {name}: {str(error).splitlines()[0][:150]}", flush=True)
    return found


def in_keras(name: str, model: Any, chosen: data.Truth, methods: list[str]) -> dict[str, Any]:
    """Return the maps of the network's twin in Keras, channels first."""
    from signxai_tf import example_models  # noqa: PLC0415 - --no-keras does without

    x = data.channels_last(chosen.x)
    maps = explained(example_models.port(name, model), x, chosen.labels, methods)
    return {method: data.channels_first(relevance) for method, relevance in maps.items()}


def run(given: argparse.Namespace) -> None:
    """Train and judge one network of one seed, and store what came out."""
    recipe, name, seed = RECIPES[given.network], given.network, given.seed
    start = time.perf_counter()
    test = recipe.test(given.tested, seed)
    if given.trained:
        model = in_torch.trained(name)
    else:
        train = recipe.train(seed)
        model = in_torch.train(name, train.x, train.labels, seed=seed)
    check = data.check(lambda x: in_torch.predict(model, x), test)
    print(f"{name}, seed {seed}: {check}, holds: {check.holds} ({time.perf_counter() - start:.0f} s)", flush=True)
    if given.weights is not None:
        in_torch.store(model, given.weights / f"{name}.npz")
    chosen = test[data.right_ones(lambda x: in_torch.predict(model, x), test)[: given.samples]]
    cam = "grad_cam" if chosen.x.ndim == 4 else "grad_cam_timeseries"
    methods = [cam if method == "CAM" else method for method in METHODS]
    maps = {"PyTorch": explained(model, chosen.x, chosen.labels, methods)}
    if not given.no_keras:
        maps["TensorFlow"] = in_keras(name, model, chosen, methods)
    gaps = {m: gap(maps["PyTorch"][m], r) for m, r in maps.get("TensorFlow", {}).items() if m in maps["PyTorch"]}
    maps["PyTorch"][CENTRE] = data.centre_map(chosen.x.shape)
    judged = {f: {m: [v.tolist() for v in data.found(r, chosen)] for m, r in by.items()} for f, by in maps.items()}
    result = {
        "check": attrs.asdict(check), "judged": judged, "gaps": gaps, "covered": float(chosen.coverage.mean()),
        "seconds": time.perf_counter() - start, "trained": given.trained,
    }  # fmt: skip
    given.store.mkdir(exist_ok=True)
    (given.store / f"{name}_{seed}.json").write_text(json.dumps(result))


def gap(first: Any, second: Any) -> float:
    """Return how far two frameworks' maps are apart, relative to the largest |R|."""
    return float(np.abs(first - second).max() / np.abs(first).max())


def interval(parts: list[list[float]]) -> metrics.Interval:
    """Return mean and interval of one number per sample; samples of a seed belong together."""
    groups = np.concatenate([np.full(len(part), seed) for seed, part in enumerate(parts)])
    return metrics.mean_interval(np.concatenate(parts), groups=groups if len(parts) > 1 else None)


def finders(runs: list[dict[str, Any]]) -> str:
    """Say which methods' mass lies above both controls', intervals and all."""
    found = {
        method: interval([one["judged"]["PyTorch"][method][0] for one in runs])
        for method in runs[0]["judged"]["PyTorch"]
    }
    bar = max(found[CENTRE].high, found["random_uniform"].high)
    above = sorted((m for m in found if found[m].low > bar), key=lambda m: -found[m].mean)
    rest = [m for m in found if m not in (*above, CENTRE, "random_uniform")]
    text = f"These find the truth (their interval lies above those of both controls), best first: {', '.join(above)}."
    return f"{text} These do not: {', '.join(rest)}." if rest else text


def text(parts: list[list[float]]) -> str:
    """Return mean and interval as text."""
    if not parts:
        return "–"
    found = interval(parts)
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def table(given: argparse.Namespace) -> None:
    """Print what was stored."""
    for name, recipe in RECIPES.items():
        runs = [json.loads(path.read_text()) for path in sorted(given.store.glob(f"{name}_*.json"))]
        if not runs:
            continue
        checks = [one["check"] for one in runs]
        kind = "the network that comes along" if all(one["trained"] for one in runs) else "a network of each seed's own"
        print(f"### {recipe.title[0].upper()}{recipe.title[1:]} (`{name}`), {len(runs)} seeds, {kind}\n")
        least = {key: min(check[key] for check in checks) for key in ("accuracy", "changed")}
        most = {key: max(check[key] for check in checks) for key in ("changed_elsewhere", "coverage")}
        print(
            f"Accuracy at least {least['accuracy']:.3f}. The class changes in at least {least['changed']:.1%} of the "
            "samples when the marked part is replaced by a normal one, and in at most "
            f"{most['changed_elsewhere']:.1%} when an equal part is replaced elsewhere. Masks cover "
            f"{np.mean([one['covered'] for one in runs]):.3f} of a sample, {most['coverage']:.3f} at most.\n"
        )
        print("| method | mass, PyTorch | rank, PyTorch | mass, TensorFlow | rank, TensorFlow | frameworks apart |")
        print("|---|---|---|---|---|---|")
        methods = dict.fromkeys(m for one in runs for by in one["judged"].values() for m in by)
        for method in methods:
            cells = [
                text([one["judged"][f][method][k] for one in runs if method in one["judged"].get(f, {})])
                for f in ("PyTorch", "TensorFlow")
                for k in (0, 1)
            ]
            gaps = [one["gaps"][method] for one in runs if method in one["gaps"]]
            print(f"| {method} | {' | '.join(cells)} | {f'{max(gaps):.1e}' if gaps else '–'} |")
        print(f"\n{finders(runs)}\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run")
    running.add_argument("network", choices=[*RECIPES])
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--samples", type=int, default=16, help="explained")
    running.add_argument("--tested", type=int, default=120, help="for accuracy and truth")
    running.add_argument("--weights", type=Path, help="folder for the network")
    running.add_argument(
        "--trained", action="store_true", help="the network that comes along; the seed draws samples only"
    )
    running.add_argument("--no-keras", action="store_true")
    running.set_defaults(work=run)
    printing = commands.add_parser("table")
    printing.set_defaults(work=table)
    for command in (running, printing):
        command.add_argument("--store", type=Path, default=STORE, help="folder of the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work(given)


if __name__ == "__main__":
    main()
