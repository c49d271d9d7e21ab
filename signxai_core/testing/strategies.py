"""Hypothesis strategies: small networks, inputs for them, and rules.

Weights come from one drawn random state, so that networks shrink in their structure, and are
continuous, so that no denominator cancels exactly. They and the inputs are numbers of float32, so
that a model in float32 is the same network. The input is used once, by a chain of padding, scaling
and batch-normalisation that ends in the first linear operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from signxai_core.specs.cells import ONES, POSITIVE, SQUARE, ZERO, Mix, Sign
from signxai_core.specs.rules import Rule, Share, Stabiliser, Term
from signxai_core.testing import network as net
from signxai_core.testing.nodes import Array, Padding, Shape

_MODES: tuple[Padding, ...] = ("zeros", "zeros", "reflect", "replicate", "circular")
_FOLDED = (net.BatchNorm, net.Scaling, net.Pad, net.Dropout)
_LARGEST = {1: 9, 2: 6, 3: 3}


def _single(array: Array) -> Array:
    return array.astype(np.float32).astype(np.float64)


class _Builder:
    """Adds nodes to the end of a growing network; every method adds one block."""

    def __init__(self, draw: st.DrawFn, input_shape: Shape) -> None:
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.input_shape = input_shape
        self.nodes: list[net.Node] = []
        self.shapes: dict[str, Shape] = {net.INPUT: input_shape}
        self.last = net.INPUT

    @property
    def shape(self) -> Shape:
        return self.shapes[self.last]

    def add(self, kind: type[net.Node], *inputs: str, **own: Any) -> str:
        used = inputs or (self.last,)
        node = kind(name=f"{kind.type}_{len(self.nodes)}", inputs=used, **own)
        self.shapes[node.name] = node.output_shape([self.shapes[name] for name in used])
        self.nodes.append(node)
        self.last = node.name
        return node.name

    def normal(self, *shape: int) -> Array:
        return _single(self.random.normal(size=shape))

    def uniform(self, *shape: int) -> Array:
        """Return positive numbers."""
        return _single(self.random.uniform(0.5, 2, shape))

    def weights(self, *shape: int) -> Array:
        return _single(self.random.normal(size=shape) / math.sqrt(max(1, math.prod(shape[1:]))))

    def bias(self, size: int) -> Array | None:
        return self.normal(size) / 2 if self.draw(st.booleans()) else None

    def dense(self, out: int | None = None) -> None:
        size = out or self.draw(st.integers(2, 5))
        self.add(net.Dense, weight=self.weights(size, self.shape[0]), bias=self.bias(size))

    def conv(self, out: int | None = None, *, same: bool = False) -> None:
        channels, *sizes = self.shape
        # What stands before a padding other than zeros is folded or not, as a framework records it.
        folded = bool(self.nodes) and isinstance(self.nodes[-1], _FOLDED) and self.nodes[-1].name == self.last
        mode: Padding = "zeros" if folded else self.draw(st.sampled_from(_MODES))
        axes = [self.axis(size, mode, same=same) for size in sizes]
        kernel, padding, dilation = zip(*axes, strict=True)
        groups = self.draw(st.sampled_from([g for g in (1, 1, 2, 3) if channels % g == 0]))
        count = out or groups * self.draw(st.integers(1, 2))
        groups = groups if count % groups == 0 else 1
        self.add(
            net.Conv,
            weight=self.weights(count, channels // groups, *kernel),
            bias=self.bias(count),
            stride=(1,) if same else tuple(self.draw(st.sampled_from((1, 1, 1, 2, 3))) for _ in sizes),
            padding=padding,
            mode=mode,
            dilation=dilation,
            groups=groups,
        )

    def axis(self, size: int, mode: Padding, *, same: bool) -> tuple[int, int, int]:
        """Draw kernel, padding and dilation for one axis, such that a window fits."""
        kernel = self.draw(st.sampled_from((1, 3) if same else (1, 2, 3)))
        dilation = self.draw(st.sampled_from((1, 1, 2)))
        padding = dilation * (kernel - 1) // 2 if same else self.draw(st.integers(0, 2))
        widest = {"zeros": padding, "replicate": padding, "reflect": size - 1, "circular": size}[mode]
        if padding > widest or dilation * (kernel - 1) >= size + 2 * padding:
            return 1, 0, 1
        return kernel, padding, dilation

    def each(self, axes: int, low: int, high: int) -> Shape:
        """Draw one number per axis."""
        return tuple(self.draw(st.integers(low, high)) for _ in range(axes))

    def conv_transpose(self) -> None:
        channels, *sizes = self.shape
        if max(sizes) > 4:
            return
        out = self.draw(st.integers(1, 2))
        weight = self.weights(channels, out, *(2,) * len(sizes))
        self.add(net.ConvTranspose, weight=weight, bias=self.bias(out), stride=self.each(len(sizes), 1, 2))

    def batch_norm(self) -> None:
        size = self.shape[0]
        mean, beta = self.normal(2, size) / 2
        gamma = _single(self.normal(size) + 0.5)
        self.add(net.BatchNorm, mean=mean, var=self.uniform(size), gamma=gamma, beta=beta)

    def scaling(self) -> None:
        # One node each: frameworks multiply and add in two operations. What is added to a linear operation
        # without bias is its bias in TensorFlow, where a bias is an operation of its own.
        size = self.shape[:1] if self.draw(st.booleans()) else ()
        before = self.nodes[-1] if self.nodes else None
        if self.draw(st.booleans()) or (before is not None and getattr(before, "bias", 0) is None):
            self.add(net.Scaling, scale=self.uniform(*size))
        else:
            self.add(net.Scaling, shift=self.normal(*size))

    def activation(self) -> None:
        self.add(net.Activation, of=self.draw(st.sampled_from(("relu", "relu", *net.ACTIVATIONS))))

    def hidden(self) -> None:
        if self.draw(st.booleans()):
            self.batch_norm()
        if self.draw(st.integers(0, 4)):
            self.activation()

    def pad(self) -> None:
        amounts = [self.each(2, 0, 1) for _ in self.shape[1:]]
        self.add(net.Pad, amounts=amounts)

    def dropout(self) -> None:
        self.add(net.Dropout)

    def block(self) -> None:
        self.conv()
        self.hidden()

    def max_pool(self) -> None:
        self._pool(net.MaxPool)

    def avg_pool(self) -> None:
        self._pool(net.AvgPool, count_include_pad=self.draw(st.booleans()))

    def _pool(self, kind: type[net.Node], **own: Any) -> None:
        if min(self.shape[1:]) >= 2:
            axes = len(self.shape) - 1
            kernel = self.each(axes, 2, min(3, *self.shape[1:]))
            self.add(kind, kernel=kernel, stride=self.each(axes, 1, 2), padding=self.each(axes, 0, 1), **own)

    def linear(self, out: int | None = None) -> None:
        """Add a dense layer to a vector, else a convolution that keeps the spatial sizes."""
        if len(self.shape) == 1:
            self.dense(out)
        else:
            self.conv(out, same=True)

    def residual(self) -> None:
        before = self.last
        branches = [before]
        for _ in range(self.draw(st.integers(1, 2))):
            self.last = before
            self.linear(self.shape[0])
            self.hidden()
            branches.append(self.last)
        self.add(net.Add, *branches)

    def concat(self) -> None:
        before = self.last
        self.linear()
        self.hidden()
        self.add(net.Concat, before, self.last)

    def reused(self) -> None:
        axes, layer = len(self.shape) - 1, f"reused_{len(self.nodes)}"
        kind: type[net.Node] = net.Conv if axes else net.Dense
        own: dict[str, Any] = {"padding": 1} if axes else {}
        own["weight"] = self.weights(self.shape[0], self.shape[0], *(3,) * axes)
        self.add(kind, layer=layer, **own)
        self.add(net.Activation)
        self.add(kind, layer=layer, **own)
        self.activation()


_ANYWHERE: tuple[Callable[[_Builder], None], ...] = (
    _Builder.residual,
    _Builder.concat,
    _Builder.reused,
    _Builder.dropout,
    _Builder.scaling,
    _Builder.batch_norm,
)
_SPATIAL: tuple[Callable[[_Builder], None], ...] = (
    _Builder.block,
    _Builder.max_pool,
    _Builder.avg_pool,
    _Builder.max_pool,
    _Builder.avg_pool,
    *_ANYWHERE,
    _Builder.pad,
    _Builder.conv_transpose,
)


@st.composite
def networks(draw: st.DrawFn, *, axes: int | None = None, blocks: int = 4) -> net.Network:
    """Draw a classifier of vectors (``axes=0``), or of samples with one to three spatial axes.

    Parameters
    ----------
    draw
        Given by Hypothesis.
    axes
        Number of spatial axes; drawn where it is ``None``.
    blocks
        The largest number of blocks behind the first convolution, or dense layer.
    """
    axes = draw(st.integers(0, 3)) if axes is None else axes
    sizes = tuple(draw(st.integers(3, _LARGEST[axes])) for _ in range(axes))
    builder = _Builder(draw, (draw(st.integers(1, 3)), *sizes) if axes else (draw(st.integers(2, 6)),))
    front: tuple[Callable[[_Builder], None], ...] = (_Builder.scaling, _Builder.batch_norm)
    for add in draw(st.lists(st.sampled_from((*front, _Builder.pad) if axes else front), max_size=2)):
        add(builder)
    if axes:
        builder.block()
        for add in draw(st.lists(st.sampled_from(_SPATIAL), max_size=blocks)):
            add(builder)
        builder.add(draw(st.sampled_from((net.Flatten, net.GlobalAvgPool))))
    if not axes or draw(st.booleans()):
        builder.dense()
        builder.hidden()
        for add in draw(st.lists(st.sampled_from(_ANYWHERE), max_size=1 if axes else blocks)):
            add(builder)
    builder.dense(draw(st.integers(2, 3)))
    if draw(st.booleans()):
        builder.add(net.Softmax)
    return net.Network(builder.nodes, builder.input_shape)


@st.composite
def inputs(draw: st.DrawFn, network: net.Network, *, samples: int = 3, generic: bool = False) -> Array:
    """Draw a batch of one to ``samples`` samples: of both signs, non-negative with zeros, or of few values.

    Those of few values are multiples of 1/4: thresholds and bounds are met exactly, and there are ties; there
    are none where ``generic``.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    x = _single(random.normal(size=(draw(st.integers(1, samples)), *network.input_shape)))
    sort = "any" if generic else draw(st.sampled_from(("any", "non-negative", "few")))
    return x if sort == "any" else np.maximum(x, 0.0) if sort == "non-negative" else np.round(4 * x) / 4


