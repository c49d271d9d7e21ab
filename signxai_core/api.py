"""The public functions; :mod:`signxai_core` re-exports them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from signxai_core import config, grammar
from signxai_core.engine.attribute import Outcome, attribute, make_plan
from signxai_core.engine.backend import Backend
from signxai_core.engine.plan import Plan
from signxai_core.engine.run import Run, raw_of
from signxai_core.errors import BackendError, ParameterError, UnknownNameError
from signxai_core.explanation import Conservation, Explanation
from signxai_core.registry import Declared, Owned, Registry, declare, registry
from signxai_core.specs import CONVENTIONS, TEXTBOOK, Convention, MethodSpec

Progress = bool | Callable[[int, int], None]


def methods() -> tuple[str, ...]:
    """Return the names of the published table.

    Any other name of the grammar works as well; see :func:`parse`.
    """
    return registry().listed()


def parse(name: str, *, convention: str = TEXTBOOK.name) -> MethodSpec:
    """Return the method that a name stands for.

    Parameters
    ----------
    name
        A name of the grammar, or an accepted misprint of one.
    convention
        ``"textbook"`` or ``"signxai"``.

    Raises
    ------
    NameSyntaxError
        With the place, what was expected there and the nearest names.

    Examples
    --------
    >>> import signxai_core as sx
    >>> sx.parse("lrpsign_epsilon_0_37_mu_neg_1_25").family
    'lrp'
    """
    return grammar.parse(name, registry(), _convention(convention))


def name(spec: MethodSpec) -> str:
    """Return the canonical name of a method.

    Raises
    ------
    PlanError
        When the grammar cannot say what the method is.
    """
    return grammar.unparse(spec, registry())


def rules() -> Mapping[str, Callable[..., Any]]:
    """Return the factories of all registered rules, by name.

    Examples
    --------
    >>> import signxai_core as sx
    >>> sx.rules()["alpha_beta"](alpha=2).name
    'alpha 2, beta 1'
    """
    return MappingProxyType({key: functools.partial(owned.make) for key, owned in registry().rules.items()})


def backends() -> tuple[str, ...]:
    """Return the names of the registered backends; no framework is imported."""
    return tuple(registry().backends)


def load(path: str | Path) -> Declared:
    """Register what a TOML file declares: rules, composites, presets, words, methods.

    The names work like a plugin's from then on; see :mod:`signxai_core.config.load` for the format.

    Raises
    ------
    FileError
        When the file cannot be read.
    ConfigError
        With every mistake of the file and its place.
    PluginError
        When a name is taken.
    """
    declared = config.read(path, registry())
    declare(str(path), declared)
    return declared


def dump(spec: MethodSpec, name: str = "method") -> str:
    """Return a method as TOML text; :func:`load` on a file with it gives an equal method."""
    return config.dump(spec, name)


def plan(
    model: Any,
    x: Any,
    method: str | MethodSpec,
    target: Any = None,
    *,
    backend: str | None = None,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    **parameters: Any,
) -> Plan:
    """Return which rule every operation of the model gets, and why, without propagating.

    Parameters are those of :func:`explain`.
    """
    found = registry()
    label, spec = _configured(method, parameters, _convention(convention), found)
    engine = _backend(model, backend, found)
    run = Run(engine, model, engine.prepare(model, x), _seed(seed), strict, lambda _: None)
    run.start(target)
    return make_plan(run, label, spec, raw_of(spec, seed))


def explain(
    model: Any,
    x: Any,
    method: str | MethodSpec,
    target: Any = None,
    *,
    backend: str | None = None,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    progress: Progress = False,
    **parameters: Any,
) -> Explanation:
    """Explain a model's output for a batch of inputs.

    Parameters
    ----------
    model
        A model of any installed backend, or a callable together with ``backend``. It is left
        exactly as it was; dropout and batch-normalisation run at inference.
    x
        Array or tensor, shape ``(N, ...)`` with its batch axis, in the model's own layout, of a
        floating-point type. It is never changed.
    method
        Name, or a specification. A specification holds its own conventions.
    target
        ``None`` (arg-max per sample), a class index, one index per sample, or a function from the
        outputs to one scalar per sample.
    backend
        Name of the backend; by default the one that the model's class belongs to.
    convention
        ``"textbook"``, or ``"signxai"`` to recompute published maps.
    seed
        ``None`` is the method's own; ``"logit"`` or ``"one"`` force it.
    strict
        An operation without a rule is an error; else it is linearised and noted in the plan.
    progress
        Show a progress bar, or call a function with (steps done, steps in all).
    **parameters
        The method's parameters (``mu``, ``epsilon``, ``steps``, ``samples``, ``noise``, ``random_state``,
        ``baseline``, ``low``, ``high``, ``last_conv``, ...).

    Returns
    -------
    Explanation
        Relevance as a NumPy array of the input's shape, and what it was computed from.

    Raises
    ------
    SignxaiError
        One of its subclasses; nothing is left half done.
    """
    found = registry()
    label, spec = _configured(method, parameters, _convention(convention), found)
    (explanation,) = _explain(
        model, x, {label: spec}, target, backend=backend, seed=seed, strict=strict, progress=progress, found=found
    ).values()
    return explanation


def explain_many(
    model: Any,
    x: Any,
    methods: Iterable[str | MethodSpec],
    target: Any = None,
    *,
    backend: str | None = None,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    progress: Progress = False,
    **parameters: Any,
) -> dict[str, Explanation]:
    """Explain with several methods at once: one forward pass, shared trunks.

    Parameters are those of :func:`explain`. A parameter goes to every method that has it and whose
    name does not state it; one that no method takes is an error.

    Returns
    -------
    dict
        Explanations by the names given (canonical names for specifications), in their order.
    """
    if isinstance(methods, (str, MethodSpec)):
        raise ParameterError(f"methods must be several names, got one: {methods!r}; use explain for one method")
    found = registry()
    chosen = _convention(convention)
    specs = [(given, _spec(given, chosen, found)) for given in methods]
    if not specs:
        raise ParameterError("methods is empty; give at least one name")
    _check_common(specs, parameters, found)
    configured = dict(_configured(given, _taken(spec, parameters, found), chosen, found) for given, spec in specs)
    return _explain(
        model, x, configured, target, backend=backend, seed=seed, strict=strict, progress=progress, found=found
    )


def _taken(spec: MethodSpec, parameters: Mapping[str, Any], found: Registry) -> dict[str, Any]:
    known = grammar.parameters(spec, found)
    return {key: value for key, value in parameters.items() if key in known and not known[key].stated}


def _check_common(
    specs: Iterable[tuple[str | MethodSpec, MethodSpec]], parameters: Mapping[str, Any], found: Registry
) -> None:
    free = {key for _, spec in specs for key, p in grammar.parameters(spec, found).items() if not p.stated}
    for key in parameters:
        if key not in free:
            raise ParameterError(
                f"none of the methods takes the parameter {key!r}; parameters that their names leave open: "
                f"{', '.join(sorted(free)) or 'none'}"
            )


def _explain(
    model: Any,
    x: Any,
    specs: Mapping[str, MethodSpec],
    target: Any,
    *,
    backend: str | None,
    seed: str | None,
    strict: bool,
    progress: Progress,
    found: Registry,
) -> dict[str, Explanation]:
    engine = _backend(model, backend, found)
    with _reporter(progress) as report:
        outcome = attribute(
            engine, model, engine.prepare(model, x), specs, target, seed=_seed(seed), strict=strict, progress=report
        )
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


def _convention(given: str) -> Convention:
    if given not in CONVENTIONS:
        raise UnknownNameError("convention", str(given), CONVENTIONS)
    return CONVENTIONS[given]


def _seed(given: str | None) -> str | None:
    if given not in (None, "one", "logit"):
        raise ParameterError(f"seed must be None, 'one' or 'logit', got {given!r}")
    return given


def _spec(method: str | MethodSpec, convention: Convention, found: Registry) -> MethodSpec:
    if not isinstance(method, MethodSpec):
        return grammar.parse(method, found, convention)
    if convention is TEXTBOOK or convention.name == method.convention:
        return method
    return grammar.parse(grammar.unparse(method, found), found, convention)


def _configured(
    method: str | MethodSpec, parameters: Mapping[str, Any], convention: Convention, found: Registry
) -> tuple[str, MethodSpec]:
    spec = _spec(method, convention, found)
    label = method if isinstance(method, str) else grammar.describe(spec, found)
    return label, grammar.configure(spec, parameters, found, label)


def _backend(model: Any, given: str | None, found: Registry) -> Backend:
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


__all__ = [
    "Progress",
    "backends",
    "dump",
    "explain",
    "explain_many",
    "load",
    "methods",
    "name",
    "parse",
    "plan",
    "rules",
]
