"""Run the suite and say what failed and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import attrs

from signxai_core.errors import UnsupportedOperationError
from signxai_core.testing.conformance.cases import TOPICS, Case, cases
from signxai_core.testing.conformance.subject import DisagreementError, Subject, load_subject

Status = Literal["passed", "failed", "missing", "undecided", "absent"]
_WIDTH = 200
_SHOWN = 12


@attrs.frozen
class Outcome:
    """What came of one case."""

    case: Case
    status: Status
    text: str = ""


@attrs.frozen
class Report:
    """What came of the suite; print it.

    Parameters
    ----------
    backend
        Its name.
    outcomes
        One per case, in order.
    """

    backend: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether something was compared, nothing failed and nothing is missing."""
        return self.count["passed"] > 0 and not self.failed

    @property
    def count(self) -> Mapping[Status, int]:
        """Number of outcomes by status."""
        return {status: sum(o.status == status for o in self.outcomes) for status in get_args(Status)}

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the cases that failed or whose operation or function is missing."""
        return tuple(outcome.case.id for outcome in self.outcomes if outcome.status in ("failed", "missing"))

    def places(self, topic: str | None = None) -> frozenset[str]:
        """Return the probes (of one topic) at which something failed or is missing."""
        bad = [outcome.case for outcome in self.outcomes if outcome.status in ("failed", "missing")]
        return frozenset(case.place for case in bad if topic in (None, case.topic))

    def __str__(self) -> str:
        count = self.count
        refused = sum(o.case.refused is not None and o.status == "passed" for o in self.outcomes)
        head = (
            f"conformance of backend {self.backend!r}: {len(self.outcomes)} cases, {count['passed']} passed "
            f"({refused} of them refused, as they should be), {count['failed']} failed, {count['missing']} missing"
            + (f", {count['absent']} absent" if count["absent"] else "")
        )
        lines = [head]
        for topic, advice in TOPICS.items():
            rows = _rows([outcome for outcome in self.outcomes if outcome.case.topic == topic])
            if rows:
                lines += ["", f"{topic}: look at {advice}", *rows]
        undecided = [f"  {o.case.id}: {o.text}" for o in self.outcomes if o.status == "undecided"]
        absent = {f"  {o.case.place}: {o.text}": None for o in self.outcomes if o.status == "absent"}
        for title, rows in (
            ("not compared, since the definition is open:", undecided),
            ("not compared, since the framework has no such operation, as the builder says:", list(absent)),
        ):
            lines += ["", title, *rows] if rows else []
        return "\n".join(lines)


def _rows(outcomes: list[Outcome]) -> list[str]:
    """Return one line for everything that failed alike: the rules or properties, the probes, an example."""
    alike: dict[tuple[str, str, str], dict[str, Outcome]] = {}
    for outcome in outcomes:
        if outcome.status in ("failed", "missing"):
            key = (outcome.case.what, outcome.status, outcome.text.partition(":")[0])
            alike.setdefault(key, {})[outcome.case.place] = outcome
    merged: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (what, status, text), found in alike.items():
        merged.setdefault((status, text, tuple(found)), []).append(what)
    rows = []
    for (status, text, places), whats in merged.items():
        example = alike[whats[0], status, text][places[0]].text.replace("\n", " ")
        rows.append(f"  {status}  {_listed(whats)}")
        rows += [f"      at {_listed(places)}"] if places != ("",) else []
        rows.append(f"      {example[:_WIDTH]}")
    return rows


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_SHOWN])
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"


def examine(tested: Subject, case: Case) -> Outcome:
    """Return what comes of one case."""
    if case.undecided is not None:
        return Outcome(case, "undecided", case.undecided)
    absent = tested.absent(case.place)
    if absent is not None:
        return Outcome(case, "absent", absent)
    try:
        case.check(tested)
    except DisagreementError as error:
        return Outcome(case, "failed", str(error))
    except (NotImplementedError, UnsupportedOperationError) as error:
        return Outcome(case, "missing", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - a backend under test may raise anything; it is reported
        return Outcome(case, "failed", f"{type(error).__name__}: {error}")
    return Outcome(case, "passed")


def run(backend: str, *, topics: Iterable[str] = (), names: Iterable[str] = (), places: Iterable[str] = ()) -> Report:
    """Run the suite on a registered backend.

    Parameters
    ----------
    backend
        As registered, with a builder.
    topics, names, places
        See :func:`signxai_core.testing.conformance.cases.cases`.

    Raises
    ------
    UnknownNameError, PluginError, BackendError
        There is no such backend, its framework cannot be imported, or it names no builder.
    """
    tested = load_subject(backend)
    chosen = cases(topics=topics, names=names, places=places)
    return Report(backend, tuple(examine(tested, case) for case in chosen))
