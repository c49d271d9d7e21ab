"""What a model runs past PyTorch's functions: custom autograd functions and scripts."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from signxai_core.errors import ModelError


def leaves_of(tensor: Tensor) -> list[Tensor]:
    """Return the tensors at the ends of a graph."""
    found: dict[int, Tensor] = {}
    pending, seen = [tensor.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found[id(variable)] = variable
        pending += [following for following, _ in node.next_functions]
    return list(found.values())


def refuse(*_: Any) -> Any:
    """Refuse to run again what ran outside PyTorch's functions."""
    raise ModelError("a custom autograd function or a script cannot be run again alone")
