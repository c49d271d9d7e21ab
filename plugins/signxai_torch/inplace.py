"""In-place functions, run so that no recorded number and nothing of the user's changes.

The new value is computed in new memory, and the model's tensor object is made to show it. Tensors
that shared the old memory follow when they are next used, as they would have done by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from signxai_torch.calls import OutOfPlace, tensors_of
from signxai_torch.decompose import decomposed
from signxai_torch.ledger import is_whole, memory

if TYPE_CHECKING:
    from signxai_torch.record import Run


def run_inplace(run: Run, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a function that writes into its first argument."""
    ledger = run.ledger
    if not args:
        name = next(name for name in ("input", "self", "tensor") if name in kwargs)
        args, kwargs = (kwargs[name],), {key: value for key, value in kwargs.items() if key != name}
    target = args[0]
    originals: list[Tensor] = []
    template, options = run.template((args, kwargs), originals)
    others = ledger.taint_of(tensors_of((args[1:], kwargs)))
    taint = ledger.taint_of(tensors_of((args, kwargs)))
    if originals:
        if not torch.is_grad_enabled():
            raise run.unsupported("an in-place function under torch.no_grad on a tensor that depends on the input")
        ours = _is_ours(run, target)
        result = decomposed(run, OutOfPlace(func), args, kwargs, len(originals))
        if result is not NotImplemented:
            return rebind(run, target, result, ours=ours)
        rectifies = run.masks.rectifies(run.last, args, kwargs)
        result = run.call(OutOfPlace(func), template, options, originals, taint=taint, rectifies=rectifies)
        return rebind(run, target, result, ours=ours)
    target = ledger.aliases.get(id(target), target)
    if memory(target) in ledger.owned:
        if others:
            ledger.taint(target, step=taint == "step")
        func(target, *run.constants(args[1:]), **run.constants(kwargs))
        return target
    return _substitute(
        run, target, OutOfPlace(func)(*run.constants(args), **run.constants(kwargs)), tainted=bool(taint)
    )


def _is_ours(run: Run, tensor: Tensor) -> bool:
    """Return whether a tensor was made during this run, and not by the user before."""
    tensor = run.ledger.aliases.get(id(tensor), tensor)
    return id(tensor) in run.ledger.ids or memory(tensor) in run.ledger.owned


def rebind(run: Run, target: Tensor, result: Tensor, *, ours: bool = True) -> Tensor:
    """Make the model's tensor ``target`` show ``result``."""
    ledger = run.ledger
    target = ledger.aliases.get(id(target), target)
    key = memory(target)
    if not ours:
        return _substitute(run, target, result, tainted=id(result) in ledger.tainted)
    if id(target) in ledger.pinned:
        raise run.unsupported("changes in place a tensor that a custom autograd function keeps")
    if memory(result) == key or id(result) not in ledger.ids:
        return _show(run, target, result)
    if is_whole(target) and target.stride() == result.stride():
        ledger.moved[key] = _show(run, target, result)
        return target
    root = next((view for view in ledger.others(target) if is_whole(view)), None)
    if root is None:
        ledger.stale.add(key)
        return _show(run, target, result)
    shown = (target.size(), target.stride(), target.storage_offset())
    originals: list[Tensor] = []
    arguments = run.template((root, result, *shown), originals)
    run.last = "overwrite"
    ledger.moved[key] = run.call(_overwrite, arguments, {}, originals)
    follow(run, target)
    return target


def _overwrite(root: Tensor, source: Tensor, size: torch.Size, stride: tuple[int, ...], offset: int) -> Tensor:
    """Return ``root`` with a strided part of its memory replaced.

    As ``torch.as_strided_scatter``, whose derivative is wrong (torch 2.13, two or more axes).
    """
    places = torch.arange(root.numel(), device=root.device).as_strided(size, stride, offset)
    flat = root.as_strided((root.numel(),), (1,), 0).index_copy(0, places.reshape(-1), source.reshape(-1))
    return flat.as_strided(root.size(), root.stride(), 0)


def follow(run: Run, tensor: Tensor) -> None:
    """Let a tensor whose memory was changed through another one show the new numbers."""
    ledger = run.ledger
    root = ledger.moved.get(memory(tensor))
    if root is not None and root is not tensor and id(tensor) not in ledger.aliases:
        follow(run, root)
        shown = (tensor.size(), tensor.stride(), tensor.storage_offset())
        if id(tensor) not in ledger.tainted:
            originals: list[Tensor] = []
            arguments = run.template((root, *shown), originals)
            last, run.last = run.last, "as_strided"
            _show(run, tensor, run.call(torch.as_strided, arguments, {}, originals))
            run.last = last
        else:
            tensor.data = ledger.value(root).as_strided(*shown)
    elif memory(tensor) in ledger.stale and id(tensor) not in ledger.aliases:
        what = "uses a tensor whose memory an earlier in-place function changed through another tensor"
        raise run.unsupported(f"{what}; write that function out of place (y = x + 1, not x += 1)")


def assign(run: Run, attribute: str, target: Tensor, value: Any) -> None:
    """Set an attribute of a tensor (``buffer.data = y``)."""
    ledger = run.ledger
    if attribute != "data" or id(target) in ledger.ids or id(value) in ledger.ids:
        raise run.unsupported(f"sets .{attribute} of a tensor during the forward pass")
    _substitute(run, target, run.constants(value), tainted=id(value) in ledger.tainted)


def _show(run: Run, target: Tensor, result: Tensor) -> Tensor:
    ledger = run.ledger
    ledger.keep(target.detach())
    identity = ledger.ids.get(id(result))
    if identity is None:
        ledger.stale.add(memory(target))
    target.data = result.detach()
    if identity is None:
        ledger.taint(target)
        return target.requires_grad_(False)
    ledger.rename(target, identity)
    return target.requires_grad_()


def _substitute(run: Run, target: Tensor, new: Tensor, *, tainted: bool) -> Tensor:
    """Let ``new`` stand for a tensor that is not ours to change."""
    ledger = run.ledger
    ledger.stale.add(memory(target))
    ledger.keep(target)
    ledger.aliases[id(target)] = new
    if id(new) not in ledger.ids:
        ledger.own(new)
        if tainted:
            ledger.taint(new)
    return new
