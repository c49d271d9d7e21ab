"""Functions and objects around modules, rebuilt around the modules' copies.

``lambda x: model(x)[0]`` uses a module as well as ``model`` does, and its copy is to run at inference. What refers
to no module is used as it is; of the rest a copy is made that refers to copies, and the user's stays as it is.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from signxai_core.libraries import is_library, package

_CONTAINERS = (list, tuple, set, dict)
#: Cells are equal if what they hold is, or if both hold nothing yet.
_UNBOUND = types.CellType()


def modules_in(value: Any) -> list[nn.Module]:
    """Return the modules that a function, object or container refers to, without those inside them."""
    return list({id(module): module for module in _modules(value, set())}.values())


def _modules(value: Any, seen: set[int]) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        for part in _parts(value):
            yield from _modules(part, seen)


def _parts(value: Any) -> list[Any]:
    """Return what an object refers to, as far as a model may lie there."""
    if isinstance(value, types.FunctionType):
        arguments = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
        return [*arguments, *_cells(value).values(), *_globals(value).values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if type(value) is functools.partial:
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, _CONTAINERS):
        return [*(value.values() if isinstance(value, dict) else value)]
    return [*_attributes(value).values(), *_methods(type(value)).values()] if _is_own(value) else []


def _is_own(value: Any) -> bool:
    """Return whether an object is one of a user's class."""
    return not isinstance(value, (type, types.ModuleType)) and not is_library(package(type(value)))


def _cells(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables that a function closes over, as far as they are bound."""
    named = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in named if cell != _UNBOUND}


def _globals(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals that a user's function names, also in functions inside it."""
    if is_library(package(function)):
        return {}
    known = function.__globals__
    return {name: known[name] for name in _names(function.__code__) if name in known}


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots included."""
    slots = [name for base in type(value).__mro__ if "__slots__" in vars(base) for name in vars(base)]
    members = [name for name in slots if isinstance(getattr(type(value), name, None), types.MemberDescriptorType)]
    held = {name: getattr(value, name) for name in members if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def _methods(kind: type) -> dict[str, types.FunctionType]:
    """Return the functions of a user's class."""
    own = [vars(base) for base in reversed(kind.__mro__) if not is_library(package(base))]
    return {name: held for found in own for name, held in found.items() if isinstance(held, types.FunctionType)}


class Around:
    """Rebuilds functions and objects.

    Parameters
    ----------
    replace
        Returns what takes a value's place; the text is the path of what is inside it.
    several
        There are several modules, whose paths begin with the names of what refers to them.
    """

    def __init__(self, replace: Callable[[Any, str], Any], *, several: bool) -> None:
        self._replace = replace
        self._several = several
        self._made: dict[int, tuple[Any, Any]] = {}  # with the original, whose identity stays its own

    def close(self) -> None:
        """Empty the copies of globals, so that no cycle keeps anything alive."""
        self._replace = _closed
        for _, made in self._made.values():
            if isinstance(made, dict):
                made.clear()
        self._made.clear()

    def rebuild(self, value: Any, path: str) -> Any:
        """Return a function or object that uses the modules' copies, or the same where it uses no module."""
        if id(value) in self._made:
            return self._made[id(value)][1]
        if not isinstance(value, (types.FunctionType, types.MethodType)) and not _is_own(value):
            return value
        if not modules_in(value):
            return value
        if isinstance(value, types.MethodType):
            return types.MethodType(self._replace(value.__func__, path), self._replace(value.__self__, path))
        return self._function(value, path) if isinstance(value, types.FunctionType) else self._object(value, path)

    def _keep(self, original: Any, made: Any) -> Any:
        self._made[id(original)] = original, made
        return made

    def _part(self, name: str, value: Any, path: str) -> Any:
        if not modules_in(value):
            return value
        return self._replace(value, (f"{path}.{name}" if path else name) if self._several else path)

    def _parts(self, held: dict[str, Any], path: str) -> dict[str, Any]:
        return {name: self._part(name, value, path) for name, value in held.items()}

    def _function(self, value: types.FunctionType, path: str) -> types.FunctionType:
        known = self._made.get(id(value.__globals__))
        names = self._keep(value.__globals__, dict(value.__globals__)) if known is None else known[1]
        cells = [self._cell(cell) for cell in value.__closure__ or ()]
        made = types.FunctionType(value.__code__, names, value.__name__, None, tuple(cells))
        self._keep(value, made)
        made.__qualname__, made.__module__ = value.__qualname__, value.__module__
        made.__dict__.update(self._parts(vars(value), path))
        if value.__defaults__ is not None:
            last = value.__code__.co_varnames[: value.__code__.co_argcount][-len(value.__defaults__) :]
            made.__defaults__ = tuple(map(self._part, last, value.__defaults__, [path] * len(last)))
        if value.__kwdefaults__ is not None:
            made.__kwdefaults__ = self._parts(value.__kwdefaults__, path)
        for (name, held), cell in zip(_cells(value).items(), _bound(value, cells), strict=True):
            cell.cell_contents = self._part(name, held, path)
        names.update(self._parts(_globals(value), path))
        return made

    def _cell(self, cell: types.CellType) -> types.CellType:
        """Return the copy of a cell, which functions that share the cell share."""
        made: types.CellType = self._made[id(cell)][1] if id(cell) in self._made else self._keep(cell, types.CellType())
        return made

    def _object(self, value: Any, path: str) -> Any:
        kind = type(value)
        methods = {name: method for name, method in _methods(kind).items() if modules_in(method)}
        if methods and type(kind) is type:
            replaced = {name: self._replace(method, path) for name, method in methods.items()}
            kind = type(kind.__name__, (kind,), {"__module__": kind.__module__, **replaced})
        made = self._keep(value, object.__new__(kind))
        for name, held in self._parts(_attributes(value), path).items():
            object.__setattr__(made, name, held)
        return made


def _closed(value: Any, path: str) -> Any:
    """Replace nothing any more."""
    return value


def _bound(function: types.FunctionType, cells: list[types.CellType]) -> Iterator[types.CellType]:
    """Yield those of a function's new cells whose variables are bound."""
    known = _cells(function)
    return (cell for name, cell in zip(function.__code__.co_freevars, cells, strict=True) if name in known)
