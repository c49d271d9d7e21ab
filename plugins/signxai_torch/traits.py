"""What the engine is told about an executed function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from torch import Tensor

from signxai_core.specs.operations import Kind
from signxai_torch.calls import Invocation, Layout, Slot
from signxai_torch.ledger import Taint
from signxai_torch.vocabulary import bind


@attrs.frozen(eq=False)
class Node:
    """An executed function: canonical name, arguments with slots, and its tensors.

    ``may_be_batch`` tells whether an axis of the first input may be that of the batch, ``taint`` how its other
    arguments depend on the input.
    """

    name: str
    recorded: Invocation
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    may_be_batch: Callable[[int], bool]
    taint: Taint = ""

    @property
    def keeps_shape(self) -> bool:
        """Whether one tensor goes in and one of its shape comes out."""
        return len(self.inputs) == len(self.outputs) == 1 and self.inputs[0].shape == self.outputs[0].shape

    def bound(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return bind(self.name, self.recorded.args, self.recorded.kwargs)

    def first_only(self) -> bool:
        """Return whether the only argument that depends on the input is the first, or was given by name."""
        return len(self.inputs) == 1 and (not self.recorded.args or isinstance(self.recorded.args[0], Slot))


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


#: The rectified linear unit, however it is written.
RECTIFIER = Traits(kind="activation", function="relu")
