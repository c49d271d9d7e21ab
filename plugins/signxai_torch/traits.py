"""What the engine is told about an executed function."""

from __future__ import annotations

from typing import Any

import attrs
from torch import Tensor

from signxai_core.specs.operations import Kind
from signxai_torch.calls import Invocation, Layout
from signxai_torch.vocabulary import bind


@attrs.frozen(eq=False, kw_only=True)
class Node:
    """An executed function: canonical name, arguments with slots, and its tensors."""

    name: str
    recorded: Invocation
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def keeps_shape(self) -> bool:
        """Whether one tensor goes in and one of its shape comes out."""
        return len(self.inputs) == len(self.outputs) == 1 and self.inputs[0].shape == self.outputs[0].shape

    def bound(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return bind(self.name, self.recorded.args, self.recorded.kwargs)


@attrs.define(eq=False, kw_only=True)
class Traits:
    """Fields of an operation, as far as the function decides them."""

    kind: Kind
    function: str = ""
    parameters: dict[str, Any] = attrs.field(factory=dict)
    signs: tuple[int, ...] = ()
    channel_axis: int | None = None
    padding: bool = False
    constants: bool = False
    attributes: dict[str, Any] = attrs.field(factory=dict)
    note: str = ""
    linear: Invocation | None = None
    layout: Layout | None = None


def product(node: Node) -> Traits | None:
    """Return the traits of a product of two tensors that both depend on the input."""
    return Traits(kind="product") if len(node.inputs) == 2 else None
