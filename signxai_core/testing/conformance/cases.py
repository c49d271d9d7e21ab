"""Everything that is checked, as a list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from signxai_core.registry import registry
from signxai_core.testing.conformance import arrays, behaviour, derivatives, recording, rules
from signxai_core.testing.conformance.probes import PROBES, Probe
from signxai_core.testing.conformance.subject import Subject

#: Topics in the order in which they are worth repairing, and what to look at.
TOPICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "array": "the entries of Backend, and its array functions: compare with NumPy's of the same name",
        "record": "Backend.record: kinds, paths, values and parameters of operations (engine.backend.Operation)",
        "linear": "Backend.apply, linear, pull and scale_weight of this kind of operation",
        "vjp": "Backend.vjp of this kind of operation, at the recorded point",
        "rule": "whatever failed above; else what the engine does with this kind of operation",
        "model": "the model, its input or other samples are touched",
        "plugin": "a plugin's own operation: its reading in this backend, its rule, or its oracle",
        "error": "Backend.prepare and record: exceptions of signxai_core.errors",
    }
)


@attrs.frozen(eq=False)
class Case:
    """One check.

    Parameters
    ----------
    topic
        A key of :data:`TOPICS`.
    place
        Name of the probe; empty where there is none.
    what
        Name of the rule, function or property.
    check
        Raises :class:`~signxai_core.testing.conformance.subject.DisagreementError`.
    refused
        The check is that the rule is refused, and why.
    undecided
        What is open: the case is listed and not run.
    """

    topic: str
    place: str
    what: str
    check: Callable[[Subject], None]
    refused: str | None = None
    undecided: str | None = None

    @property
    def id(self) -> str:
        """Topic, place and what, in one word."""
        return ":".join(part for part in (self.topic, self.place, self.what) if part)


def _contract() -> Iterator[Case]:
    yield Case("array", "", "complete", behaviour.check_complete)
    for name in arrays.FUNCTIONS:
        yield Case("array", "", name, functools.partial(arrays.check_function, name=name))
    yield Case("array", "", "round-trip", arrays.check_round_trip)
    yield Case("array", "", "select", arrays.check_select)
    yield Case("array", "", "prepare", behaviour.check_prepare)
    for name in behaviour.ERRORS:
        yield Case("error", "", name, functools.partial(behaviour.check_error, name=name))
    yield Case("model", "", "sampling", behaviour.check_sampling)
    yield Case("model", "", "repeated", behaviour.check_repeated)


def _of_probe(probe: Probe) -> Iterator[Case]:
    def case(topic: str, what: str, check: Callable[[Subject, Probe], None]) -> Case:
        return Case(topic, probe.name, what, functools.partial(_on, check=check, probe=probe))

    yield case("record", "operations", recording.check_operations)
    yield case("record", "structure", recording.check_structure)
    yield case("record", "facts", recording.check_facts)
    yield case("linear", "apply", derivatives.check_apply)
    if probe.kind in derivatives.LINEAR:
        yield case("linear", "adjoint", derivatives.check_linear)
    if probe.kind in ("dense", "convolution"):
        yield case("linear", "weights", derivatives.check_weights)
    yield case("vjp", "difference", derivatives.check_vjp)
    if probe.kind != "dropout":
        yield case("vjp", "samples", derivatives.check_samples)
    yield case("model", "untouched", behaviour.check_model)
    yield case("model", "batch", behaviour.check_batch)


def _on(subject: Subject, check: Callable[[Subject, Probe], None], probe: Probe) -> None:
    check(subject, probe)


def _of_rule(name: str, probe: Probe) -> Case:
    rule = rules.example(name)
    refused = rules.refusal(rule, probe)
    return Case(
        "rule",
        probe.name,
        name,
        functools.partial(rules.check_rule, name=name, probe=probe),
        refused=None if refused is None else f"{refused.error.__name__}: {refused.why}",
        undecided=rules.undecided(rule, probe),
    )


def cases(*, topics: Iterable[str] = (), names: Iterable[str] = (), places: Iterable[str] = ()) -> tuple[Case, ...]:
    """Return what is checked: the contract, and every registered rule at every probe.

    Parameters
    ----------
    topics, names, places
        Only these topics (:data:`TOPICS`), rules or properties, and probes; all where none is given.
    """
    listed = list(_contract())
    for probe in PROBES.values():
        listed += _of_probe(probe)
    listed += [_of_rule(name, probe) for probe in PROBES.values() for name in registry().rules if rules.is_known(name)]
    listed += [
        Case("plugin", name, "oracle", functools.partial(behaviour.check_plugin, name=name))
        for name in registry().probes
    ]
    wanted = [frozenset(chosen) for chosen in (topics, names, places)]
    order = list(TOPICS)
    return tuple(
        case
        for case in sorted(listed, key=lambda case: order.index(case.topic))
        if all(not only or part in only for only, part in zip(wanted, (case.topic, case.what, case.place), strict=True))
    )
