"""Small networks, each around one operation: the places where rules are tried.

The operation under test runs in the layer ``probe``; what lies around it is a few linear layers.
Inputs hold both signs, exact zeros and, for max-pooling, ties.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
import numpy as np

from signxai_core.specs.operations import Kind
from signxai_core.testing import network as net
from signxai_core.testing.nodes import Array, Shape

PROBE: Final = "probe"
SAMPLES: Final = 2
#: Sizes per number of spatial axes.
_SIZES: Final[Mapping[int, Shape]] = MappingProxyType({1: (6,), 2: (4, 5), 3: (3, 4, 3)})


@attrs.frozen(eq=False)
class Probe:
    """A network around one operation.

    Parameters
    ----------
    name
        What is special about it: ``conv2d-stride``.
    network
        The operation runs in the layer ``probe``.
    fold
        Whether batch-normalisation, scaling and padding are folded into their neighbours.
    head
        The operation is a head, which relevance does not see.
    """

    name: str
    network: net.Network
    fold: bool = True
    head: bool = False

    @property
    def node(self) -> net.Node:
        """The first node in the layer ``probe``."""
        return next(node for node in self.network.nodes if node.layer == PROBE)

    @property
    def kind(self) -> Kind:
        """Kind of the operation."""
        return self.node.kind

    @property
    def x(self) -> Array:
        """A batch with both signs and zeros; with ties for max-pooling."""
        if self.kind == "max_pooling":
            return np.round(2 * self.generic) / 2
        return np.where(np.abs(self.generic) < 0.2, 0.0, self.generic)

    @property
    def generic(self) -> Array:
        """A batch of numbers none of which is 0 or equal to another."""
        return np.random.default_rng(1).normal(size=(SAMPLES, *self.network.input_shape))


def _w(*shape: int) -> Array:
    """Return weights that are always the same for a shape."""
    random = np.random.default_rng([7, *shape])
    return np.asarray(random.normal(size=shape) / math.sqrt(max(1, math.prod(shape[1:]))))


def _probe(name: str, shape: Shape, *nodes: net.Node, fold: bool = True) -> Probe:
    """Return a probe with a dense layer behind the nodes."""
    shapes = net.Network(nodes, shape).output_shape
    tail: list[net.Node] = [net.Flatten(name="flat", inputs=nodes[-1].name)] if len(shapes) > 1 else []
    last = tail[-1].name if tail else nodes[-1].name
    tail.append(net.Dense(name="out", inputs=last, weight=_w(3, math.prod(shapes)), bias=_w(3)))
    return Probe(name, net.Network([*nodes, *tail], shape), fold=fold)


def _conv(name: str, axes: int, *, inputs: str = net.INPUT, kernel: int = 2, **own: Any) -> net.Conv:
    """Return a convolution of two channels to four."""
    weight = _w(4, 2 // own.get("groups", 1), *(kernel,) * axes)
    return net.Conv(name=name, inputs=inputs, weight=weight, bias=_w(4), **own)


def _norm(name: str, channels: int, inputs: str = net.INPUT) -> net.BatchNorm:
    mean, gamma, beta = _w(3, channels)
    return net.BatchNorm(name=name, inputs=inputs, mean=mean, var=1 + gamma**2, gamma=gamma + 0.1, beta=beta)


def _dense() -> Iterator[Probe]:
    stem = net.Dense(name="stem", weight=_w(5, 4), bias=_w(5))
    relu = net.Activation(name="relu", inputs="stem")
    weight = _w(4, 5)
    yield _probe("dense", (5,), net.Dense(name=PROBE, weight=weight, bias=_w(4)))
    yield _probe("dense-without-bias", (5,), net.Dense(name=PROBE, weight=weight))
    behind = net.Dense(name=PROBE, inputs="relu", weight=_w(3, 5), bias=_w(3))
    yield _probe("dense-behind-relu", (4,), stem, relu, behind)
    own: dict[str, Any] = {"weight": _w(5, 5), "bias": _w(5), "layer": PROBE}
    first = net.Dense(name="first", inputs="stem", **own)
    yield _probe(
        "dense-reused",
        (4,),
        stem,
        first,
        net.Activation(name="relu", inputs="first"),
        net.Dense(name="second", inputs="relu", **own),
    )


def _convolutions() -> Iterator[Probe]:
    variants: dict[str, dict[str, Any]] = {
        "": {},
        "-stride": {"stride": 2},
        "-padding": {"padding": 1, "kernel": 3},
        "-dilation": {"dilation": 2},
        "-groups": {"groups": 2},
        "-stride-padding-dilation": {"stride": 2, "padding": 2, "dilation": 2},
    }
    for axes, sizes in _SIZES.items():
        for suffix, own in variants.items():
            yield _probe(f"conv{axes}d{suffix}", (2, *sizes), _conv(PROBE, axes, **own))
    for mode in ("reflect", "replicate", "circular"):
        yield _probe(f"conv2d-{mode}", (2, 4, 5), _conv(PROBE, 2, kernel=3, padding=1, mode=mode))
    relu = net.Activation(name="relu", inputs="stem")
    behind = net.Conv(name=PROBE, inputs="relu", weight=_w(3, 4, 2, 2), bias=_w(3))
    yield _probe("conv2d-behind-relu", (2, 4, 5), _conv("stem", 2), relu, behind)
    between = net.Conv(name="between", inputs="relu", weight=_w(4, 4, 1, 1), bias=_w(4))
    behind = attrs.evolve(behind, inputs="between")
    yield _probe("conv2d-behind-relu-and-conv2d", (2, 4, 5), _conv("stem", 2), relu, between, behind)
    reused: dict[str, Any] = {"layer": PROBE, "weight": _w(4, 4, 3, 3), "bias": _w(4), "padding": 1}
    yield _probe(
        "conv2d-reused",
        (2, 4, 5),
        _conv("stem", 2),
        net.Conv(name="first", inputs="stem", **reused),
        net.Activation(name="relu", inputs="first"),
        net.Conv(name="second", inputs="relu", **reused),
    )


def _transposed() -> Iterator[Probe]:
    variants: dict[str, dict[str, Any]] = {
        "": {},
        "-stride": {"stride": 2},
        "-padding": {"padding": 1, "kernel": 3},
        "-output-padding": {"stride": 2, "output_padding": 1},
        "-groups": {"groups": 2, "stride": 2},
        "-dilation": {"dilation": 2},
    }
    for axes, sizes in _SIZES.items():
        for suffix, variant in variants.items():
            own = dict(variant)
            weight = _w(2, 3, *(own.pop("kernel", 2),) * axes)
            node = net.ConvTranspose(name=PROBE, weight=weight, bias=_w(3 * own.get("groups", 1)), **own)
            yield _probe(f"conv{axes}d-transposed{suffix}", (2, *sizes), node)


def _pooling() -> Iterator[Probe]:
    for axes, sizes in _SIZES.items():
        shape = (2, *sizes)
        yield _probe(f"max-pool{axes}d", shape, net.MaxPool(name=PROBE))
        overlapping: dict[str, Any] = {"kernel": 3, "stride": 2, "padding": 1}
        yield _probe(f"max-pool{axes}d-overlapping", shape, net.MaxPool(name=PROBE, **overlapping))
        yield _probe(f"avg-pool{axes}d", shape, net.AvgPool(name=PROBE))
        yield _probe(f"avg-pool{axes}d-overlapping", shape, net.AvgPool(name=PROBE, **overlapping))
        uneven = net.AvgPool(name=PROBE, **overlapping, count_include_pad=False)
        yield _probe(f"avg-pool{axes}d-without-padding", shape, uneven)
        yield _probe(f"global-avg-pool{axes}d", shape, net.GlobalAvgPool(name=PROBE))
    relu = net.Activation(name="relu", inputs="stem")
    stem = _conv("stem", 2, padding=1)
    yield _probe("avg-pool2d-behind-relu", (2, 4, 5), stem, relu, net.AvgPool(name=PROBE, inputs="relu"))


def _normalisation() -> Iterator[Probe]:
    for axes, sizes in _SIZES.items():
        shape = (2, *sizes)
        yield _probe(f"batch-norm-behind-conv{axes}d", shape, _conv(PROBE, axes), _norm("norm", 4, PROBE))
        front = _conv(PROBE, axes, inputs="norm", padding=1, kernel=3)
        yield _probe(f"batch-norm-before-conv{axes}d", shape, _norm("norm", 2), front)
        yield _probe(f"batch-norm{axes}d", shape, _norm(PROBE, 2))
    grouped = _conv(PROBE, 2, inputs="first", groups=2)
    nodes = (_norm("first", 2), grouped, _norm("second", 4, PROBE))
    yield _probe("batch-norm-around-grouped-conv2d", (2, 4, 5), *nodes)
    dense = net.Dense(name=PROBE, weight=_w(4, 5), bias=_w(4))
    relu = net.Activation(name="relu", inputs="norm")
    yield _probe("batch-norm-behind-dense", (5,), dense, _norm("norm", 4, PROBE), relu)
    transposed = net.ConvTranspose(name=PROBE, weight=_w(2, 3, 2, 2), stride=2)
    yield _probe("batch-norm-behind-conv2d-transposed", (2, 4, 5), transposed, _norm("norm", 3, PROBE))
    yield _probe("batch-norm-unfolded", (2, 4, 5), _conv("stem", 2), _norm(PROBE, 4, "stem"), fold=False)


def _scaling() -> Iterator[Probe]:
    factor, shift = _w(2) + 0.2, _w(2)
    yield _probe("scale", (2, 4, 5), net.Scaling(name=PROBE, scale=factor))
    yield _probe("shift", (2, 4, 5), net.Scaling(name=PROBE, shift=shift))
    # One node each: frameworks multiply and add in two operations.
    front = (net.Scaling(name="scale", scale=factor), net.Scaling(name="shift", inputs="scale", shift=shift))
    yield _probe("scaling-before-conv2d", (2, 4, 5), *front, _conv(PROBE, 2, inputs="shift", padding=1))
    number = net.Scaling(name="number", scale=0.5)
    grouped = _conv(PROBE, 2, inputs="number", groups=2)
    twice = net.Scaling(name="twice", inputs=PROBE, scale=2.0)
    yield _probe("numbers-around-grouped-conv2d", (2, 4, 5), number, grouped, twice)
    behind = (
        net.Scaling(name="scale", inputs=PROBE, scale=-0.5),
        net.Scaling(name="shift", inputs="scale", shift=0.25),
    )
    yield _probe("scaling-behind-conv2d", (2, 4, 5), _conv(PROBE, 2), *behind)


def _structure() -> Iterator[Probe]:
    shape = (2, 4, 5)
    stem, side = _conv("stem", 2), net.Conv(name="side", weight=_w(4, 2, 2, 2))
    yield _probe("sum", shape, stem, side, net.Add(name=PROBE, inputs=("stem", "side")))
    relu = net.Activation(name="relu", inputs="stem")
    conv = net.Conv(name="conv", inputs="relu", weight=_w(4, 4, 3, 3), padding=1)
    yield _probe("residual-sum", shape, stem, relu, conv, net.Add(name=PROBE, inputs=("conv", "relu")))
    yield _probe("concat", shape, stem, side, net.Concat(name=PROBE, inputs=("stem", "side")))
    twice = net.Concat(name="joined", inputs=("input", "input"))
    weight = _w(3, 4, 2, 2)
    conv = net.Conv(name=PROBE, inputs="joined", weight=weight)
    yield _probe("conv2d-of-the-input-twice", shape, twice, conv)
    yield _probe("flatten", shape, net.Flatten(name=PROBE))
    yield _probe("reshape", shape, net.Reshape(name=PROBE, shape=(4, 10)))
    pad = net.Pad(name="pad", amounts=[(1, 0), (2, 1)])
    yield _probe("pad", shape, net.Pad(name=PROBE, amounts=[(1, 0), (2, 1)]))
    for fold in (True, False):
        suffix = "" if fold else "-unfolded"
        yield _probe(f"pad-before-conv2d{suffix}", shape, pad, _conv(PROBE, 2, inputs="pad"), fold=fold)
    yield _probe("dropout", shape, net.Dropout(name=PROBE))


def _pointwise() -> Iterator[Probe]:
    stem = net.Dense(name="stem", weight=_w(6, 5), bias=_w(6))
    for of in net.ACTIVATIONS:
        yield _probe(of.replace("_", "-"), (5,), stem, net.Activation(name=PROBE, inputs="stem", of=of))
    yield _probe("softmax-inside", (5,), stem, net.Softmax(name=PROBE, inputs="stem"))
    for head in (net.Softmax(name=PROBE, inputs="out"), net.Activation(name=PROBE, inputs="out", of="sigmoid")):
        nodes = _probe("", (5,), stem).network.nodes
        yield Probe(f"{head.function}-head", net.Network([*nodes, head], (5,)), head=True)


PROBES: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        probe.name: probe
        for family in (
            _dense,
            _convolutions,
            _transposed,
            _pooling,
            _normalisation,
            _scaling,
            _structure,
            _pointwise,
        )
        for probe in family()
    }
)
