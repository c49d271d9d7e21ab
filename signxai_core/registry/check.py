"""What registering cannot show: whether the factories that plugins name can be called, and return what they should."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

from signxai_core.registry import entries
from signxai_core.registry.manager import Owned, Problem, Registry
from signxai_core.specs.composites import Composite
from signxai_core.specs.conventions import TEXTBOOK
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.nonlinear import AnyRule
from signxai_core.specs.rules import LinearRule

#: What a word's factory returns, by role.
_RETURNS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "prefix": (*get_args(LinearRule), type(None)),
        "chain": (Composite,),
        "base": (MethodSpec,),
        "cam": (MethodSpec,),
    }
)


def check(found: Registry) -> tuple[Problem, ...]:
    """Call the factories of all rules, words and composites that need no numbers; backends are not made.

    Rules are made from their example. What plugins name is imported for this.
    """
    return tuple(_problems(found))


def _problems(found: Registry) -> Iterator[Problem]:
    for name, owned in found.rules.items():
        yield from _tried(f"rule {name!r}", owned, dict(owned.entry.example), (AnyRule,))
    for text, owned in found.words.items():
        yield from _tried(f"word {text!r}", owned, {"convention": TEXTBOOK}, _RETURNS[owned.entry.role])
    for name, owned in found.composites.items():
        yield from _tried(f"composite {name!r}", owned, {"convention": TEXTBOOK}, (Composite,))


def _tried(place: str, owned: Owned, arguments: dict[str, Any], returns: tuple[type, ...]) -> Iterator[Problem]:
    if owned.value is not None:
        return
    try:
        factory: Callable[..., Any] = entries.load(owned.entry.factory, owned.owner)
        if "convention" in arguments and not _takes(factory, arguments):
            return
        made = factory(**arguments)
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it is reported
        yield Problem(owned.owner, place, f"{owned.entry.factory}: {type(error).__name__}: {error}")
        return
    if not isinstance(made, returns):
        wanted = " or ".join("a rule" if kind is AnyRule else kind.__name__ for kind in returns)
        yield Problem(owned.owner, place, f"{owned.entry.factory} returned {made!r}, expected {wanted}")


def _takes(factory: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    """Return whether a factory can be called without the numbers that a name would give it."""
    parameters = inspect.signature(factory).parameters.values()
    needed = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
    return needed <= {*arguments}