_FACTORS = (0.0, 0.25, 1.0, 1.0, 1.5, 2.0)
_SCALES: tuple[Literal["absolute", "std", "relative"], ...] = ("absolute", "std", "relative")
_mixes = st.builds(Mix, st.sampled_from(_FACTORS), st.sampled_from(_FACTORS))


def _terms(*, own_times: bool) -> st.SearchStrategy[Any]:
    weight = st.one_of(_mixes, st.sampled_from((SQUARE, ONES)))
    bias = st.one_of(_mixes, st.just(ZERO))
    x = st.one_of(_mixes, st.just(ONES)) if own_times else _mixes
    return st.lists(st.builds(Term, x, weight, bias), min_size=1, max_size=2)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Draw a valid rule.

    Cells have no negative factors, terms no negative sign, and a denominator is kept away from 0:
    a difference that cancels exactly would make rounding visible.
    """
    times = draw(st.sampled_from((None, None, Sign(), Sign(0.25), POSITIVE, ONES)))
    terms = _terms(own_times=times is None)

    def share(weight: float, gate: str = "all") -> Share:
        build: Callable[..., Share] = Share
        return build(draw(terms), weight=weight, gate=gate)

    rest = draw(st.sampled_from((0.0, 1.0, -1.0, 0.4, 2.0)))
    shares = [share(rest)] if rest else []
    if rest == 1.0:
        pass
    elif draw(st.booleans()):
        shares.append(share(1 - rest))
    else:
        shares += [share(1 - rest, "positive"), share(1 - rest, "negative")]
    scale = draw(st.sampled_from(_SCALES))
    epsilon = draw(st.sampled_from((0.05, 0.25, 1.0)))
    build: Callable[..., Rule] = Rule
    return build(shares, stabiliser=Stabiliser(epsilon, scale), times=times)
