"""Recording: one run of a model, as the operations that it executed.

Every call of a PyTorch function inside the run passes through :class:`Run`. Tensors that depend
on the input are *tracked*; a call with a tracked argument runs once, on detached copies, so that it
has a local autograd graph of its own, and the model goes on with detached results. Tensors that
depend on the input without a derivative (``x.argmax()``) are *tainted*.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from signxai_core.engine.backend import Operation
from signxai_core.errors import UnsupportedOperationError
from signxai_torch import vocabulary
from signxai_torch.batch_axis import BatchAxes
from signxai_torch.calls import ATOMS, Call, Invocation, Slot, map_items, plain, rebuild, replace, tensors_of
from signxai_torch.checks import check_shapes
from signxai_torch.classify import as_read, classify
from signxai_torch.decompose import decomposed, has_parts
from signxai_torch.derivatives import derivative, is_direct
from signxai_torch.draws import RANDOM, Draws
from signxai_torch.inplace import assign, follow, rebind, run_inplace
from signxai_torch.ledger import Ledger, Taint, memory
from signxai_torch.masks import MASKS, Masks
from signxai_torch.outside import leaves_of, refuse
from signxai_torch.rewrite import at_inference
from signxai_torch.scratch import Scratch
from signxai_torch.traits import RECTIFIER, Node, Traits
from signxai_torch.values import MAKERS, READERS


class Run(TorchFunctionMode):
    """State of one recording.

    Attributes
    ----------
    stack
        Paths of the layers that are running, innermost last.
    operations
        The operations so far.
    ledger
        The tensors that the model holds.
    draws
        What the model draws at random.
    masks
        Comparisons of tensors with 0.
    scratch
        Memory that the recorded operations share.
    last
        Name of the function that was called last.
    group, groups
        Name and number of the function that is being recorded as several operations, and how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.operations: list[Operation] = []
        self.ledger = Ledger()
        self.draws = Draws(self.stack)
        self.masks = Masks(self.ledger)
        self.scratch = Scratch()
        self._makers: dict[int, Operation] = {}
        self._batch_axes = BatchAxes(self.operations, self.ledger.values.shape)
        self.last = ""
        self.group: tuple[str, int] | None = None
        self.groups = 0
        # Keeps checkpointing in the model from dropping what our products need. What is saved must not
        # be the tensor itself: an operation that saves its output would be a cycle.
        self._plain_graph = saved_tensors_hooks(Tensor.detach, lambda saved: saved)

    @property
    def path(self) -> str:
        """Path of the layer that is running."""
        return self.stack[-1] if self.stack else ""

    def unsupported(self, what: str) -> UnsupportedOperationError:
        """Return an error about the call in progress."""
        where = f"{self.path} ({self.last})" if self.path else self.last
        return UnsupportedOperationError(f"{where}: {what}", function=self.last, path=self.path)

    def identity(self, tensor: Tensor) -> int | None:
        """Return the id of a tensor that the model returned, or ``None`` if it is not tracked."""
        self._look(tensor)
        return self.ledger.ids.get(id(self.ledger.aliases.get(id(tensor), tensor)))

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one PyTorch function for the model."""
        kwargs = kwargs or {}
        known = vocabulary.facts(func)
        if known.is_metadata:
            return func(*args, **kwargs)
        self.last = known.canonical
        if self.last in RANDOM:
            self.draws.note(self.last)
        seen = tensors_of((args, kwargs))
        for tensor in seen:
            self._look(tensor)
        if kwargs.get("out") is not None:
            raise self.unsupported("out= is not supported; use the returned tensor")
        if known.is_assignment:
            return assign(self, known.name, *args)
        if known.is_inplace:
            return run_inplace(self, func, args, kwargs)
        return self._executed(func, args, kwargs, seen)

    def _executed(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], seen: list[Tensor]) -> Any:
        """Run a function that makes new tensors of those it has ``seen``."""
        if self.last in vocabulary.LIKE:
            seen = seen[:1]  # of the second argument only type and shape count
        taint = self.ledger.taint_of(seen)
        if self.last in vocabulary.LIKE and not self.ledger.handed(seen):
            return self._noted(args, self._plain(func, args, kwargs, tainted=bool(taint)))
        if self.last in vocabulary.LIKE:
            args, kwargs = (*args[:1], *self.constants(args[1:])), self.constants(kwargs) if args else kwargs
        originals: list[Tensor] = []
        template, options = self.template((args, kwargs), originals)
        if not originals or not torch.is_grad_enabled():
            return self._noted(args, self._plain(func, args, kwargs, tainted=bool(taint or originals)))
        if has_parts(self.last):
            parts = decomposed(self, func, args, kwargs, len(originals))
            if parts is not NotImplemented:
                return parts
        rectifies = self.masks.rectifies(self.last, args, kwargs)
        result = self.call(func, template, options, originals, taint=taint, rectifies=rectifies)
        return rebind(self, originals[0], result) if kwargs.get("inplace") else self._noted(args, result)

    def _noted(self, args: tuple[Any, ...], result: Any) -> Any:
        """Return what a function made; a mask is noted."""
        if self.last in MASKS:
            self.masks.note(self.last, args, result)
        return result

    def template(self, value: Any, originals: list[Tensor]) -> Any:
        """Return arguments with slots for tracked tensors, which are appended to ``originals``."""
        if isinstance(value, Tensor):
            ledger = self.ledger
            value = ledger.aliases.get(id(value), value) if ledger.aliases else value
            if id(value) in ledger.ids:
                originals.append(value)
                return Slot(len(originals) - 1)
            return plain(value)
        if type(value) is tuple:
            return tuple([v if type(v) in ATOMS else self.template(v, originals) for v in value])
        if isinstance(value, (tuple, list)):
            return rebuild(value, [v if type(v) in ATOMS else self.template(v, originals) for v in value])
        if isinstance(value, dict):
            return {key: v if type(v) in ATOMS else self.template(v, originals) for key, v in value.items()}
        return value

    def constants(self, value: Any) -> Any:
        """Return arguments as numbers through which no derivative goes."""
        if isinstance(value, Tensor):
            return self.ledger.resolve(value)
        return map_items(self.constants, value)

    def call(
        self,
        func: Callable[..., Any],
        args: Any,
        kwargs: Any,
        originals: list[Tensor],
        *,
        taint: Taint = "",
        rectifies: bool = False,
    ) -> Any:
        """Run a function on tracked tensors, record it, and return what the model is to see.

        ``rectifies``: it is ``max(x, 0)`` of the one tensor, by a mask.
        """
        ledger = self.ledger
        recorded = Invocation(*at_inference(self.last, func, args, kwargs, self.path))
        if ledger.owned:
            ledger.owned -= {memory(constant) for constant in tensors_of((recorded.args, recorded.kwargs))}
        inputs = tuple(ledger.value(tensor) for tensor in originals)
        check_shapes(self.last, recorded, inputs, self.path)
        if not taint and not rectifies and is_direct(self.last, recorded, inputs):
            return self._direct(recorded, inputs, originals)
        inputs = tuple(value.detach().requires_grad_() for value in inputs)
        with self._plain_graph:
            result = recorded(inputs)
        tensors = tensors_of(result)
        if len(tensors) == 1 and tensors[0] is inputs[0]:
            return originals[0]
        handed = [self._hand_out(tensor) for tensor in tensors]
        positions = tuple(i for i, tensor in enumerate(tensors) if tensor.requires_grad)
        if positions:
            outputs = tuple(tensors[i] for i in positions)
            first = functools.partial(self._batch_axes.may_be, ledger.ids[id(originals[0])])
            node = Node(self.last, recorded, inputs, outputs, first, taint)
            traits = RECTIFIER if rectifies and node.keeps_shape else classify(node)
            self._operation(
                Call(recorded, inputs, outputs, positions, traits.linear, traits.layout, scratch=self.scratch),
                originals,
                [handed[i] for i in positions],
                traits,
            )
        return replace(result, iter(handed))

    def _direct(self, recorded: Invocation, inputs: tuple[Tensor, ...], originals: list[Tensor]) -> Tensor:
        """Do what :meth:`call` does for a function with one tensor as result, without a graph of its own."""
        result: Tensor = recorded(inputs)
        if result is inputs[0]:
            return originals[0]
        handed = self.ledger.bind(result.detach().requires_grad_(), result)
        first = functools.partial(self._batch_axes.may_be, self.ledger.ids[id(originals[0])])
        node = Node(self.last, recorded, inputs, (result,), first)
        traits = classify(node)
        written = derivative(node, traits)
        # Where the derivative is written out, only weights ask for the operation's input.
        kept = inputs if written is None or traits.layout is not None else ()
        call = Call(recorded, kept, (), (0,), traits.linear, traits.layout, written, self.scratch)
        self._operation(call, originals, [handed], traits)
        if self.last in MAKERS:
            self._makers[len(self.ledger.values) - 1] = self.operations[-1]
        if self.last in READERS and written is not None:
            self._drop(self.operations[-1].inputs[0])
        return handed

    def _drop(self, tensor: int) -> None:
        """Drop a value that is read by an operation whose derivative does not ask for it."""
        maker = self._makers.get(tensor)
        if maker is not None:
            self.ledger.values.drop(tensor, maker)

    def _plain(self, func: Callable[..., Any], args: Any, kwargs: Any, *, tainted: bool) -> Any:
        """Run a function through which no derivative goes."""
        step = tainted and self.ledger.are_steps(tensors_of((args, kwargs)))
        args, kwargs = self.constants(args), self.constants(kwargs)
        func, args, kwargs = at_inference(self.last, func, args, kwargs, self.path, live=tainted)
        result = func(*args, **kwargs)
        given = {memory(tensor) for tensor in tensors_of((args, kwargs))}
        for tensor in tensors_of(result):
            if tainted and self.last not in vocabulary.CONSTANT:
                self.ledger.taint(tensor, step=step or not tensor.is_floating_point())
            if memory(tensor) not in given - self.ledger.owned:
                self.ledger.own(tensor)
            self.ledger.keep(tensor)
        return result

    def _hand_out(self, tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            return self.ledger.track(tensor)
        if self.last in vocabulary.CONSTANT:
            self.ledger.own(tensor)
        else:
            self.ledger.taint(tensor, step=not tensor.is_floating_point())
        return tensor

    def _look(self, tensor: Tensor) -> None:
        """Bring a tensor up to date; record it if it reached the model past us."""
        ledger = self.ledger
        if ledger.moved or ledger.stale:
            follow(self, tensor)
        if tensor.grad_fn is None or id(tensor) in ledger.ids:
            return
        leaves = ledger.handed(leaves_of(tensor))
        if leaves:
            ledger.pinned.update(id(leaf) for leaf in leaves)
            for leaf in leaves:
                ledger.keep(leaf)
            ledger.bind(tensor, tensor.detach())
            self._operation(
                Call(Invocation(refuse, ()), tuple(leaves), (tensor,), (0,)),
                leaves,
                [tensor],
                as_read(
                    Traits(
                        kind="other",
                        function=type(tensor.grad_fn).__name__.removesuffix("Backward"),
                        note="it ran outside PyTorch's functions: a custom autograd function or a script",
                    )
                ),
            )

    def _operation(self, call: Call, inputs: list[Tensor], outputs: list[Tensor], traits: Traits) -> None:
        ids = self.ledger.ids
        self.operations.append(
            Operation(
                index=len(self.operations),
                path=self.path,
                inputs=tuple(ids[id(tensor)] for tensor in inputs),
                outputs=tuple(ids[id(tensor)] for tensor in outputs),
                call=call,
                kind=traits.kind,
                function=traits.function,
                parameters=traits.parameters,
                signs=traits.signs,
                channel_axis=traits.channel_axis,
                padding=traits.padding,
                constants=traits.constants,
                attributes=traits.attributes,
                group=self.group,
                note=traits.note,
            )
        )
