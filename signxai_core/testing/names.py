"""Hypothesis strategies of method names, made from the words that are registered.

A plugin's words are drawn like our own.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hypothesis import strategies as st

from signxai_core.grammar.numbers import number_to_text
from signxai_core.registry import Word, registry

_SLOT: Final = re.compile(r"\{(\w+)\}")
_NUMBERS: Final = (0.01, 0.25, 0.5, 1.0, 2.5, 20.0)
_THRESHOLDS: Final = (0.0, 0.5, -0.5, 0.37, -1.25)


def _words(role: str) -> list[Word]:
    return [owned.entry for owned in registry().words.values() if owned.entry.role == role]


def _filled(word: Word) -> st.SearchStrategy[str]:
    """Draw numbers for a word's slots; ``beta`` is ``alpha − 1``, as alpha-beta wants it."""

    def text(numbers: dict[str, float]) -> str:
        if {"alpha", "beta"} <= set(numbers):
            numbers = {**numbers, "alpha": 1 + numbers["beta"]}
        return _SLOT.sub(lambda slot: number_to_text(numbers[slot.group(1)]), word.text)

    return st.fixed_dictionaries({slot: st.sampled_from(_NUMBERS) for slot in word.slots}).map(text)


def _word(role: str) -> st.SearchStrategy[str]:
    return st.sampled_from(_words(role)).flatmap(_filled)


def _numbers() -> st.SearchStrategy[str]:
    return st.sampled_from(_THRESHOLDS).map(number_to_text)


def _presets() -> st.SearchStrategy[str]:
    return st.sampled_from(["", "", *(f"_{name}" for name in registry().presets)])


@st.composite
def lrp_names(draw: st.DrawFn) -> str:
    """Draw ``prefix_chain[_mu_number][_preset]``; ``mu`` only behind a prefix that has a sign."""
    prefix = draw(_word("prefix"))
    mu = f"_mu_{draw(_numbers())}" if "sign" in prefix and draw(st.booleans()) else ""
    return f"{prefix}_{draw(_word('chain'))}{mu}{draw(_presets())}"


@st.composite
def gradient_names(draw: st.DrawFn) -> str:
    """Draw ``base[_x_input | _x_sign[_mu[_number]]]``."""
    tail = draw(st.sampled_from(("", "_x_input", "_x_sign", "_x_sign_mu", "_x_sign_mu_")))
    return f"{draw(_word('base'))}{tail}{draw(_numbers()) if tail.endswith('mu_') else ''}"


@st.composite
def cam_names(draw: st.DrawFn, *, series: bool) -> str:
    """Draw a class-activation map, those of time series among them where ``series``."""
    words = [word for word in _words("cam") if series or "timeseries" not in word.text]
    return f"{draw(st.sampled_from(words).flatmap(_filled))}{draw(_presets())}"


#: Parameters that a name may leave open, and few samples.
PARAMETERS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "mu": st.sampled_from(_THRESHOLDS),
    "low": st.sampled_from((-4.0, -6.0)),
    "high": st.sampled_from((4.0, 5.0)),
    "samples": st.integers(1, 3),
    "noise": st.sampled_from((0.05, 0.2)),
    "random_state": st.integers(0, 5),
    "steps": st.integers(1, 4),
    "baseline": st.sampled_from((0.0, 0.5, -1.0)),
}
