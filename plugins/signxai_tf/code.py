"""What a Python function refers to: globals, the names of modules, closures, defaults, also in functions inside it."""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterator
from typing import Any

import attrs

from signxai_core.libraries import is_library, package

#: Stands for a name that is not bound.
ABSENT = object()
#: Modules inside modules that are followed.
_DEPTH = 4


@attrs.frozen(eq=False)
class Function:
    """Reads what a function refers to.

    Parameters
    ----------
    code
        The function's code; with another one it is another function.
    names
        Names of its globals, bound or not.
    paths
        Names of attributes of modules: where the module is (a global, the place of a closure's variable, or a
        key of ``sys.modules``), then attributes.
    """

    code: types.CodeType
    names: tuple[str, ...]
    paths: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, value: types.FunctionType) -> Function:
        """Return what reads a function."""
        codes = [*_codes(value.__code__)]
        names = tuple(dict.fromkeys(name for code in codes for name in _names(code)))
        cells = range(len(value.__closure__ or ()))
        reader = cls(value.__code__, names, ())
        roots = [*((name,) for name in names), *((place,) for place in cells), *_imported(value, codes)]
        return attrs.evolve(reader, paths=tuple(path for root in roots for path in reader._paths(value, root, names)))

    def _paths(self, value: Any, path: tuple[Any, ...], names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield the paths that go on from a module."""
        module = self._follow(value, path)
        if not isinstance(module, types.ModuleType):
            return
        held, library = vars(module), is_library(package(module))
        for name in names:
            if name in held or not library:
                yield (*path, name)
                if len(path) < _DEPTH and name in held:
                    yield from self._paths(value, (*path, name), names)

    def _follow(self, value: Any, path: tuple[Any, ...]) -> Any:
        root = path[0]
        if isinstance(root, int):
            found = _content(value.__closure__[root])
        elif root in value.__globals__:
            found = value.__globals__[root]
        else:
            found = sys.modules.get(root, ABSENT)
        for name in path[1:]:
            found = vars(found).get(name, ABSENT) if isinstance(found, types.ModuleType) else ABSENT
        return found

    def __call__(self, value: Any) -> list[Any] | None:
        """Return what the function refers to."""
        if value.__code__ is not self.code:
            return None
        known = value.__globals__
        cells = [_content(cell) for cell in value.__closure__ or ()]
        found = [known.get(name, ABSENT) for name in self.names]
        found += [self._follow(value, path) for path in self.paths]
        return [self.code, value.__defaults__, value.__kwdefaults__, value.__dict__, *cells, *found]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and those of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield names of globals and attributes, and texts that may be such names."""
    yield from code.co_names
    yield from (text for text in code.co_consts if isinstance(text, str) and text.isidentifier())


def _imported(value: types.FunctionType, codes: list[types.CodeType]) -> Iterator[tuple[str]]:
    """Yield the modules that a function imports when it runs, as far as they are loaded."""
    for code in codes:
        for step in dis.get_instructions(code) if any(name in sys.modules for name in code.co_names) else ():
            if step.opname == "IMPORT_NAME":
                inner = f"{value.__globals__.get('__package__') or ''}.{step.argval}"
                yield from ((name,) for name in (step.argval, inner) if name in sys.modules)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell: a name that is not bound yet
        return ABSENT
