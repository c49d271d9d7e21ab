"""How the public functions of :mod:`signxai_core.api` prepare and run a call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from signxai_core import grammar
from signxai_core.engine.attribute import Outcome, attribute, in_parts
from signxai_core.engine.backend import Backend
from signxai_core.errors import BackendError, ParameterError, UnknownNameError
from signxai_core.explanation import Conservation, Explanation
from signxai_core.registry import Owned, Registry
from signxai_core.specs import CONVENTIONS, TEXTBOOK, Convention, MethodSpec

Progress = bool | Callable[[int, int], None]


def taken(spec: MethodSpec, parameters: Mapping[str, Any], found: Registry) -> dict[str, Any]:
    """Return the parameters that a method has and its name leaves open."""
    known = grammar.parameters(spec, found)
    return {key: value for key, value in parameters.items() if key in known and not known[key].stated}


def check_common(
    specs: Iterable[tuple[str | MethodSpec, MethodSpec]], parameters: Mapping[str, Any], found: Registry
) -> None:
    """Refuse parameters that no method takes."""
    free = {key for _, spec in specs for key, p in grammar.parameters(spec, found).items() if not p.stated}
    for key in parameters:
        if key not in free:
            raise ParameterError(
                f"none of the methods takes the parameter {key!r}; parameters that their names leave open: "
                f"{', '.join(sorted(free)) or 'none'}"
            )


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
) -> dict[str, Explanation]:
    """Explain with methods whose parameters are filled in."""
    engine = backend_for(model, backend, found)
    options: dict[str, Any] = {"seed": check_seed(seed), "strict": strict}
    if max_memory is not None:
        options["max_memory"] = _positive("max_memory", max_memory)
    with _reporter(progress) as report:
        array = engine.prepare(model, x)
        if batch_size is None or _positive("batch_size", batch_size) >= len(array):
            outcome = attribute(engine, model, array, specs, target, progress=report, **options)
        else:
            outcome = in_parts(engine, model, array, specs, target, batch_size=batch_size, progress=report, **options)
    return {label: _explanation(label, spec, outcome, engine, found) for label, spec in specs.items()}


def _explanation(label: str, spec: MethodSpec, outcome: Outcome, engine: Backend, found: Registry) -> Explanation:
    result = outcome.results[label]
    return Explanation(
        relevance=result.relevance,
        target=outcome.target,
        output=outcome.output,
        method=grammar.describe(spec, found),
        spec=spec,
        convention=spec.convention,
        backend=engine.name,
        plan=result.plan,
        conservation=Conservation(result.total, result.expected),
    )


def convention_of(given: str) -> Convention:
    """Return the convention of that name."""
    if given not in CONVENTIONS:
        raise UnknownNameError("convention", str(given), CONVENTIONS)
    return CONVENTIONS[given]


def check_seed(given: str | None) -> str | None:
    """Refuse anything but the known seeds."""
    if given not in (None, "one", "logit"):
        raise ParameterError(f"seed must be None, 'one' or 'logit', got {given!r}")
    return given


def _positive(name: str, given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
        raise ParameterError(f"{name} must be a positive whole number or None, got {given!r}")
    return int(given)


def spec_of(method: str | MethodSpec, convention: Convention, found: Registry) -> MethodSpec:
    """Return the method that was given by name or value."""
    if not isinstance(method, MethodSpec):
        return grammar.parse(method, found, convention)
    if convention is TEXTBOOK or convention.name == method.convention:
        return method
    return grammar.parse(grammar.unparse(method, found), found, convention)


def configured(
    method: str | MethodSpec, parameters: Mapping[str, Any], convention: Convention, found: Registry
) -> tuple[str, MethodSpec]:
    """Return label and method, parameters filled in."""
    spec = spec_of(method, convention, found)
    label = method if isinstance(method, str) else grammar.describe(spec, found)
    return label, grammar.configure(spec, parameters, found, label)


def backend_for(model: Any, given: str | None, found: Registry) -> Backend:
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
    made: Backend = owned.make()
    return made


@contextlib.contextmanager
def _reporter(progress: Progress) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that reports progress as asked."""
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        from rich.progress import Progress as Bar  # noqa: PLC0415 - only where a bar is shown

        with Bar(transient=True) as bar:
            task = bar.add_task("explaining", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
