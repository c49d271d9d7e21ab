"""Numbers in names: ``number = ["neg_"] digits ["_" digits]``; ``0_25`` is 0.25."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

NEGATIVE = "neg"


def number_to_text(value: float) -> str:
    """Return the canonical spelling of a number.

    Examples
    --------
    >>> number_to_text(0.25), number_to_text(-1.0), number_to_text(1e-6)
    ('0_25', 'neg_1', '0_000001')
    """
    text = format(Decimal(repr(float(abs(value)))), "f")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    sign = f"{NEGATIVE}_" if value < 0 else ""
    return f"{sign}{whole}_{fraction}" if fraction else f"{sign}{whole}"


def match_number(tokens: Sequence[str], start: int) -> Iterator[tuple[int, float]]:
    """Yield (end, value) for every number that starts at token ``start``, the longest first."""
    index, sign = start, 1.0
    if index < len(tokens) and tokens[index] == NEGATIVE:
        index, sign = index + 1, -1.0
    if index >= len(tokens) or not _digits(tokens[index]):
        return
    if index + 1 < len(tokens) and _digits(tokens[index + 1]):
        yield index + 2, sign * float(f"{tokens[index]}.{tokens[index + 1]}")
    yield index + 1, sign * float(tokens[index])


def _digits(token: str) -> bool:
    return token.isascii() and token.isdigit()
