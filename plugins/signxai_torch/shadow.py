"""A model's shadow: the same weights in module objects of our own.

Recording needs inference mode and the path of the layer that runs. Setting either on the user's
modules would be seen by other threads and remain after a crash, so the model's tree of modules is
copied, without its tensors, and only the copy is touched.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict, deque
from typing import Any

import attrs
import torch
from torch import nn

from signxai_core.errors import ModelError
from signxai_torch.around import Around, modules_in
from signxai_torch.calls import ATOMS

_KEY = "signxai"
#: What every module has; the containers that a forward pass may touch are copied, the rest is shared.
_INTERNAL = nn.Module().__dict__.keys()
_INTERNAL_CONTAINERS = tuple(
    name for name, value in nn.Module().__dict__.items() if isinstance(value, (dict, set)) and "state_dict" not in name
)
#: Left out: they would put identity functions into the recording, and change its gradients.
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")
_CONTAINERS = (list, tuple, dict, set, OrderedDict, defaultdict, deque)


def unwrap(model: Any) -> Any:
    """Return the module inside ``torch.compile`` and data-parallel wrappers."""
    while isinstance(model, nn.Module):
        inner = model.__dict__.get("_modules", {})
        if "_orig_mod" in inner:
            model = inner["_orig_mod"]
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = inner["module"]
        else:
            break
    return model


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@attrs.frozen
class _Enter:
    """Forward pre-hook that notes the layer's path."""

    stack: list[str]
    path: str

    def __call__(self, *_: Any) -> None:
        self.stack.append(self.path)


@attrs.frozen
class _Leave:
    """Forward hook that forgets it, and those of layers that an exception left early."""

    stack: list[str]
    path: str

    def __call__(self, *_: Any) -> None:
        while self.stack and self.stack.pop() != self.path:
            pass


class Shadow:
    """Copies of a model's modules.

    Parameters
    ----------
    model
        The model, or a function or object that uses modules; only read.
    stack
        Receives the path of the layer that is running.
    """

    def __init__(self, model: Any, stack: list[str]) -> None:
        self._stack = stack
        self._copies: dict[int, Any] = {}
        self._originals: list[Any] = []
        model = unwrap(model)
        modules = modules_in(model)
        self._around = Around(self._value, several=len(modules) > 1)
        if len(modules) == 1:
            self._module(modules[0], "")  # its layers have the paths that they have without a function around it
        self.model = self._value(model, "")

    def close(self) -> None:
        """Empty the copies, so that no cycle among them keeps the recording alive."""
        for copy in self._copies.values():
            if isinstance(copy, nn.Module) and not isinstance(copy, torch.jit.ScriptModule):
                copy.__dict__.clear()
        self._copies.clear()
        self._around.close()
        self._originals.clear()

    def _keep(self, original: Any, copy: Any) -> Any:
        self._originals.append(original)
        self._copies[id(original)] = copy
        return copy

    def _module(self, module: nn.Module, path: str) -> nn.Module:
        module = unwrap(module)
        known = self._copies.get(id(module))
        if known is not None:
            return known  # type: ignore[no-any-return]
        if isinstance(module, torch.jit.ScriptModule):
            if module.training:
                raise ModelError(f"{path or 'the model'} is scripted and in training mode: call .eval() on it first")
            return module
        cls = type(module)
        shadow: nn.Module = self._keep(module, object.__new__(cls))
        state = module.__dict__
        children = {
            name: None if child is None else self._module(child, _join(path, name))
            for name, child in state["_modules"].items()
        }
        own = {
            name: value if type(value) in ATOMS else self._value(value, _join(path, name))
            for name, value in state.items()
            if name not in _INTERNAL
        }
        own |= {name: state[name].copy() for name in _INTERNAL_CONTAINERS if name in state}
        own |= {name: OrderedDict() for name in _BACKWARD_HOOKS}
        shadow.__dict__.update(state | own | {"training": False, "_compiled_call_impl": None})
        shadow.__dict__["_modules"].update(children)
        self._observe(shadow, path)
        return shadow

    def _observe(self, shadow: nn.Module, path: str) -> None:
        for parameter in shadow.__dict__["_parameters"].values():
            if torch.nn.parameter.is_lazy(parameter):
                raise ModelError(f"{path or 'the model'} has uninitialised (lazy) parameters: run the model once first")
        before = OrderedDict[Any, Any]({_KEY: _Enter(self._stack, path)})
        before.update(shadow.__dict__["_forward_pre_hooks"])
        shadow.__dict__["_forward_pre_hooks"] = before
        shadow.__dict__["_forward_hooks"][_KEY] = _Leave(self._stack, path)

    def _value(self, value: Any, path: str) -> Any:
        """Return an attribute with its containers copied and its modules replaced."""
        if isinstance(value, nn.Module):
            return self._module(value, path)
        if type(value) is functools.partial:
            return functools.partial(
                self._value(value.func, path), *self._value(value.args, path), **self._value(value.keywords, path)
            )
        if type(value) not in _CONTAINERS:
            return self._around.rebuild(value, path)
        if type(value) is tuple and all(type(item) in ATOMS for item in value):
            return value
        if id(value) in self._copies:
            return self._copies[id(value)]
        return self._container(value, path)

    def _container(self, value: Any, path: str) -> Any:
        if isinstance(value, tuple):
            return tuple(self._value(item, path) for item in value)
        copy = self._keep(value, value.copy())
        if isinstance(value, dict):
            copy.update({key: self._value(item, _join(path, str(key))) for key, item in value.items()})
        elif isinstance(value, (list, deque)):
            for index, item in enumerate(value):
                copy[index] = self._value(item, _join(path, str(index)))
        return copy
