"""Composites: which rule goes to which operation, as data."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal

import attrs

from signxai_core.specs.nonlinear import AnyRule
from signxai_core.specs.operations import Kind
from signxai_core.specs.texts import listed

Position = Literal["first", "last"]


def _to_kinds(kinds: Iterable[Any] | None) -> frozenset[Kind] | None:
    return None if kinds is None else frozenset(listed("kinds", kinds))


def _to_functions(functions: Iterable[str] | None) -> frozenset[str] | None:
    return None if functions is None else frozenset(listed("functions", functions))


@attrs.frozen(kw_only=True)
class Where:
    """A condition on an operation; every part that is given must hold.

    Parameters
    ----------
    kinds
        Kinds of operation (:data:`~signxai_core.specs.operations.KINDS`, and those of plugins).
    functions
        Names of functions, as the recording prints them (``"relu"``).
    position
        ``"first"``: linear operations reached from the input through shape operations, padding, resizing
        and constant scaling only. ``"last"``: linear operations after which none follows.
    path
        Glob on the path of the layer in which the operation ran (``"features.*"``).
    """

    kinds: frozenset[Kind] | None = attrs.field(default=None, converter=_to_kinds)
    functions: frozenset[str] | None = attrs.field(default=None, converter=_to_functions)
    position: Position | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.in_(("first", "last")))
    )
    path: str | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.instance_of(str)))

    def matches(self, *, kind: Kind, function: str, positions: frozenset[Position], path: str) -> bool:
        """Return whether an operation with these properties is meant."""
        return (
            (self.kinds is None or kind in self.kinds)
            and (self.functions is None or function in self.functions)
            and (self.position is None or self.position in positions)
            and (self.path is None or fnmatchcase(path, self.path))
        )

    def __str__(self) -> str:
        parts: list[str] = [self.position or ""]
        parts += ["|".join(sorted(self.kinds)) if self.kinds is not None else ""]
        parts += ["|".join(sorted(self.functions)) if self.functions is not None else ""]
        parts += [f"path {self.path}" if self.path is not None else ""]
        return " ".join(part for part in parts if part) or "everything"


def _is_rule(_: object, __: attrs.Attribute[AnyRule], rule: object) -> None:
    if not isinstance(rule, AnyRule) or isinstance(rule, type):
        raise TypeError(f"a rule answers name, conserves, formula() and misfit(operation, shapes); got {rule!r}")


@attrs.frozen
class Entry:
    """One line of a composite.

    Parameters
    ----------
    where, rule
        Which operations get which rule.
    required
        A model without such an operation is an error; else its plan says so where a path is asked for.
    """

    where: Where = attrs.field(validator=attrs.validators.instance_of(Where))
    rule: AnyRule = attrs.field(validator=_is_rule)
    required: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool), kw_only=True)


def _globs(paths: Iterable[str]) -> tuple[str, ...]:
    return listed("frozen", paths)


def _entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return listed("entries", entries)


@attrs.frozen
class Composite:
    """An ordered list of (where, rule); the first entry that matches an operation wins.

    Parameters
    ----------
    entries
        In order of precedence.
    fold_normalisation
        Fold batch-normalisation, constant scaling and zero padding into the neighbouring linear
        operation, so that they are one operation to the rule.
    frozen
        Globs on paths of layers (``"*.x_proj"``): what they make is a constant where it is an operand of a
        product, in every rule that shares out among operands.
    """

    entries: tuple[Entry, ...] = attrs.field(
        converter=_entries,
        validator=attrs.validators.deep_iterable(attrs.validators.instance_of(Entry)),
    )
    fold_normalisation: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    frozen: tuple[str, ...] = attrs.field(default=(), converter=_globs)

    def __str__(self) -> str:
        return "\n".join(f"{entry.where}: {entry.rule.formula()}" for entry in self.entries)
