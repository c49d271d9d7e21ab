"""How the public functions of :mod:`signxai_core.api` prepare and run a call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from signxai_core import grammar
from signxai_core.engine.attribute import Outcome, attribute, in_parts
from signxai_core.engine.backend import Backend
from signxai_core.engine.executor import Executor, execute, recorder
from signxai_core.engine.facts import REVISION
from signxai_core.engine.plan import Plan
from signxai_core.errors import (
    BackendError,
    InputTypeError,
    ParameterError,
    PluginError,
    SignxaiError,
    UnknownNameError,
)
from signxai_core.explanation import Conservation, Explanation, Explanations
from signxai_core.registry import Owned, Registry
from signxai_core.specs import CONVENTIONS, TEXTBOOK, Convention, MethodSpec

Progress = bool | Callable[[int, int], None]


def taken(spec: MethodSpec, parameters: Mapping[str, Any], found: Registry) -> dict[str, Any]:
    """Return the parameters that a method has and its name leaves open."""
    known = grammar.parameters(spec, found)
    return {key: value for key, value in parameters.items() if key in known and not known[key].stated}


def check_common(specs: Iterable[tuple[Any, MethodSpec]], parameters: Mapping[str, Any], found: Registry) -> None:
    """Refuse parameters that no method takes."""
    free = {key for _, spec in specs for key, p in grammar.parameters(spec, found).items() if not p.stated}
    for key in parameters:
        if key not in free:
            raise ParameterError(
                f"none of the methods takes the parameter {key!r}; parameters that their names leave open: "
                f"{', '.join(sorted(free)) or 'none'}"
            )


def labelled_specs(
    given: Iterable[tuple[str, MethodSpec]],
    parameters: Mapping[str, Any],
    found: Registry,
    errors: dict[str, SignxaiError] | None = None,
) -> dict[str, MethodSpec]:
    """Return methods by label, in their order, each with those parameters that it takes.

    Errors of single methods go into ``errors``, where that is given.

    Raises
    ------
    ParameterError
        For a parameter that no method takes, or that one of them lacks.
    """
    specs = list(given)
    check_common(specs, parameters, found)
    labelled: dict[str, MethodSpec] = {}
    for name, spec in specs:
        try:
            full = grammar.configure(spec, taken(spec, parameters, found), found, name)
        except SignxaiError as error:
            if errors is None:
                raise
            errors[name] = error
            continue
        label = name
        if labelled.get(label, full) != full:  # methods without a name share one description
            label = f"{label} #{len(labelled) + 1}"
        labelled[label] = full
    return labelled


def label_of(method: Any, spec: MethodSpec, found: Registry) -> str:
    """Return what a method is called in results: the name given, else its canonical name."""
    return method if isinstance(method, str) else grammar.describe(spec, found)


def explain_specs(  # noqa: PLR0913 - what explain takes
    model: Any,
    x: Any,
    specs: Mapping[str, MethodSpec],
    target: Any,
    *,
    backend: str | None,
    seed: str | None,
    strict: bool,
    progress: Progress,
    batch_size: int | None,
    max_memory: int | None,
    found: Registry,
    collect: Collection[str] = (),
) -> Explanations:
    """Explain with methods whose parameters are filled in; errors of those in ``collect`` do not end the call."""
    engine = backend_for(model, backend, found)
    array = prepared(engine, model, x)
    options: dict[str, Any] = {"seed": check_seed(seed), "strict": check_strict(strict), "collect": collect}
    if isinstance(engine, Executor) and max_memory is not None:
        raise ParameterError(f"the backend {engine.name!r} walks by itself and keeps no bound: leave max_memory out")
    if max_memory is not None:
        options["max_memory"] = _positive("max_memory", max_memory)
    compute: Callable[..., Outcome]
    if isinstance(engine, Executor):
        compute = functools.partial(execute, engine, model, **options)
    else:
        compute = functools.partial(attribute, engine, model, **options)
    size = None if batch_size is None else _positive("batch_size", batch_size)
    with _reporter(progress) as report:
        outcome = in_parts(compute, array, specs, target, size, report)
    made = {label: _explanation(label, specs[label], outcome, engine, found) for label in outcome.results}
    explanations = Explanations(made)
    explanations.errors.update(outcome.failures)
    return explanations


def _explanation(
    label: str, spec: MethodSpec, outcome: Outcome, engine: Backend | Executor, found: Registry
) -> Explanation:
    result = outcome.results[label]
    return Explanation(
        relevance=result.relevance,
        target=outcome.target,
        output=outcome.output,
        method=label if found.declared.get(label) == spec else grammar.describe(spec, found),
        spec=spec,
        convention=spec.convention,
        backend=engine.name,
        plan=result.plan,
        conservation=Conservation(result.total, result.expected),
    )


def convention_of(given: str) -> Convention:
    """Return the convention of that name, ``"textbook"`` or ``"textbook@1"`` with a revision of what is recognised."""
    name, at, revision = str(given).partition("@")
    if name not in CONVENTIONS:
        raise UnknownNameError("convention", str(given), CONVENTIONS)
    if at and revision != str(REVISION):
        raise UnknownNameError("revision of recognised functions", revision, [str(REVISION)])
    return CONVENTIONS[name]


def check_seed(given: str | None) -> str | None:
    """Refuse anything but the known seeds."""
    if given is not None and not (isinstance(given, str) and given in ("one", "logit")):
        raise ParameterError(f"seed must be None, 'one' or 'logit', got {given!r}")
    return given


def check_strict(given: bool) -> bool:  # noqa: FBT001 - the value itself
    """Refuse anything but true and false: a text is true, whatever it says."""
    if not isinstance(given, (bool, np.bool_)):
        raise ParameterError(f"strict must be True or False, got {given!r}")
    return bool(given)


def prepared(engine: Backend | Executor, model: Any, x: Any) -> Any:
    """Return the input as the engine takes it."""
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError(
            "the input is a masked array, and a model knows no masks: what is masked would be explained as if it were "
            "there. Give the numbers that the model should see: x.filled(0)"
        )
    return recorder(engine).prepare(model, x)


def _positive(name: str, given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
        raise ParameterError(f"{name} must be a positive whole number or None, got {given!r}")
    return int(given)


def spec_of(method: Any, convention: Convention, found: Registry) -> MethodSpec:
    """Return the method that was given by name, by value, as a plan, or as another library's object."""
    if isinstance(method, str):
        return grammar.parse(method, found, convention)
    if isinstance(method, Plan) and method.spec is not None:
        method = method.spec
    if not isinstance(method, MethodSpec):
        return _converted(method, found)
    if convention is TEXTBOOK or convention.name == method.convention:
        return method
    return grammar.parse(grammar.unparse(method, found), found, convention)


