"""Plans: which rule every operation of a recording gets, and why.

A plan is resolved from the output back, and only where relevance arrives.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import attrs

from signxai_core.engine.backend import Operation
from signxai_core.engine.facts import REVISION
from signxai_core.engine.fit import check_fit
from signxai_core.engine.shares import shares
from signxai_core.engine.structure import Group, Structure
from signxai_core.errors import PlanError, UnsupportedOperationError
from signxai_core.specs.composites import Composite, Entry, Position, Where
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.nonlinear import AnyRule, Described, Exact, Pass, Shapes, Shared, Stop
from signxai_core.specs.operations import KINDS, kind
from signxai_core.specs.rules import FunctionRule, LinearRule, Rule


@attrs.frozen
class Linearised:
    """What an operation without a rule gets when ``strict=False``: equal shares of ``x ⊙ Jᵀ(R ⊘ y)``, and a warning."""

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "linearised (no rule)"

    @property
    def conserves(self) -> bool:
        """Not in general."""
        return False

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_k = 1/n · a_k ⊙ J_kᵀ(R ⊘ y)"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return nothing."""
        return ""


@attrs.frozen
class HandOn:
    """Relevance is handed on unchanged: on the way to a first layer whose rule is about its own input.

    Parameters
    ----------
    tensor
        Id of the tensor that gets it: of the same shape as the output.
    """

    tensor: int

    @property
    def name(self) -> str:
        """Short text for tables."""
        return "pass"

    @property
    def conserves(self) -> bool:
        """Always."""
        return True

    def formula(self) -> str:
        """Return the rule as mathematics."""
        return "R_in = R"

    def misfit(self, operation: Described, shapes: Shapes) -> str:
        """Return nothing."""
        return ""


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
    revision
        Of what is recognised as functions, gates and statistics; see :mod:`signxai_core.engine.roles`.
    spec
        The method, parameters filled in: with it a plan can be given wherever a method can.
    """

    method: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    explains: str = ""
    revision: int = REVISION
    spec: MethodSpec | None = attrs.field(default=None, repr=False, eq=False)

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
class Part:
    """A rule, and how many operations of a group, one after the other, it takes as one."""

    rule: AnyRule
    count: int = 1


#: What is done at a group: parts in the order of execution; nothing where no relevance arrives.
Step = tuple[Part, ...]


@attrs.frozen
class Assignment:
    """The rules of one query on one recording.

    Parameters
    ----------
    steps
        Per group.
    rows, warnings
        As in :class:`Plan`.
    """

    steps: tuple[Step, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


def resolve(query: Query, structure: Structure, *, strict: bool = True) -> Assignment:
    """Assign a rule to every operation that relevance arrives at.

    Parameters
    ----------
    query
        What is to be propagated.
    structure
        The recorded model.
    strict
        Operations without a rule are an error; else they are linearised and warnings recorded.

    Raises
    ------
    UnsupportedOperationError
        Naming every operation without a rule, its layer, and what to do about it.
    PlanError
        When a rule for the first linear operation finds none, a rule does not fit its operation, an
        entry names an unknown kind, or relevance does not arrive at the input.
    """
    _check_kinds(query.composite)
    _require_first(query, structure)
    resolver = _Resolver(query, structure)
    resolver.require_entries()
    reached = {structure.recording.output}
    steps: list[Step] = [()] * len(structure.groups)
    rows: list[list[Row]] = []
    for index in reversed(range(len(structure.groups))):
        group = structure.groups[index]
        if reached.isdisjoint(group.outputs):
            continue
        steps[index], reasons = resolver.step(index)
        rows.append(_rows(group, steps[index], reasons, structure))
        reached.update(_receivers(structure, group, steps[index]))
    if resolver.missing and strict:
        raise _unsupported(resolver.missing)
    if structure.recording.input not in reached:
        raise PlanError(
            "no relevance arrives at the input: every way from the output to it ends at a piecewise constant "
            "function (sign, floor, comparison), which is a constant to every rule"
        )
    warnings = [f"{operation.label} has no rule and was linearised" for operation in reversed(resolver.missing)]
    return Assignment(
        tuple(steps),
        tuple(row for those in reversed(rows) for row in those),
        (*warnings, *_unused(query.composite, structure), *_unclipped(query.composite, steps)),
    )


def _unclipped(composite: Composite, steps: Sequence[Step]) -> list[str]:
    """Return a warning where rules that change the gradient at some functions found none of these."""
    changing = [entry for entry in composite.entries if isinstance(entry.rule, Exact) and entry.rule != Exact()]
    rules = {part.rule for step in steps for part in step}
    if not changing or any(entry.rule in rules for entry in changing):
        return []
    where = " or ".join(dict.fromkeys(str(entry.where) for entry in changing))
    same = ": its relevance is the plain gradient" if rules == {Exact()} else ""
    return [f"the model has no ReLU ({where}), so that {changing[0].rule.name!r} is applied nowhere{same}"]


def _rows(group: Group, step: Step, reasons: Sequence[str], structure: Structure) -> list[Row]:
    rows = []
    rules = [part.rule for part in step for _ in range(part.count)]
    for operation, rule, reason in zip(group.operations, rules, reasons, strict=True):
        shown = operation if isinstance(rule, (Exact, HandOn)) else structure.facts.view(operation)
        rows.append(Row(operation=operation.label, kind=shown.kind, rule=rule.name, why=reason))
    return rows


def _receivers(structure: Structure, group: Group, step: Step) -> Iterable[int]:
    """Return the tensors that a group hands relevance to."""
    start, found = len(group.operations), group.outputs
    for part in reversed(step):
        start -= part.count
        operation = group.operations[start]
        found = operation.inputs if part.count > 1 else receivers(structure, operation, part.rule)
        if not found:
            break
    return found


def receivers(structure: Structure, operation: Operation, rule: AnyRule) -> tuple[int, ...]:
    """Return the tensors that a rule hands relevance to from one operation."""
    if isinstance(rule, HandOn):
        return (rule.tensor,)
    if isinstance(rule, Stop):
        return ()
    if isinstance(rule, Shared):
        parts = shares(structure.facts, operation, rule)
        return tuple(tensor for tensor, part in zip(operation.inputs, parts, strict=True) if part)
    return seen(structure, operation, rule).inputs


def seen(structure: Structure, operation: Operation, rule: AnyRule) -> Operation:
    """Return an operation as a rule sees it: derivatives and functions see what was executed."""
    executed = isinstance(rule, (Exact, FunctionRule, Linearised, Rule))
    return operation if executed else structure.facts.view(operation)


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


def _unfit(entry: Entry, operations: Sequence[Operation]) -> str:
    """Return why an entry that must fit fits nothing."""
    path, rule = entry.where.path, entry.rule.name
    at_path = [one for one in operations if path is not None and fnmatchcase(one.path, path)]
    if at_path:
        kinds = ", ".join(sorted(entry.where.kinds or ())) or "others"
        found = ", ".join(dict.fromkeys(f"{one.label}, of kind {one.kind!r}" for one in at_path))
        return f"the rule {rule!r} is for the path {path!r}, where it takes only {kinds}; the operations there: {found}"
    known = ", ".join(sorted({one.path for one in operations if one.path})) or "none"
    return f"the rule {rule!r} is for the path {path!r}, and no operation has such a path; paths of the model: {known}"


@attrs.define(eq=False)
class _Resolver:
    """Finds rules, and collects the operations that have none."""

    query: Query
    structure: Structure
    missing: list[Operation] = attrs.field(factory=list, init=False)
    _hands_on: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        pairs = zip(self.structure.groups, self.structure.positions, strict=True)
        own = [self._positional(group.core, positions) for group, positions in pairs if "first" in positions]
        self._hands_on = any(isinstance(rule, Rule) and not rule.is_plain for rule in own)

    def require_entries(self) -> None:
        """Refuse entries that must fit, and fit no operation of the model."""
        pairs = zip(self.structure.groups, self.structure.positions, strict=True)
        places = [(operation, at) for group, at in pairs for operation in group.operations]
        for entry in self.query.composite.entries:
            if entry.required and not any(self._is_meant(entry.where, *place) for place in places):
                raise PlanError(_unfit(entry, [operation for operation, _ in places]))

    def step(self, index: int) -> tuple[Step, list[str]]:
        """Return what is done at a group, and the reason for each of its operations."""
        group, positions = self.structure.groups[index], self.structure.positions[index]
        if self._hands_on and index in self.structure.passed:
            found = self._handed_on(group)
            if found is not None:
                return (Part(found),), ["on the way to the first layer"]
        rule, why = self._match(group.core, positions)
        together = self.query.composite.fold_normalisation and isinstance(rule, (Rule, FunctionRule))
        if len(group.operations) == 1:
            return (Part(rule),), [why]
        if together:
            alone = self._before(group) if self._hands_on and "first" in positions else []
            count = len(group.operations) - len(alone)
            reasons = [why if op is group.core else f"part of {group.core.label}" for op in group.operations]
            reasons[: len(alone)] = ["on the way to the first layer"] * len(alone)
            return (*alone, Part(rule, count)), reasons
        return self._apart(group, rule, why, positions)

    def _apart(self, group: Group, rule: AnyRule, why: str, at: frozenset[Position]) -> tuple[Step, list[str]]:
        """Return a rule for each operation of a group; zero padding stays with the operation behind it."""
        padding = 0
        if isinstance(rule, (Rule, FunctionRule)):
            alone = next((i for i, operation in enumerate(reversed(group.pre)) if not operation.padding), None)
            padding = len(group.pre) if alone is None else alone
        parts, reasons = [], []
        for operation in reversed(group.operations):
            if operation in group.pre[len(group.pre) - padding :]:
                reasons.append(f"part of {group.core.label}")
                continue
            if operation is group.core:
                part, reason = Part(rule, padding + 1), why
            elif self._hands_on and "first" in at and operation in group.pre and kind(operation.kind).affine:
                part, reason = Part(HandOn(operation.inputs[0])), "on the way to the first layer"
            else:
                found, reason = self._match(operation, frozenset())
                part = Part(found)
            parts.append(part)
            reasons.append(reason)
        return tuple(reversed(parts)), reasons[::-1]

    def _before(self, group: Group) -> list[Part]:
        """Return what is done in front of a first layer whose rule is about its own input: scaling is passed."""
        last = max((i for i, operation in enumerate(group.pre) if kind(operation.kind).affine), default=-1)
        return [Part(HandOn(one.inputs[0]) if kind(one.kind).affine else Exact()) for one in group.pre[: last + 1]]

    def _handed_on(self, group: Group) -> AnyRule | None:
        """Return how relevance passes a group on the way to the first layer; shape operations have their rule.

        An interpolation hands it to where its numbers came from: its weights sum to 1.
        """
        core = group.core
        if kind(core.kind).affine:
            return HandOn(core.inputs[0])
        source = self.structure.facts.normalised.get(core.outputs[0])
        if source is not None:
            return HandOn(source)
        return Exact() if kind(core.kind).linear else None

    def _positional(self, operation: Operation, positions: frozenset[Position]) -> AnyRule | None:
        """Return the rule that an operation gets for being first, and for nothing else."""
        if self.query.input_layer is not None and "first" in positions:
            return self.query.input_layer
        for entry in self.query.composite.entries:
            if self._is_meant(entry.where, operation, positions):
                return entry.rule if entry.where.position == "first" else None
        return None

    def _is_meant(self, where: Where, operation: Operation, positions: frozenset[Position]) -> bool:
        view = self.structure.facts.view(operation)
        return where.matches(kind=view.kind, function=view.function, positions=positions, path=view.path)

    def _match(self, operation: Operation, positions: frozenset[Position]) -> tuple[AnyRule, str]:
        """Return the rule of one operation and the reason."""
        rule: AnyRule | None = None
        why = ""
        if self.query.input_layer is not None and "first" in positions:
            rule, why = self.query.input_layer, "input layer"
        else:
            entries = self.query.composite.entries
            entry = next((one for one in entries if self._is_meant(one.where, operation, positions)), None)
            if entry is not None:
                rule, why = entry.rule, _shown(entry.where)
        if rule is None and kind(operation.kind).routes:
            return Exact(), "routes values"
        if rule is None:
            self.missing.append(operation)
            return Linearised(), "strict=False"
        facts = self.structure.facts
        if isinstance(rule, Shared) and rule.roles is None and self.query.composite.frozen:
            rule = self._with_frozen(operation, rule)
        check_fit(rule, seen(self.structure, operation, rule), facts.shapes, why)
        return rule, f"{why}{self._shown_roles(operation, rule)}"

    def _with_frozen(self, operation: Operation, rule: Shared) -> Shared:
        """Return a rule to which operands are constants that come from a layer which the composite freezes."""
        facts = self.structure.facts
        roles = [operand.role for operand in facts.operands.get(operation.index, ())]
        given: list[str] = [
            "frozen" if self._comes_from_frozen(tensor) else role
            for tensor, role in zip(operation.inputs, roles, strict=False)
        ]
        return attrs.evolve(rule, roles=tuple(given)) if "frozen" in given else rule

    def _comes_from_frozen(self, tensor: int) -> bool:
        """Return whether a tensor was made in a frozen layer, or of nothing else than what was."""
        producer = self.structure.facts.producer
        while tensor in producer:
            operation = producer[tensor]
            if any(fnmatchcase(operation.path, path) for path in self.query.composite.frozen):
                return True
            row = kind(operation.kind)
            if len(operation.inputs) != 1 or not (row.elementwise or row.affine or row.routes):
                return False
            (tensor,) = operation.inputs
        return False

    def _shown_roles(self, operation: Operation, rule: AnyRule) -> str:
        """Return what a rule takes the operands for."""
        facts = self.structure.facts
        if isinstance(rule, Shared):
            parts = shares(facts, operation, rule)
            operands: Sequence[object] = rule.roles or facts.operands[operation.index]
            return "; " + ", ".join(f"{one} → {part:.3g}" for one, part in zip(operands, parts, strict=True))
        if isinstance(rule, Pass) and operation.index in facts.views:
            return "; written out" if operation.outputs[0] in facts.gates else "; a function of one tensor"
        return ""


@functools.lru_cache(maxsize=1024)
def _shown(where: Where) -> str:
    return str(where)


def _unsupported(missing: Sequence[Operation]) -> UnsupportedOperationError:
    """Return an error that names every operation without a rule, the one nearest to the input last."""
    first = missing[0]
    lines = [f"{len(missing)} operation{'s' if len(missing) > 1 else ''} of the model without a rule:"]
    lines += [f"- {line}" for line in dict.fromkeys(_no_rule(operation) for operation in missing)]
    lines.append(
        "Relevance would be lost or wrong there. Give each a rule for its kind with a composite entry, "
        f"Entry(Where(functions={{{first.function!r}}}), rule), or register one in a plugin (docs/operations.md); "
        "rewrite the layer; or pass strict=False to linearise them (recorded as warnings in the plan)"
    )
    return UnsupportedOperationError("\n".join(lines), function=first.function, path=first.path)


def _no_rule(operation: Operation) -> str:
    note = f" ({operation.note})" if operation.note else ""
    return (
        f"no rule for the operation {operation.function!r} in layer {operation.path or '(the model itself)'!r}, of "
        f"kind {operation.kind!r}{note}"
    )


def _check_kinds(composite: Composite) -> None:
    """Refuse entries for kinds that nobody registered."""
    for entry in composite.entries:
        for name in sorted(entry.where.kinds or ()):
            if name not in KINDS.rows:
                near = difflib.get_close_matches(name, KINDS, n=3)
                hint = f"; did you mean {', '.join(near)}?" if near else ""
                raise PlanError(f"unknown operation kind {name!r}; known kinds: {', '.join(KINDS)}{hint}")


def _require_first(query: Query, structure: Structure) -> None:
    """Refuse a rule for the first linear operation where no such operation exists."""
    wanted = query.input_layer is not None or any(entry.where.position == "first" for entry in query.composite.entries)
    if wanted and not any("first" in positions for positions in structure.positions):
        labels = ", ".join(group.core.label for group in structure.groups[:3])
        raise PlanError(
            "the method has a rule for the first linear operation, but none is reached from the input through "
            f"shape operations, padding, resizing and constant scaling alone; the model starts with: {labels}. Use a "
            "method without an input-layer rule (prefix 'lrp')"
        )
