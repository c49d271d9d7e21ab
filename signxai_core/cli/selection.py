"""Which methods a call means: names, patterns, and what a pattern leaves out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import attrs

import signxai_core as sx
from signxai_core.errors import InputError, PlanError
from signxai_core.grammar import parameters
from signxai_core.registry import registry
from signxai_core.specs import MISSING, MethodSpec

ALL = "all"


@attrs.frozen
class Selection:
    """Names of methods as they were asked for, and those that a pattern meant but this input cannot have.

    Parameters
    ----------
    names
        In the order of the request, each once.
    named
        Those that were asked for by themselves, and not by a pattern alone.
    left_out
        Name -> reason.
    """

    names: tuple[str, ...]
    named: frozenset[str] = frozenset()
    left_out: dict[str, str] = attrs.field(factory=dict)


def matching(pattern: str, *, beyond: bool = False) -> list[str]:
    """Return the names that a glob pattern means: listed ones, and those that a loaded file declares.

    ``beyond``: names beyond the published table, too.
    """
    return [name for name in (*sx.methods(all=beyond), *registry().declared) if fnmatchcase(name, pattern)]


def select(wanted: Sequence[str], *, exclude: Sequence[str] = (), ndim: int, given: Collection[str] = ()) -> Selection:
    """Expand names, patterns and ``all``.

    A name asked for by itself is always kept: where it cannot be carried out, the call fails and
    says why. A pattern leaves out, with the reason, what does not apply to the input.

    Parameters
    ----------
    wanted
        Names, glob patterns over ``methods()``, or ``all``.
    exclude
        Glob patterns of names to drop.
    ndim
        Axes of the input, the batch axis included.
    given
        Names of the parameters that the caller gives.
    """
    kept: dict[str, None] = {}
    named: set[str] = set()
    left_out: dict[str, str] = {}
    for text in wanted:
        if text != ALL and not _is_pattern(text):
            sx.parse(text)
            kept[text] = None
            named.add(text)
            continue
        names = matching("*" if text == ALL else text)
        if not names:
            raise InputError(f"no listed method matches {text!r}; 'signxai methods' lists them")
        for name in names:
            reason = _obstacle(sx.parse(name), ndim, given)
            if reason is None:
                kept[name] = None
            else:
                left_out[name] = reason
    names = [name for name in kept if not any(fnmatchcase(name, pattern) for pattern in exclude)]
    if not names:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"no method is left to compute{':' if reasons else '; --exclude drops all'}{reasons}")
    return Selection(tuple(names), frozenset(named), left_out)


def canonical(name: str) -> str:
    """Return the grammar's spelling of a name, and the name itself where the grammar has none for what it means."""
    spec = sx.parse(name)
    try:
        return sx.name(spec)
    except PlanError:
        return name


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _obstacle(spec: MethodSpec, ndim: int, given: Collection[str]) -> str | None:
    """Return why a method cannot have this input, as far as its spec tells."""
    if spec.cam is not None and spec.cam.series and ndim != 3:
        return f"for inputs with one spatial axis; this one has {max(ndim - 2, 0)}"
    missing = [name for name in open_parameters(spec) if name not in given]
    return f"needs {' and '.join(f'--set {name}=...' for name in missing)}" if missing else None


def open_parameters(spec: MethodSpec) -> list[str]:
    """Return the parameters that the method's name leaves to the caller."""
    return [name for name, parameter in parameters(spec, registry()).items() if parameter.value is MISSING]
