"""Time of explanations as a ratio to the plain input gradient of the same model, in the same process.

    python benchmarks/speed.py [--backend tensorflow] [--models vgg16_b1 resnet50_b1] [--pairs 5] [--threads 1]
        [--many] [--table] [--json FILE]

Every figure is the median over pairs (gradient, explanation) of the ratio of their times. Rows named
``zennit`` and ``captum`` appear where these packages are installed. Weights are random.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch_models
from torch import nn

import signxai_core as sx

SINGLE = (
    "gradient",
    "lrp_epsilon_0_1",
    "lrp_alpha_1_beta_0",
    "lrp_sequential_composite_b",
    "lrpsign_epsilon_0_25_std_x",
)
Run = Callable[[], object]


def gradient(model: nn.Module, x: torch.Tensor) -> Run:
    """Return the plain input gradient of the largest logit."""

    def run() -> object:
        inputs = x.clone().requires_grad_()
        return torch.autograd.grad(model(inputs).max(dim=1).values.sum(), inputs)

    return run


def rivals(model: nn.Module, x: torch.Tensor) -> Iterator[tuple[str, Run]]:
    """Yield what other packages offer for the same rules, where they are installed."""
    if importlib.util.find_spec("zennit"):
        from zennit.attribution import Gradient  # noqa: PLC0415
        from zennit.composites import EpsilonPlus, LayerMapComposite  # noqa: PLC0415
        from zennit.rules import Epsilon  # noqa: PLC0415
        from zennit.types import Linear  # noqa: PLC0415

        epsilon = LayerMapComposite([(Linear, Epsilon(epsilon=0.1))])
        for name, composite in (("zennit epsilon 0.1", epsilon), ("zennit epsilon-plus", EpsilonPlus())):

            def run(composite: object = composite) -> object:
                with Gradient(model=model, composite=composite) as attributor:
                    return attributor(x.clone().requires_grad_(), lambda out: out)

            yield name, run
    if importlib.util.find_spec("captum"):
        from captum.attr import LRP  # noqa: PLC0415

        yield "captum LRP", lambda: LRP(model).attribute(x.clone().requires_grad_(), target=0)


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


def torch_model(name: str) -> tuple[object, object, Run]:
    """Return a PyTorch model, an input and its plain gradient."""
    factory, shape = torch_models.MODELS[name]
    torch.manual_seed(0)
    model, x = factory().eval().requires_grad_(False), torch.rand(shape)
    return model, x, gradient(model, x)


def tensorflow_model(name: str) -> tuple[object, object, Run]:
    """Return a Keras model, an input and its plain gradient, compiled."""
    import tensorflow as tf  # noqa: PLC0415
    import tf_models  # noqa: PLC0415

    factory, shape = tf_models.MODELS[name]
    tf_models.keras.utils.set_random_seed(0)
    model, x = factory(), tf.constant(np.random.default_rng(0).random(shape, dtype=np.float32))

    @tf.function
    def compiled(inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            largest = tf.reduce_max(model(inputs, training=False), axis=1)
        return tape.gradient(largest, inputs)

    return model, x, lambda: compiled(x).numpy()


def use_threads(backend: str, count: int) -> str:
    """Let a framework use that many threads; return its name and version."""
    if backend == "torch":
        torch.set_num_threads(count)
        return f"torch {torch.__version__}"
    import tensorflow as tf  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return f"tensorflow {tf.__version__}"


def rows(name: str, backend: str, *, many: bool, table: bool) -> Iterator[tuple[str, Run, Run]]:
    """Yield (what, reference, run) for a model."""
    model, x, reference = (tensorflow_model if backend == "tensorflow" else torch_model)(name)
    for method in SINGLE:
        yield method, reference, lambda method=method: sx.explain(model, x, method)
    for what, run in rivals(model, x) if backend == "torch" else ():
        yield what, reference, run
    lrp = [method for method in sx.methods() if "lrp" in method]
    if many:
        yield f"all {len(lrp)} LRP names at once", reference, lambda: sx.explain_many(model, x, lrp)
    if table:
        names = [method for method in sx.methods() if "timeseries" not in method]
        yield f"the whole table ({len(names)})", reference, lambda: sx.explain_many(model, x, names, mu=0.5)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        nargs="+",
        choices=torch_models.MODELS,
        default=["small_cnn_b64", "ecg_b8", "vgg16_b1", "resnet50_b1"],
    )
    parser.add_argument("--backend", choices=["torch", "tensorflow"], default="torch")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--many", action="store_true", help="also all LRP names at once (one pair)")
    parser.add_argument("--table", action="store_true", help="also the whole table at once (one pair)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    framework = use_threads(arguments.backend, arguments.threads)
    print(f"{framework}, {arguments.threads} thread(s), {platform.machine()}")
    print("\n| model | what | ratio to gradient | seconds | first call |\n|---|---|---|---|---|")
    results = []
    for name in arguments.models:
        for what, reference, run in rows(name, arguments.backend, many=arguments.many, table=arguments.table):
            reference()
            pairs = arguments.pairs if not what.startswith(("all", "the whole")) else 1
            try:
                result = measure(reference, run, pairs)
            except Exception as error:  # noqa: BLE001 - a rival that cannot run a model is a finding
                print(f"| {name} | {what} | {type(error).__name__} | | |", flush=True)
                continue
            results.append({"model": name, "what": what, **result})
            figures = f"{result['ratio']:.2f} | {result['seconds']:.3f} | {result['first']:.3f}"
            print(f"| {name} | {what} | {figures} |", flush=True)
    if arguments.json is not None:
        with contextlib.suppress(FileExistsError):
            arguments.json.parent.mkdir(parents=True)
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
