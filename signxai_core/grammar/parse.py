"""Names to methods: the grammar of attribution methods.

    name      = gradient | cam | lrp
    gradient  = base [ "_x_input" | "_x_sign" [ "_mu" [ "_" number ] ] ]
    cam       = cam-word [ "_" preset ]
    lrp       = prefix "_" chain [ "_mu_" number ] [ "_" preset ]

Words (bases, cam-words, prefixes, chains) and presets come from the registry; ``{slot}`` in a word
takes a number. Parsing backtracks over all readings; the error shows the furthest place reached.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import attrs

from signxai_core.errors import NameSyntaxError, nearest_names
from signxai_core.grammar.numbers import match_number
from signxai_core.registry import Owned, Registry
from signxai_core.specs import KEEP, MISSING, Convention, MethodSpec, Phrase, Rule, Sign
from signxai_core.specs.fill import bounds, thresholds, with_bound, with_mu

_SLOT = re.compile(r"\{\w+\}")


@attrs.frozen
class Reading:
    """One way to read a name to its end."""

    word: Owned
    numbers: tuple[float, ...] = ()
    prefix: Owned | None = None
    sign: bool = False
    times_input: bool = False
    mu: float | None = None
    missing_mu: bool = False
    preset: Owned | None = None


@attrs.define
class _Reader:
    """Backtracking reader over the ``_``-separated tokens of one name."""

    tokens: list[str]
    registry: Registry
    furthest: int = 0
    expected: list[str] = attrs.field(factory=list)

    def read(self) -> Reading | None:
        """Return the first reading that uses up all tokens."""
        return next((reading for end, reading in self._name() if self._ends(end)), None)

    def _ends(self, end: int) -> bool:
        if end == len(self.tokens):
            return True
        self._expect(end, "the end of the name")
        return False

    def _expect(self, index: int, what: str) -> None:
        if index > self.furthest:
            self.furthest, self.expected = index, []
        if index == self.furthest and what not in self.expected:
            self.expected.append(what)

    def _literal(self, index: int, *words: str) -> bool:
        for offset, word in enumerate(words):
            if index + offset >= len(self.tokens) or self.tokens[index + offset] != word:
                self._expect(index + offset, repr("_".join(words[offset:])))
                return False
        return True

    def _word(self, role: str, start: int) -> Iterator[tuple[int, Owned, tuple[float, ...]]]:
        """Yield every word of a role that matches from ``start``, longest words first."""
        words = [owned for owned in self.registry.words.values() if owned.entry.role == role]
        for owned in sorted(words, key=lambda owned: -len(owned.entry.text)):
            parts = owned.entry.text.split("_")
            for end, numbers in self._parts(parts, start, ()):
                yield end, owned, numbers

    def _parts(
        self, parts: list[str], index: int, numbers: tuple[float, ...]
    ) -> Iterator[tuple[int, tuple[float, ...]]]:
        if not parts:
            yield index, numbers
        elif _SLOT.fullmatch(parts[0]):
            found = False
            for end, value in match_number(self.tokens, index):
                found = True
                yield from self._parts(parts[1:], end, (*numbers, value))
            if not found:
                self._expect(index, f"a number for {parts[0]}")
        elif index < len(self.tokens) and self.tokens[index] == parts[0]:
            yield from self._parts(parts[1:], index + 1, numbers)
        else:
            self._expect(index, repr(_SLOT.sub("<number>", "_".join(parts))))

    def _name(self) -> Iterator[tuple[int, Reading]]:
        yield from self._gradient()
        yield from self._cam()
        yield from self._lrp()

    def _gradient(self) -> Iterator[tuple[int, Reading]]:
        for end, word, numbers in self._word("base", 0):
            base = Reading(word, numbers)
            if self._literal(end, "x", "input"):
                yield end + 2, attrs.evolve(base, times_input=True)
            if self._literal(end, "x", "sign"):
                signed = attrs.evolve(base, sign=True)
                if self._literal(end + 2, "mu"):
                    for after, mu in self._number(end + 3):
                        yield after, attrs.evolve(signed, mu=mu)
                    yield end + 3, attrs.evolve(signed, missing_mu=True)
                yield end + 2, signed
            yield end, base

    def _number(self, index: int) -> Iterator[tuple[int, float]]:
        found = list(match_number(self.tokens, index))
        if not found:
            self._expect(index, "a number")
        yield from found

    def _cam(self) -> Iterator[tuple[int, Reading]]:
        for end, word, numbers in self._word("cam", 0):
            yield from self._preset(end, Reading(word, numbers))

    def _lrp(self) -> Iterator[tuple[int, Reading]]:
        for start, prefix, _ in self._word("prefix", 0):
            for end, chain, numbers in self._word("chain", start):
                reading = Reading(chain, numbers, prefix)
                if self._literal(end, "mu"):
                    for after, mu in self._number(end + 1):
                        yield from self._preset(after, attrs.evolve(reading, mu=mu))
                yield from self._preset(end, reading)

    def _preset(self, index: int, reading: Reading) -> Iterator[tuple[int, Reading]]:
        for name, owned in self.registry.presets.items():
            parts = name.split("_")
            if self.tokens[index : index + len(parts)] == parts:
                yield index + len(parts), attrs.evolve(reading, preset=owned)
            else:
                self._expect(index, f"preset {name}")
        yield index, reading


def parse(name: str, registry: Registry, convention: Convention) -> MethodSpec:
    """Return the method that a name stands for.

    Parameters
    ----------
    name
        A name of the grammar, or an alias of one.
    registry
        Source of the words.
    convention
        Passed to every factory.

    Raises
    ------
    NameSyntaxError
        With the place, what was expected there and the nearest names.
    """
    if not isinstance(name, str):
        raise NameSyntaxError(repr(name), 0, ("a string",), reason=f"a name is a string, got {type(name).__name__}")
    return _parsed(name, registry, convention)


@functools.lru_cache(maxsize=1024)
def _parsed(name: str, registry: Registry, convention: Convention) -> MethodSpec:
    if name in registry.declared:
        return registry.declared[name]
    reading, reader = _read(name, registry)
    if reading is None:
        position = min(len("_".join([*reader.tokens[: reader.furthest], ""])), len(name))
        near = nearest_names(name, (*registry.listed(), *registry.aliases(), *registry.declared))
        raise NameSyntaxError(name, position, reader.expected, near)
    return _build(name, reading, convention)


def _read(name: str, registry: Registry) -> tuple[Reading | None, _Reader]:
    """Read a name, without the words of files where it can be: they never change what a name means."""
    tokens = registry.aliases().get(name, name).split("_")
    if registry.base is not None:
        reader = _Reader(tokens, registry.base)
        reading = reader.read()
        if reading is not None:
            return reading, reader
    reader = _Reader(tokens, registry)
    return reader.read(), reader


def reads(name: str, registry: Registry) -> bool:
    """Return whether the grammar can read a name, apart from methods that files declare under it."""
    return _read(name, registry)[0] is not None


def _build(name: str, reading: Reading, convention: Convention) -> MethodSpec:
    """Turn a reading into a method."""
    word = reading.word.entry
    try:
        part = make(reading.word, reading.numbers, convention)
    except ValueError as error:
        position = max(name.find(word.text.partition("{")[0]), 0)
        raise NameSyntaxError(name, position, (), reason=str(error)) from error
    spec = part if isinstance(part, MethodSpec) else MethodSpec(family="lrp", composite=part, seed="logit")
    spec = attrs.evolve(spec, convention=convention.name, phrase=Phrase(word.text, reading.numbers))
    if reading.prefix is not None:
        input_layer: Rule | None = make(reading.prefix, (), convention)
        spec = attrs.evolve(spec, input_layer=input_layer, prefix=reading.prefix.entry.text)
    if reading.times_input:
        spec = attrs.evolve(spec, modifier=KEEP)
    if reading.sign:
        spec = attrs.evolve(spec, modifier=Sign(MISSING if reading.missing_mu else None))
    if reading.mu is not None:
        if not thresholds(spec):
            reason = f"'mu' needs a sign to apply to; the input-layer rule of {spec.prefix!r} has none"
            raise NameSyntaxError(name, name.index("_mu_") + 1, (), reason=reason)
        spec = with_mu(spec, reading.mu)
    return spec if reading.preset is None else _with_preset(spec, reading.preset)


def make(owned: Owned, numbers: tuple[float, ...], convention: Convention) -> Any:
    """Call a word's factory with its slots filled."""
    return owned.make(convention=convention, **dict(zip(owned.entry.slots, numbers, strict=True)))


def _with_preset(spec: MethodSpec, owned: Owned) -> MethodSpec:
    preset = owned.entry
    for side, value in (("low", preset.low), ("high", preset.high)):
        if value is not None and bounds(spec, side):
            spec = with_bound(spec, side, value)
    return attrs.evolve(spec, preset=preset)
