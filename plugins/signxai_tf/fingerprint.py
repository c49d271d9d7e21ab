"""Whether a model is still the one that was traced.

Weights may change freely: a trace reads them anew each time. What a trace has frozen is the model's Python
state (an exchanged activation, another layer in a list, a global that ``call`` reads, an array's numbers).
A fingerprint holds numbers and texts by value, arrays by a digest of their content, all other objects by
identity; a model with another fingerprint is traced again.

Taking a fingerprint means to decide for every object what of it matters. Whether a fingerprint is still true
needs no decision: the same objects are read in the same order, and are to hold the same.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Hashable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import tensorflow as tf

from signxai_core.libraries import package
from signxai_tf.content import by_content, digest, is_opaque
from signxai_tf.state import Reader, reader, settings

#: Types whose values compare as they should; others compare as their texts.
_VALUES = frozenset({bool, int, str, bytes, type(None), types.CodeType, types.EllipsisType})
_TEXTS = frozenset(
    {Fraction, Decimal, range, slice, tf.TensorShape, types.WrapperDescriptorType, types.MethodDescriptorType}
    | {types.ClassMethodDescriptorType, types.MemberDescriptorType, types.GetSetDescriptorType}
)

#: What tells 0 from −0, and plain objects, which stay alive with the fingerprint, from each other.
_SPELLED: dict[type, Callable[[Any], Hashable]] = {
    float: float.hex,
    complex: lambda value: (value.real.hex(), value.imag.hex()),
    object: id,
}

#: An object that was read: its place among all that was read before, the identity of its type, what reads it, and
#: how much has been read with it.
_Visit = tuple[int, int, Reader, int]


@attrs.frozen(cache_hash=True)
class Fingerprint:
    """A value that changes when the model's Python state does.

    Parameters
    ----------
    facts
        What was read: plain values as they are, arrays by digest, all others by identity.
    doubts
        What could not be read, in words: whether it has changed shows in the model's output alone.
    """

    facts: tuple[Hashable, ...]
    doubts: tuple[str, ...]
    _settings: tuple[Hashable, ...] = attrs.field(eq=False, repr=False)
    _visits: tuple[_Visit, ...] = attrs.field(eq=False, repr=False)
    _digests: tuple[tuple[int, Hashable], ...] = attrs.field(eq=False, repr=False)
    _identities: list[int] = attrs.field(eq=False, repr=False)
    #: Plain values, which stay alive with it so that no other gets their identity, and all others weakly:
    #: a fingerprint keeps no model alive.
    _plain: tuple[Any, ...] = attrs.field(eq=False, repr=False)
    _others: tuple[weakref.ref[Any], ...] = attrs.field(eq=False, repr=False)

    def holds(self, model: Any) -> bool:
        """Return whether every object still holds the same; if not, another fingerprint may still be equal."""
        found = [model]
        for place, kind, read, end in self._visits:
            value = found[place]
            if id(type(value)) != kind:  # another object may have got the identity of one that is gone
                return False
            parts = read(value)
            if parts is None:
                return False
            found += parts
            if len(found) != end:
                return False
        return (
            [*map(id, found)] == self._identities
            and all(other() is not None for other in self._others)
            and all(digest(found[place]) == known for place, known in self._digests)
            and settings() == self._settings
        )


def fingerprint(model: Any) -> Fingerprint:
    """Return the fingerprint of a model."""
    taking = _Taking([model])
    taking.note(0, "")
    while len(taking.visits) < len(taking.waiting):
        place, read, inside = taking.waiting[len(taking.visits)]
        start = len(taking.found)
        taking.found += read(taking.found[place]) or ()
        taking.visits.append((place, id(type(taking.found[place])), read, len(taking.found)))
        taking.note(start, inside)
        taking.facts.append(getattr(read, "names", ()))
    return Fingerprint(
        (*settings(), *taking.facts),
        tuple(dict.fromkeys(taking.doubts)),
        settings(),
        tuple(taking.visits),
        tuple(taking.digests),
        [*map(id, taking.found)],
        tuple(taking.plain),
        tuple(taking.others.values()),
    )


@attrs.define(eq=False)
class _Taking:
    """A fingerprint that is being taken.

    Attributes
    ----------
    found
        All objects so far, which are kept alive so that their identities stay theirs.
    waiting
        Those that are to be read: their places, what reads them, and the packages they are read in.
    """

    found: list[Any]
    facts: list[Hashable] = attrs.field(factory=list)
    doubts: list[str] = attrs.field(factory=list)
    waiting: list[tuple[int, Reader, str]] = attrs.field(factory=list)
    visits: list[_Visit] = attrs.field(factory=list)
    digests: list[tuple[int, Hashable]] = attrs.field(factory=list)
    plain: list[Any] = attrs.field(factory=list)
    others: dict[int, weakref.ref[Any]] = attrs.field(factory=dict)
    _seen: dict[int, int] = attrs.field(factory=dict)

    def note(self, start: int, inside: str) -> None:
        """Note the objects that were found last, inside an object of a package."""
        self.facts.append(len(self.found) - start)
        for place in range(start, len(self.found)):
            self._note(place, inside)

    def _note(self, place: int, inside: str) -> None:
        value = self.found[place]
        exact = _exact(value)
        if exact is not None:
            self.plain.append(value)
            self.facts.append(exact)
            return
        if is_opaque(value):
            self.doubts.append(_described(value))
            self.facts.append(self._identity(value))
            return
        content = digest(value)
        if content is not None:
            self.digests.append((place, content))
            self.facts.append(content)
        read = None if id(value) in self._seen else reader(value, inside)
        if read is not None:
            self.waiting.append((place, read, _package_of(value) or inside))
            self._seen[id(value)] = len(self.waiting)
        if by_content(value):
            self.facts.append((type(value).__qualname__, self._seen.get(id(value))))
        else:
            self.facts.append(self._identity(value))

    def _identity(self, value: Any) -> Hashable:
        """Return what no other object has, now or later."""
        try:
            reference = weakref.ref(value)  # the same one for all who ask, as long as the object lives
        except TypeError:
            if id(value) not in self._seen:
                self.doubts.append(_described(value))
            return "without an identity", type(value).__qualname__, self._seen.get(id(value))
        self.others[id(reference)] = reference
        return id(reference)


def _package_of(value: Any) -> str:
    """Return the package in which what an object holds is read."""
    if isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return package(value)
    return package(type(value))


def _described(value: Any) -> str:
    return f"a {type(value).__qualname__}"


def _exact(value: Any) -> Hashable:
    """Return what tells a value that cannot change from any other; ``None`` for what can change."""
    kind = type(value)
    if kind in _VALUES:
        return kind, value
    if kind in _SPELLED:
        return kind, _SPELLED[kind](value)
    if kind in _TEXTS or isinstance(value, (tf.dtypes.DType, np.dtype)):
        return kind, repr(value)
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return value.dtype.str, value.tobytes()
    if kind is tuple:
        items = tuple(_exact(item) for item in value)
        return None if None in items else (kind, items)
    return None
