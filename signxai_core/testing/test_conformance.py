"""The conformance suite with pytest.

``SIGNXAI_BACKEND=name pytest --pyargs signxai_core.testing`` tests one backend (several are
separated by commas); without the variable, every registered one
that the engine walks. A framework that is missing is a
failure.
"""

from __future__ import annotations

import functools
import os
from typing import Final

import pytest

from signxai_core.errors import SignxaiError
from signxai_core.registry import registry
from signxai_core.testing.conformance import Case, Subject, cases, load_subject

_CHOSEN: Final = [name.strip() for name in os.environ.get("SIGNXAI_BACKEND", "").split(",") if name.strip()]
_WALKED: Final = [name for name, owned in registry().backends.items() if not owned.entry.executor]
_CASES: Final = {case.id: case for case in cases()}


@functools.cache
def _subject(backend: str) -> Subject | SignxaiError:
    """Return the backend, or why there is none; tried once, not once per case."""
    try:
        return load_subject(backend)
    except SignxaiError as error:
        return error


@pytest.mark.parametrize("backend", _CHOSEN or _WALKED)
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in _CASES.items()])
def test_conformance(backend: str, case: Case) -> None:
    """Every case on every chosen backend."""
    if case.undecided is not None:
        pytest.xfail(case.undecided)
    tested = _subject(backend)
    if isinstance(tested, SignxaiError):
        pytest.fail(f"backend {backend!r} cannot be tested: {tested}")
    absent = tested.absent(case.place)
    if absent is not None:
        pytest.skip(absent)
    case.check(tested)


def test_there_is_a_backend() -> None:
    """An empty choice is no success."""
    assert _CHOSEN or _WALKED, "no backend is registered"
