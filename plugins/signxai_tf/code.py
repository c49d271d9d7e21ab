"""What a Python function refers to: globals, the names of modules, closures, defaults, also in functions inside it."""

from __future__ import annotations

import dis
import functools
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from signxai_tf import private

#: Stands for a name that is not bound.
ABSENT = object()
#: Folders of Python's own modules and of installed packages.
_LIBRARIES = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: Modules inside modules that are followed.
_DEPTH = 4


def package(value: Any) -> str:
    """Return the name of the package that a function, class or module comes from."""
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


@functools.cache
def is_library(name: str) -> bool:
    """Return whether a package was installed, or is Python's own."""
    if name in private.STANDARD_LIBRARY:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str):
        return False
    return file.startswith(_LIBRARIES) or not _INSTALLED.isdisjoint(Path(file).parts)


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
