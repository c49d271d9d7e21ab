"""Hypothesis strategy: small networks with gates, products, normalisations, attention and recurrence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hypothesis import strategies as st

from signxai_core.testing import network as net
from signxai_core.testing.blocks import PARTS
from signxai_core.testing.nodes import Shape
from signxai_core.testing.strategies import _Builder

_GATE: Literal["sigmoid"] = "sigmoid"
_ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "softplus")


class Modern(_Builder):
    """Adds blocks of newer architectures to the end of a growing network."""

    def dense(self, out: int | None = None) -> None:
        """Add a dense layer; at places, not behind constants, which are folded where no axes are moved."""
        if len(self.shape) > 1 and isinstance(self.node(), (net.Scaling, net.BatchNorm)):
            self.activation()
        super().dense(out)

    def node(self) -> net.Node | None:
        """Return the node that wrote the last tensor."""
        return next((node for node in self.nodes if node.name == self.last), None)

    def branch(self, before: str, size: int, of: str | None = None) -> str:
        """Add a dense layer to an earlier tensor, with an activation where one is named."""
        self.last = before
        self.dense(size)
        return self.add(net.Activation, of=of) if of else self.last

    def chosen(self) -> str:
        """Draw an activation."""
        return self.draw(st.sampled_from(_ACTIVATIONS))

    def norm(self) -> None:
        """Normalise groups of three numbers or more: of fewer, little is left."""
        channels, *sizes = self.shape
        places = 1
        for size in sizes:
            places *= size
        groups = [g for g in range(1, channels + 1) if sizes and channels % g == 0 and channels // g * places >= 3]
        kinds = [*(["layer", "rms"] if channels >= 3 else []), *(["group"] if groups else [])]
        if not kinds:
            return
        kind = self.draw(st.sampled_from(kinds))
        weight = self.uniform(channels)
        if kind == "rms":
            self.add(net.Norm, weight=weight, centred=False)
        else:
            chosen = self.draw(st.sampled_from(groups)) if kind == "group" else None
            self.add(net.Norm, weight=weight, bias=self.normal(channels) / 2, groups=chosen)

    def gate(self) -> None:
        """Squeeze and excite."""
        before, channels = self.last, self.shape[0]
        if len(self.shape) > 1:
            self.add(net.GlobalAvgPool)
        self.branch(self.last, 2, self.chosen())
        gate = self.branch(self.last, channels, _GATE)
        if self.draw(st.booleans()):
            gate = self.add(net.Scaling, scale=1.5, shift=0.25)
        self.add(net.Multiply, before, gate)

    def product(self) -> None:
        """Multiply two or three tensors, in any order and grouping, gates among them."""
        before, size = self.last, self.draw(st.integers(2, 4))
        kinds = (None, None, _GATE, self.chosen())
        factors = [
            self.branch(before, size, self.draw(st.sampled_from(kinds))) for _ in range(self.draw(st.integers(2, 3)))
        ]
        factors = self.draw(st.permutations(factors))
        if len(factors) == 3 and self.draw(st.booleans()):
            inner = self.add(net.Multiply, *factors[1:])
            factors = self.draw(st.permutations([factors[0], inner]))
        self.add(net.Multiply, *factors)

    def self_gated(self) -> None:
        """An elementwise function written as a product or a quotient of elementwise functions."""
        before = self.last
        other = self.add(net.Activation, of=self.draw(st.sampled_from((_GATE, "tanh", "softplus"))))
        self.add(net.Multiply, *self.draw(st.permutations([before, other])))

    def quotient(self) -> None:
        """Divide by positive numbers."""
        before, size = self.last, self.draw(st.integers(2, 4))
        below = self.branch(before, size, "softplus")
        below = self.add(net.Scaling, shift=0.5)
        self.add(net.Divide, self.branch(before, size), below)

    def soft(self) -> None:
        """Softmax of a dense layer."""
        self.dense()
        self.add(net.Softmax)

    def feed_forward(self) -> None:
        """Pre-norm, two dense layers and a residual sum."""
        before, channels = self.last, self.shape[0]
        self.norm()
        self.branch(self.last, self.draw(st.integers(2, 4)), self.chosen())
        self.add(net.Add, before, self.branch(self.last, channels))

    def attention(self) -> None:
        """Pre-norm attention and a residual sum.

        The scale of the heads is a number of float32, to which Keras rounds it. Keras 3.15 computes something
        else where heads are one number wide and as many as the places.
        """
        if self.shape[0] != 4:
            self.dense(4)
        before = self.last
        if self.draw(st.booleans()):
            self.norm()
        query, key, value, out = (self.weights(4, 4) for _ in range(4))
        biases, heads = self.normal(4, 4) / 2, self.draw(st.sampled_from((1,) if self.shape[1] == 4 else (1, 4)))
        self.add(net.Attention, query=query, key=key, value=value, out=out, biases=biases, heads=heads)
        if self.draw(st.booleans()):
            self.add(net.Add, before, self.last)

    def linear_attention(self) -> None:
        """Three series multiplied as matrices."""
        before, size = self.last, self.draw(st.integers(2, 3))
        query, key, value = (self.branch(before, size) for _ in range(3))
        scores = self.add(net.MatrixProduct, key, query, transposed=True)
        self.add(net.MatrixProduct, value, scores)

    def recurrent(self) -> None:
        """A recurrent layer in one direction, or in both."""
        before, channels = self.last, self.shape[0]
        cell = self.draw(st.sampled_from(tuple(PARTS)))
        size, outputs = self.draw(st.integers(2, 3)), []
        for reverse in self.draw(st.sampled_from(((False,), (True,), (False, True)))):
            rows = PARTS[cell] * size
            weight, recurrent = self.weights(rows, channels), self.weights(rows, size)
            biases = self.normal(2, rows) / 2
            own = {"weight": weight, "recurrent": recurrent, "biases": biases, "reverse": reverse}
            outputs.append(self.add(net.Recurrent, before, cell=cell, **own))
        if len(outputs) > 1:
            self.add(net.Concat, *outputs)


_Block = Callable[[Modern], None]
_ANYWHERE: tuple[_Block, ...] = (
    Modern.gate,
    Modern.product,
    Modern.self_gated,
    Modern.quotient,
    Modern.soft,
    Modern.feed_forward,
    Modern.norm,
    Modern.residual,
    Modern.activation,
)
_SERIES: tuple[_Block, ...] = (
    Modern.attention,
    Modern.attention,
    Modern.linear_attention,
    Modern.recurrent,
    Modern.recurrent,
)


@st.composite
def networks(draw: st.DrawFn, *, axes: int | None = None, blocks: int = 2) -> net.Network:
    """Draw a classifier of vectors (``axes=0``), series or images.

    Parameters
    ----------
    draw
        Given by Hypothesis.
    axes
        Number of spatial axes, at most two; drawn where it is ``None``.
    blocks
        The largest number of blocks between the first layer and the last.
    """
    axes = draw(st.sampled_from((0, 1, 1, 2))) if axes is None else axes
    sizes: Shape = tuple(draw(st.integers(2, 4)) for _ in range(axes))
    builder = Modern(draw, (draw(st.integers(2, 4)), *sizes))
    front: tuple[_Block, ...] = (Modern.norm, Modern.scaling)
    for add in draw(st.lists(st.sampled_from(front), max_size=1)):
        add(builder)
    if axes != 1 or draw(st.booleans()):
        builder.linear()
    else:
        draw(st.sampled_from((Modern.attention, Modern.recurrent)))(builder)
    for add in draw(st.lists(st.sampled_from(_ANYWHERE + (_SERIES if axes == 1 else ())), min_size=1, max_size=blocks)):
        add(builder)
    if axes:
        builder.add(draw(st.sampled_from((net.Flatten, net.GlobalAvgPool))))
    builder.dense(draw(st.integers(2, 3)))
    return net.Network(builder.nodes, builder.input_shape)
