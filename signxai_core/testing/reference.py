"""Every method, computed slowly in NumPy from explicit matrices.

Written from the definitions of the rules, and independent of the engine: what other programs
compute is compared with it. float64, channels first, one sample at a time.

Examples
--------
The z rule is gradient × input on a network without biases.

>>> from signxai_core.specs import KEEP, Composite, Entry, Exact, MethodSpec, Mix, Rule, Share, Term, Where
>>> from signxai_core.testing.network import Activation, Dense, Network
>>> network = Network(
...     [Dense(name="hidden", weight=[[1, -1], [2, 1]]),
...      Activation(name="relu", inputs="hidden"),
...      Dense(name="logits", inputs="relu", weight=[[1, 1]])],
...     input_shape=(2,),
... )
>>> z = Rule((Share((Term(KEEP, KEEP, KEEP),)),))
>>> composite = Composite((Entry(Where(kinds={"dense"}), z), Entry(Where(), Exact())))
>>> explain(network, [[1, 2]], MethodSpec(family="lrp", composite=composite, seed="logit")).relevance.tolist()
[[2.0, 2.0]]
>>> gradient = MethodSpec(family="gradient", composite=Composite((Entry(Where(), Exact()),)), modifier=Mix(1, 1))
>>> explain(network, [[1, 2]], gradient).relevance.tolist()
[[2.0, 2.0]]
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, PlanError, TargetError
from signxai_core.specs.cells import Mix, Sign
from signxai_core.specs.composites import Composite, Entry, Where
from signxai_core.specs.methods import Control, Integrate, MethodSpec, Seed, Smooth
from signxai_core.specs.nonlinear import Exact
from signxai_core.specs.values import ArrayValue, Missing, Value
from signxai_core.testing.cam import activation_name, class_activation
from signxai_core.testing.composed import COMPOSED
from signxai_core.testing.composed import forward as composed_forward
from signxai_core.testing.linear import Linear, linear, map_values
from signxai_core.testing.lowering import lower
from signxai_core.testing.network import INPUT, Network
from signxai_core.testing.nodes import Array
from signxai_core.testing.nonlinear import forward as nonlinear_forward
from signxai_core.testing.planning import Planned, plan
from signxai_core.testing.relevance import Place, propagate

_EVERYWHERE: Any = (Entry(Where(), Exact()),)
_GRADIENT = Composite(_EVERYWHERE, fold_normalisation=False)
_Tensors = Mapping[str, Array]


@attrs.frozen(eq=False)
class ReferenceResult:
    """Relevance in the input's shape, the logits, and the class explained of every sample."""

    relevance: Array
    output: Array
    target: npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class _Model:
    """A network without its head, with the matrices of its nodes."""

    network: Network
    matrices: Mapping[str, Linear | None]

    def run(self, sample: Array) -> dict[str, Array]:
        """Return every tensor of one sample."""
        tensors = {INPUT: sample}
        for node in self.network.nodes:
            matrix = self.matrices[node.name]
            inputs = [tensors[name] for name in node.inputs]
            if isinstance(node, COMPOSED):
                tensors[node.name] = composed_forward(node, inputs)
            elif matrix is None:
                tensors[node.name] = nonlinear_forward(node, inputs[0])
            else:
                x = np.concatenate([tensor.ravel() for tensor in inputs])
                z = matrix.matrix() @ x + matrix.constant()
                tensors[node.name] = z.reshape(self.network.shapes[node.name])
        return tensors


def _model(network: Network) -> _Model:
    network = lower(network.without_head())
    shapes = network.shapes
    return _Model(network, {n.name: linear(n, [shapes[name] for name in n.inputs]) for n in network.nodes})


def forward(network: Network, x: npt.ArrayLike) -> Array:
    """Return the output of a network, without a final softmax or sigmoid, for a batch."""
    return tensors(network, x)[network.without_head().output]


def tensors(network: Network, x: npt.ArrayLike) -> dict[str, Array]:
    """Return every tensor of a network by node, without a final softmax or sigmoid, for a batch."""
    model = _model(network)
    runs = [model.run(sample) for sample in _batch(network, x)]
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def _batch(network: Network, x: npt.ArrayLike) -> Array:
    batch = np.asarray(x, dtype=np.float64)
    if batch.shape[1:] != network.input_shape or batch.ndim != len(network.input_shape) + 1 or not len(batch):
        raise InputShapeError(f"expected an input of shape (samples, *{network.input_shape}), got {batch.shape}")
    return batch


