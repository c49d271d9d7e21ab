"""Which tensors the model holds during a recording, and what they are to it."""

from __future__ import annotations

import weakref
from typing import Any, Literal

import attrs
from torch import Tensor

from signxai_torch.values import Values

#: How something depends on the input without a derivative: not at all, as a step function does, or unseen.
Taint = Literal["", "step", "hidden"]


def memory(tensor: Tensor) -> int:
    """Return the identity of a tensor's memory, 0 where it has none of its own."""
    try:
        return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the one identity that views share
    except (NotImplementedError, RuntimeError):
        return 0


def is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor shows all of its memory, each number once."""
    extent = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.numel() == extent and extent * tensor.element_size() == tensor.untyped_storage().nbytes()


@attrs.define(eq=False)
class Ledger:
    """Tensors by what they are.

    Tracked tensors are forgotten when the model drops them, others are kept alive, so that an ``id``
    always means one tensor.

    Attributes
    ----------
    values
        Recorded numbers by tensor id.
    ids
        Tensor id of a *tracked* tensor, one that depends on the input with a derivative.
    tainted
        Tensors that depend on the input without a derivative.
    steps
        Those of them that are piecewise constant in the input: indices, comparisons, and what is computed from
        these alone.
    aliases
        What stands for a tensor that is the user's, after an in-place function changed it.
    owned
        Memory that the model made during this run and that no recorded number lives in.
    moved
        Where the numbers of recorded memory went when an in-place function changed them.
    stale
        Memory that was changed, and what its other tensors should show is not known.
    """

    values: Values = attrs.field(factory=Values)
    ids: dict[int, int] = attrs.field(factory=dict)
    tainted: set[int] = attrs.field(factory=set)
    steps: set[int] = attrs.field(factory=set)
    aliases: dict[int, Tensor] = attrs.field(factory=dict)
    owned: set[int] = attrs.field(factory=set)
    moved: dict[int, Tensor] = attrs.field(factory=dict)
    stale: set[int] = attrs.field(factory=set)
    pinned: set[int] = attrs.field(factory=set)
    _shown: list[weakref.ref[Tensor]] = attrs.field(factory=list)
    _kept: list[Any] = attrs.field(factory=list)

    def track(self, tensor: Tensor) -> Tensor:
        """Give a result an id; return the tensor to hand to the model."""
        return self.bind(tensor.detach().requires_grad_(), tensor.detach())

    def bind(self, handed: Tensor, value: Tensor) -> Tensor:
        """Give a tensor that the model holds an id of its own."""
        identity = len(self.values)
        self.values[identity] = value
        self.rename(handed, identity)
        return handed

    def rename(self, handed: Tensor, identity: int) -> None:
        """Let a tensor that the model holds show the value of an id."""
        key, ids = id(handed), self.ids
        ids[key] = identity
        self.tainted.discard(key)
        self.steps.discard(key)
        # Of this object the callback must know nothing, or neither would be freed without the collector.
        self._shown.append(weakref.ref(handed, lambda _: ids.pop(key, None)))

    def taint(self, tensor: Tensor, *, step: bool = False) -> None:
        """Note that a tensor depends on the input without a derivative; ``step``: it is piecewise constant."""
        self.ids.pop(id(tensor), None)
        self.tainted.add(id(tensor))
        (self.steps.add if step else self.steps.discard)(id(tensor))
        self._kept.append(tensor)

    def is_tainted(self, tensors: list[Tensor]) -> bool:
        """Return whether any of them depends on the input without a derivative."""
        return bool(self.tainted) and any(id(self.aliases.get(id(t), t)) in self.tainted for t in tensors)

    def taint_of(self, tensors: list[Tensor]) -> Taint:
        """Return how they depend on the input without a derivative."""
        if not self.is_tainted(tensors):
            return ""
        keys = {id(self.aliases.get(id(tensor), tensor)) for tensor in tensors}
        return "step" if self.steps.issuperset(keys & self.tainted) else "hidden"

    def are_steps(self, tensors: list[Tensor]) -> bool:
        """Return whether all of them that depend on the input are piecewise constant."""
        keys = {id(self.aliases.get(id(tensor), tensor)) for tensor in tensors}
        return self.steps.issuperset(key for key in keys if key in self.tainted or key in self.ids)

    def own(self, tensor: Tensor) -> None:
        """Note that a tensor's memory may be written to."""
        self.owned.add(memory(tensor))
        self._kept.append(tensor)

    def keep(self, tensor: Tensor) -> None:
        """Keep a tensor, so that neither its id nor its memory is used again."""
        self._kept.append(tensor)

    def value(self, handed: Tensor) -> Tensor:
        """Return the recorded numbers of a tracked tensor."""
        identity = self.ids[id(handed)]
        if self.values.is_dropped(identity):
            self.values[identity] = handed.detach()
        found: Tensor = self.values[identity]
        return found

    def handed(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return those that are tracked."""
        return [tensor for tensor in tensors if id(tensor) in self.ids]

    def is_live(self, tensor: Tensor) -> bool:
        """Return whether a tensor depends on the input with a derivative."""
        return id(self.aliases.get(id(tensor), tensor)) in self.ids

    def resolve(self, tensor: Tensor) -> Tensor:
        """Return what a function is to see of a tensor that is not tracked."""
        tensor = self.aliases.get(id(tensor), tensor)
        return tensor.detach() if tensor.requires_grad else tensor

    def others(self, tensor: Tensor) -> list[Tensor]:
        """Return the other tracked tensors that show the same memory."""
        key = memory(tensor)
        alive = {id(view): view for view in (shown() for shown in self._shown) if view is not None}
        return [view for view in alive.values() if view is not tensor and memory(view) == key]
