"""Plans: which rule every operation of a recording gets, and why."""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase

import attrs

from signxai_core.engine.backend import Operation, Recording
from signxai_core.engine.fit import check_fit
from signxai_core.engine.structure import Group, Structure
from signxai_core.errors import PlanError, UnsupportedOperationError
from signxai_core.specs.composites import Composite, Position, Where
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import AnyRule, Exact, FunctionRule, LinearRule, Rule


@attrs.frozen
class Linearised:
    """What an operation without a rule gets when ``strict=False``: ``x ⊙ Jᵀ(R ⊘ y)``, with a warning."""

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "linearised (no rule)"


StepRule = AnyRule | Linearised


@attrs.frozen(kw_only=True)
class Row:
    """One line of a plan."""

    operation: str
    kind: str
    rule: str
    why: str


@attrs.frozen
class Plan:
    """Operation, rule and reason, from the input to the output.

    Parameters
    ----------
    method
        Name of the method.
    rows
        In the order of execution.
    notes
        Seed, sampling, class-activation layer and factor on the finished map.
    warnings
        Operations without a rule that were linearised (``strict=False``), paths of entries that no
        operation has, and clipping for which there is no ReLU.
    explains
        Which output is explained, and which operations behind it were skipped (a final softmax).
    """

    method: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    explains: str = ""

    def __str__(self) -> str:
        table = [("operation", "kind", "rule", "why")]
        table += [(row.operation, row.kind, row.rule, row.why) for row in self.rows]
        widths = [max(len(line[column]) for line in table) for column in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
            for line in table
        ]
        explains = [f"explains: {self.explains}"] if self.explains else []
        warnings = [f"warning: {text}" for text in self.warnings]
        return "\n".join([f"plan of {self.method}", *explains, *self.notes, *lines, *warnings])


@attrs.frozen
class Query:
    """What one walk carries: a composite, the input layer's rule, and the seed."""

    composite: Composite
    input_layer: LinearRule | None
    seed: str


@attrs.frozen
class Assignment:
    """The rules of one query on one recording.

    Parameters
    ----------
    steps
        Per group: one rule for the whole group, or one per operation of the group.
    rows, warnings
        As in :class:`Plan`.
    """

    steps: tuple[tuple[StepRule, ...], ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def resolve(query: Query, structure: Structure, *, strict: bool = True) -> Assignment:
    """Assign a rule to every operation.

    Parameters
    ----------
    query
        What is to be propagated.
    structure
        The recorded model.
    strict
        An operation without a rule is an error; else it is linearised and a warning recorded.

    Raises
    ------
    UnsupportedOperationError
        Naming the operation, its layer and how to give it a rule.
    PlanError
        When a rule for the first linear operation finds none, or a rule does not fit its operation.
    """
    _require_first(query, structure)
    steps: list[tuple[StepRule, ...]] = []
    rows: list[Row] = []
    warnings: list[str] = []
    for group, positions in zip(structure.groups, structure.positions, strict=True):
        step, why = _group_step(query, group, positions, structure.recording, strict=strict)
        steps.append(step)
        rules = step if len(step) == len(group.operations) else step * len(group.operations)
        for operation, rule, reason in zip(group.operations, rules, why, strict=True):
            rows.append(Row(operation=operation.label, kind=operation.kind, rule=rule.name, why=reason))
            if isinstance(rule, Linearised):
                warnings.append(f"{operation.label} has no rule and was linearised")
    warnings += [*_unused(query.composite, structure), *_unclipped(query.composite, steps)]
    return Assignment(tuple(steps), tuple(rows), tuple(warnings))


def _unclipped(composite: Composite, steps: list[tuple[StepRule, ...]]) -> list[str]:
    """Return a warning where rules that change the gradient at some functions found none of these."""
    changing = [entry for entry in composite.entries if isinstance(entry.rule, Exact) and entry.rule != Exact()]
    rules = {rule for step in steps for rule in step}
    if not changing or any(entry.rule in rules for entry in changing):
        return []
    where = " or ".join(dict.fromkeys(str(entry.where) for entry in changing))
    same = ": its relevance is the plain gradient" if rules == {Exact()} else ""
    return [f"the model has no ReLU ({where}), so that {changing[0].rule.name!r} is applied nowhere{same}"]


def _unused(composite: Composite, structure: Structure) -> list[str]:
    """Return a warning for every path that no operation of the model has."""
    paths = {operation.path for group in structure.groups for operation in group.operations}
    asked = dict.fromkeys(entry.where.path for entry in composite.entries if entry.where.path is not None)
    known = ", ".join(sorted(path for path in paths if path)) or "none"
    return [
        f"no operation has a path like {path!r}; paths of the model: {known}"
        for path in asked
        if not any(fnmatchcase(own, path) for own in paths)
    ]


def _group_step(
    query: Query, group: Group, positions: frozenset[Position], recording: Recording, *, strict: bool
) -> tuple[tuple[StepRule, ...], list[str]]:
    """Return the rule of a group, or of each of its operations, and the reasons."""
    rule, why = _match(query, group.core, positions, recording, strict=strict)
    if len(group.operations) == 1 or (isinstance(rule, (Rule, FunctionRule)) and query.composite.fold_normalisation):
        reasons = [why if op is group.core else f"part of {group.core.label}" for op in group.operations]
        return (rule,), reasons
    matches = [
        (rule, why) if op is group.core else _match(query, op, frozenset(), recording, strict=strict)
        for op in group.operations
    ]
    return tuple(match[0] for match in matches), [match[1] for match in matches]


def _match(
    query: Query, operation: Operation, positions: frozenset[Position], recording: Recording, *, strict: bool
) -> tuple[StepRule, str]:
    """Return the rule of one operation and the reason."""
    rule: AnyRule | None = None
    why = ""
    if query.input_layer is not None and "first" in positions:
        rule, why = query.input_layer, "input layer"
    else:
        for entry in query.composite.entries:
            if entry.where.matches(
                kind=operation.kind, function=operation.function, positions=positions, path=operation.path
            ):
                rule, why = entry.rule, _shown(entry.where)
                break
    if rule is None and kind(operation.kind).routes:
        return Exact(), "routes values"
    if rule is None:
        if strict:
            raise UnsupportedOperationError(_no_rule(operation), function=operation.function, path=operation.path)
        return Linearised(), "strict=False"
    check_fit(rule, operation, recording, why)
    return rule, why


@functools.lru_cache(maxsize=1024)
def _shown(where: Where) -> str:
    return str(where)


def _no_rule(operation: Operation) -> str:
    note = f" ({operation.note})" if operation.note else ""
    return (
        f"no rule for the operation {operation.function!r} in layer {operation.path or '(the model itself)'!r}, of "
        f"kind {operation.kind!r}{note}. Relevance would be lost or wrong there. Give it a rule with a composite "
        f"entry, Entry(Where(functions={{{operation.function!r}}}), rule), register one in a plugin, rewrite the "
        "layer, or pass strict=False to linearise it (recorded as a warning in the plan)"
    )


def _require_first(query: Query, structure: Structure) -> None:
    """Refuse a rule for the first linear operation where no such operation exists."""
    wanted = query.input_layer is not None or any(entry.where.position == "first" for entry in query.composite.entries)
    if wanted and not any("first" in positions for positions in structure.positions):
        labels = ", ".join(group.core.label for group in structure.groups[:3])
        raise PlanError(
            "the method has a rule for the first linear operation, but none is reached from the input through "
            f"shape operations, padding and constant scaling alone; the model starts with: {labels}. Use a method "
            "without an input-layer rule (prefix 'lrp')"
        )