def _converted(method: Any, found: Registry) -> MethodSpec:
    """Return the method that another library's object stands for."""
    owned = next((owned for owned in found.conversions.values() if owned.entry.claims(method)), None)
    if owned is None:
        others = "".join(f", or an object of {name}" for name in found.conversions)
        raise ParameterError(
            f"a method is a name or a MethodSpec{others}; got {method!r} of type {type(method).__qualname__}"
        )
    made = owned.make(given=method)
    if not isinstance(made, MethodSpec):
        raise PluginError(
            f"plugin {owned.owner!r}: {owned.entry.factory!r} must return a MethodSpec, got {type(made).__name__}"
        )
    return made


def configured(
    method: Any, parameters: Mapping[str, Any], convention: Convention, found: Registry
) -> tuple[str, MethodSpec]:
    """Return label and method, parameters filled in."""
    spec = spec_of(method, convention, found)
    label = label_of(method, spec, found)
    return label, grammar.configure(spec, parameters, found, label)


def backend_for(model: Any, given: str | None, found: Registry) -> Backend | Executor:
    """Return the backend named, or the one that claims the model."""
    if given is not None:
        owned: Owned | None = found.backend(given)
    else:
        owned = next((owned for owned in found.backends.values() if owned.entry.claims(model)), None)
    if owned is None:
        raise BackendError(
            f"no backend claims a model of type {type(model).__module__}.{type(model).__qualname__}; for a plain "
            f"callable give backend=, one of: {', '.join(found.backends) or 'none is registered'}"
        )
    made: Backend | Executor = owned.make()
    return made


@contextlib.contextmanager
def _reporter(progress: Progress) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that reports progress as asked."""
    if not isinstance(progress, bool) and not callable(progress):
        raise ParameterError(f"progress must be True, False or a function, got {progress!r}")
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        from rich.progress import Progress as Bar  # noqa: PLC0415 - only where a bar is shown

        with Bar(transient=True) as bar:
            task = bar.add_task("explaining", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
