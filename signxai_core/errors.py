"""Every exception of the library, in one hierarchy below :class:`SignxaiError`.

A text says what was given, where, what was expected and what to do. Values stand in attributes.
Classes that narrow a built-in exception inherit from it too, so that ``except ValueError`` works.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SignxaiError(Exception):
    """Base of all exceptions of the library."""


class InputError(SignxaiError, ValueError):
    """The input cannot be explained as given."""


class InputShapeError(InputError):
    """The input's shape does not fit the model: batch axis, channels, sizes."""


class InputTypeError(InputError, TypeError):
    """The input is not an array of floating-point numbers."""


class InputValueError(InputError):
    """The input holds NaN or infinite numbers."""


class OutputError(SignxaiError, ValueError):
    """The model's output cannot be explained: NaN, several tensors, no batch axis."""


class RelevanceError(SignxaiError, ArithmeticError):
    """A map holds NaN or infinite numbers.

    Attributes
    ----------
    operation
        Where the first of them arose, with its rule; empty where no operation made it.
    """

    def __init__(self, message: str, *, operation: str = "") -> None:
        super().__init__(message)
        self.operation = operation


class TargetError(SignxaiError, ValueError):
    """The target does not name one output per sample."""


class ModelError(SignxaiError, RuntimeError):
    """The model could not be run or recorded."""


class BackendError(SignxaiError, RuntimeError):
    """No backend, or the wrong one, for a model."""


class UnsupportedOperationError(SignxaiError, NotImplementedError):
    """An operation of the model has no rule.

    Attributes
    ----------
    function, path
        Name of the function and path of the layer in which it ran.
    """

    def __init__(self, message: str, *, function: str = "", path: str = "") -> None:
        super().__init__(message)
        self.function = function
        self.path = path


class PlanError(SignxaiError, ValueError):
    """A method cannot be carried out on this model (no convolution for Grad-CAM, say)."""


class NameSyntaxError(SignxaiError, ValueError):
    """A method's name is not in the grammar.

    Attributes
    ----------
    name
        What was given.
    position
        Index into ``name`` at which it stops making sense.
    expected
        What could have stood there.
    nearest
        Known names that look similar.
    """

    def __init__(
        self, name: str, position: int, expected: Iterable[str], nearest: Iterable[str] = (), *, reason: str = ""
    ) -> None:
        self.name = name
        self.position = position
        self.expected = tuple(expected)
        self.nearest = tuple(nearest)
        lines = [f"unknown method name {name!r}: {reason or 'it stops making sense at the mark'}"]
        lines += [f"    {name}", f"    {' ' * position}^"]
        if self.expected:
            lines.append(f"expected here: {', '.join(self.expected)}")
        if self.nearest:
            lines.append(f"did you mean: {', '.join(self.nearest)}?")
        lines.append("all names of the published table: signxai_core.methods(), or 'signxai methods'")
        super().__init__("\n".join(lines))


class ParameterError(SignxaiError, TypeError):
    """A parameter that the method does not have, lacks, or cannot take."""


class PluginError(SignxaiError):
    """A plugin is broken, or two claim the same name."""


class UnknownNameError(SignxaiError, LookupError):
    """A name that nothing is registered under."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        near = nearest_names(name, self.known)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"unknown {what} {name!r}{hint} Known: {', '.join(self.known) or 'none'}.")


class ConfigError(SignxaiError, ValueError):
    """A configuration file holds mistakes; all of them are listed.

    Attributes
    ----------
    path
        The file.
    problems
        One text per mistake, each with its path in the file.
    """

    def __init__(self, path: str, problems: Iterable[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        count = f"{len(self.problems)} mistake{'s' if len(self.problems) > 1 else ''}"
        super().__init__("\n".join([f"{path}: {count}", *(f"  {problem}" for problem in self.problems)]))


class FileError(SignxaiError, OSError):
    """A file cannot be read or written as asked."""


class SignxaiWarning(UserWarning):
    """Something was done that the user should know about; never raised for a changed answer."""


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the ``count`` known names most similar to ``name``."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.6)
