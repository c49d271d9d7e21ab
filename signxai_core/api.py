"""The public functions; :mod:`signxai_core` re-exports them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from signxai_core import config, grammar
from signxai_core.calls import (
    Progress,
    backend_for,
    check_seed,
    check_strict,
    configured,
    convention_of,
    explain_specs,
    label_of,
    labelled_specs,
    prepared,
    spec_of,
)
from signxai_core.engine.attribute import make_plan
from signxai_core.engine.executor import Executor, executed_plan, recorder
from signxai_core.engine.plan import Plan
from signxai_core.engine.run import Run, raw_of
from signxai_core.errors import ParameterError, SignxaiError
from signxai_core.explanation import Explanation, Explanations
from signxai_core.registry import Declared, declare, registry, registry_without
from signxai_core.specs import TEXTBOOK, MethodSpec


def methods(*, all: bool = False) -> tuple[str, ...]:  # noqa: A002 - the contract's word
    """Return the names of the published table.

    Any other name of the grammar works as well; see :func:`parse`.

    Parameters
    ----------
    all
        List names beyond the published table, too: every prefix with every chain that is registered,
        with usual numbers.
    """
    return registry().listed(beyond=all)


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
    return grammar.parse(name, registry(), convention_of(convention))


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
    declared = config.read(path, registry_without(path))
    declare(path, declared)
    return declared


def dump(spec: MethodSpec, name: str = "method") -> str:
    """Return a method as TOML text; :func:`load` on a file with it gives an equal method."""
    return config.dump(spec, name, registry())


def plan(
    model: Any,
    x: Any,
    method: Any,
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
    label, spec = configured(method, parameters, convention_of(convention), found)
    engine = backend_for(model, backend, found)
    native = recorder(engine)
    run = Run(native, model, prepared(engine, model, x), check_seed(seed), check_strict(strict), lambda _: None)
    run.start(target)
    if isinstance(engine, Executor):
        return executed_plan(engine, run, label, spec)
    return make_plan(run, label, spec, raw_of(spec, seed))


def explain(  # noqa: PLR0913 - what a call may ask for, by name
    model: Any,
    x: Any,
    method: Any,
    target: Any = None,
    *,
    backend: str | None = None,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    progress: Progress = False,
    batch_size: int | None = None,
    max_memory: int | None = None,
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
        Name, a specification, a plan (of this or another model), or an object of another library that a
        plugin converts (zennit's composites and rules). A specification holds its own conventions.
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
    batch_size
        Samples that are explained at a time; by default all. A sample's map does not depend on it. A
        function as target then gets the outputs of that many samples.
    max_memory
        Bytes that the walk may hold besides the recorded model: methods go on one after the other from
        where they would hold more together, and sampled inputs in small batches. By default a walk
        holds as much as the recorded model, or 64 MiB, and sampled inputs 512 MiB; one method, or one
        copy of one sample, is always taken.
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
    label, spec = configured(method, parameters, convention_of(convention), found)
    (explanation,) = explain_specs(
        model,
        x,
        {label: spec},
        target,
        backend=backend,
        seed=seed,
        strict=strict,
        progress=progress,
        batch_size=batch_size,
        max_memory=max_memory,
        found=found,
    ).values()
    return explanation


def explain_many(  # noqa: PLR0913 - as explain
    model: Any,
    x: Any,
    methods: Iterable[Any],
    target: Any = None,
    *,
    backend: str | None = None,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    progress: Progress = False,
    batch_size: int | None = None,
    max_memory: int | None = None,
    errors: str = "raise",
    **parameters: Any,
) -> Explanations:
    """Explain with several methods at once: one forward pass, shared trunks.

    Parameters are those of :func:`explain`. A parameter goes to every method that has it and whose
    name does not state it; one that no method takes is an error.

    Parameters
    ----------
    errors
        ``"raise"``: a method that cannot be carried out ends the call. ``"collect"``: the others are
        carried out without it. What is wrong with model, input, target or a name always ends the call.

    Returns
    -------
    Explanations
        A dictionary: explanations by the names given (canonical names for specifications), in their
        order. Its ``errors`` holds the exceptions of methods that were left out, by name.
    """
    if not isinstance(errors, str) or errors not in ("raise", "collect"):
        raise ParameterError(f"errors must be 'raise' or 'collect', got {errors!r}")
    if isinstance(methods, (str, MethodSpec)) or not isinstance(methods, Iterable):
        raise ParameterError(f"methods must be several names, got one: {methods!r}; use explain for one method")
    found = registry()
    chosen = convention_of(convention)
    specs = [(given, spec_of(given, chosen, found)) for given in methods]
    if not specs:
        raise ParameterError("methods is empty; give at least one name")
    failures: dict[str, SignxaiError] = {}
    labelled = labelled_specs(
        [(label_of(given, spec, found), spec) for given, spec in specs],
        parameters,
        found,
        failures if errors == "collect" else None,
    )
    explanations = explain_specs(
        model,
        x,
        labelled,
        target,
        backend=backend,
        seed=seed,
        strict=strict,
        progress=progress,
        batch_size=batch_size,
        max_memory=max_memory,
        found=found,
        collect=labelled if errors == "collect" else (),
    )
    explanations.errors.update(failures)
    return explanations


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