def _targets(output: Array, target: int | Sequence[int] | npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
    if output.ndim != 2:
        raise TargetError(f"the output must be one vector per sample, got shape {output.shape}")
    if target is None:
        return np.asarray(output.argmax(axis=1))
    given = np.asarray(target)
    if given.dtype.kind not in "iu" or given.shape not in ((), output.shape[:1]):
        raise TargetError(f"target must be an int or one int for each of {len(output)} samples, got {target!r}")
    targets = np.array(np.broadcast_to(given, output.shape[:1]), dtype=np.int64)
    if targets.min() < 0 or targets.max() >= output.shape[1]:
        raise TargetError(f"target must be between 0 and {output.shape[1] - 1}, got {target!r}")
    return targets


def _walk(planned: Planned, tensors: _Tensors, target: int, seed: Seed) -> dict[str, Array]:
    """Return what arrives at every tensor of one sample, from the output back to the input."""
    network = planned.network
    arrived = {name: np.zeros(tensor.shape) for name, tensor in tensors.items()}
    logits = tensors[network.output]
    arrived[network.output][target] = logits[target] if seed == "logit" else 1.0
    for operation in reversed(planned.operations):
        inputs = [tensors[name] for name in operation.inputs]
        place = Place(
            operation=operation,
            x=np.concatenate([tensor.ravel() for tensor in inputs]),
            shapes=tuple(tensor.shape for tensor in inputs),
            output_shape=tensors[operation.output].shape,
            input_shape=network.input_shape,
        )
        below = propagate(place, arrived[operation.output].ravel())
        start = 0
        for name, tensor in zip(operation.inputs, inputs, strict=True):
            arrived[name] = arrived[name] + below[start : start + tensor.size].reshape(tensor.shape)
            start += tensor.size
    return arrived


_Attribution = Callable[[Array, int], Array]


def _attribution(model: _Model, spec: MethodSpec, forced: Seed | None) -> _Attribution:
    """Return the method without sampling and modifier: from a sample and a class to a map."""
    planned = plan(model.network, spec.composite, spec.input_layer)
    seed = forced or spec.seed

    def backward(sample: Array, target: int) -> Array:
        return _walk(planned, model.run(sample), target, seed)[INPUT]

    if spec.cam is None:
        return backward
    cam = spec.cam
    name = activation_name(model.network, spec, cam)
    gradient = plan(model.network, _GRADIENT)

    def activation_map(sample: Array, target: int) -> Array:
        tensors = model.run(sample)
        arrived = _walk(gradient, tensors, target, forced or "one")
        heat = class_activation(cam, tensors[name], arrived[name], sample.shape)
        return heat * backward(sample, target) if cam.guided else heat

    return activation_map


def _given(value: Value | Missing | None, what: str) -> float | Array:
    if isinstance(value, Missing) or value is None:
        raise PlanError(f"the parameter {what!r} of the method is missing")
    return value.array if isinstance(value, ArrayValue) else value


def _smooth(smooth: Smooth, attribution: _Attribution, sample: Array, target: int) -> Array:
    drawn = np.random.default_rng(smooth.random_state).standard_normal((smooth.samples, *sample.shape))
    deviation = smooth.noise * (sample.max() - sample.min()) if smooth.relative else smooth.noise
    maps = [attribution(sample + deviation * noise, target) for noise in drawn]
    mean = sum(maps, np.zeros(sample.shape)) / len(maps)
    if smooth.statistic == "mean":
        return mean
    return sum(((m - mean) ** 2 for m in maps), np.zeros(sample.shape)) / len(maps)


def _integrate(path: Integrate, attribution: _Attribution, sample: Array, target: int) -> Array:
    baseline = np.broadcast_to(_given(path.baseline, "baseline"), sample.shape)
    if path.nodes == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(path.steps)
        nodes, weights = (nodes + 1) / 2, weights / 2
    else:
        nodes = np.array([k / (path.steps - 1) if path.steps > 1 else 1.0 for k in range(path.steps)])
        weights = np.full(path.steps, 1 / path.steps)
    total = np.zeros(sample.shape)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight * attribution(baseline + node * (sample - baseline), target)
    return np.asarray(total * (sample - baseline))


def _modifier(modifier: Mix | Sign | None, sample: Array) -> Array:
    if modifier is None:
        return np.ones(sample.shape)
    if isinstance(modifier, Mix):
        return map_values(modifier, sample)
    mu = 0.0 if modifier.mu is None else _given(modifier.mu, "mu")
    return np.where(sample >= np.broadcast_to(mu, sample.shape), 1.0, -1.0)


def _content(sample: Array) -> int:
    """Return a number that stands for the numbers of a sample in single precision."""
    return int.from_bytes(hashlib.sha256((sample.astype("<f4") + np.float32(0)).tobytes()).digest(), "little")


def _sampled(spec: MethodSpec, model: _Model, forced: Seed | None) -> _Attribution:
    sampling = spec.sampling
    if isinstance(sampling, Control):
        state = sampling.random_state
        return lambda sample, _: np.random.default_rng([state, _content(sample)]).uniform(-1, 1, sample.shape)
    attribution = _attribution(model, spec, forced)
    if isinstance(sampling, Smooth):
        smooth = sampling
        return lambda sample, target: _smooth(smooth, attribution, sample, target)
    if isinstance(sampling, Integrate):
        path = sampling
        return lambda sample, target: _integrate(path, attribution, sample, target)
    return attribution


def explain(
    network: Network,
    x: npt.ArrayLike,
    spec: MethodSpec,
    target: int | Sequence[int] | npt.NDArray[np.int64] | None = None,
    seed: Seed | None = None,
) -> ReferenceResult:
    """Return the relevance of a batch.

    Parameters
    ----------
    network
        A final softmax or sigmoid is skipped.
    x
        Batch of samples, channels first.
    spec
        The method, without missing parameters.
    target
        Class to explain: one for all samples, one for each, or the largest logit of each.
    seed
        Start of the backward pass instead of the method's own.
    """
    if (spec.family == "control") != isinstance(spec.sampling, Control):
        raise PlanError(f"family and sampling contradict each other: {spec.family!r}, {spec.sampling!r}")
    batch = _batch(network, x)
    model = _model(network)
    output = np.stack([model.run(sample)[model.network.output] for sample in batch])
    targets = _targets(output, target)
    attribution = _sampled(spec, model, seed)
    maps = [attribution(s, int(t)) * _modifier(spec.modifier, s) for s, t in zip(batch, targets, strict=True)]
    return ReferenceResult(np.stack(maps), output, targets)
