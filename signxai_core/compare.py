"""Whether two models, such as one and its port to another framework, have the same relevance maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.api import explain_many
from signxai_core.engine.backend import Backend
from signxai_core.engine.executor import Executor, recorder
from signxai_core.engine.parting import Layouts, Pairing, Parting, channels_last, relative
from signxai_core.engine.plan import Query
from signxai_core.engine.run import Run, raw_of
from signxai_core.errors import BackendError, ModelError, ParameterError
from signxai_core.explanation import Explanation
from signxai_core.registry import registry
from signxai_core.specs import TEXTBOOK, MethodSpec

FloatArray = npt.NDArray[Any]
Layout = Literal["channels_first", "channels_last"]

#: Float32 sums in another order.
TOLERANCE = 1e-4


@attrs.frozen(kw_only=True)
class Compared:
    """How the two maps of one method compare.

    Parameters
    ----------
    method
        The name given.
    difference
        ``max |a − b| / max |a|`` of all samples together.
    sum_difference
        Largest difference of a sample's sum, relative to the sum of ``|a|``.
    agree
        Whether ``difference`` is within the tolerance.
    parting
        Where the models part; ``None`` where they agree, or where only the finished maps differ.
    """

    method: str
    difference: float
    sum_difference: float
    agree: bool
    parting: Parting | None


@attrs.frozen(kw_only=True)
class Comparison:
    """How two models compare.

    Parameters
    ----------
    backend_a, backend_b
        Names of their backends.
    tolerance
        What counts as agreement.
    output_difference
        Of the logits, as ``difference`` in :class:`Compared`.
    values
        First operation whose outputs differ: the models compute something else, whatever the method.
    methods
        One entry per method, in the order given.
    """

    backend_a: str
    backend_b: str
    tolerance: float
    output_difference: float
    values: Parting | None
    methods: tuple[Compared, ...]

    @property
    def agree(self) -> bool:
        """Whether the outputs and all maps are within the tolerance."""
        return self.output_difference <= self.tolerance and all(entry.agree for entry in self.methods)


def compare(  # noqa: PLR0913 - as many as two calls of explain_many need
    model_a: Any,
    model_b: Any,
    x: Any,
    methods: Iterable[str | MethodSpec],
    target: Any = None,
    *,
    backend_a: str | None = None,
    backend_b: str | None = None,
    layout_a: Layout | None = None,
    layout_b: Layout | None = None,
    tolerance: float = TOLERANCE,
    convention: str = TEXTBOOK.name,
    seed: str | None = None,
    strict: bool = True,
    **parameters: Any,
) -> Comparison:
    """Explain the same batch with two models, and say how far apart their maps are, and from where on.

    Parameters
    ----------
    model_a, model_b
        Any two models that :func:`~signxai_core.explain` takes.
    x
        Batch in the layout of ``model_a``.
    methods
        Names or specifications.
    target
        As for ``explain``; the arg-max is that of ``model_a``, for both models.
    backend_a, backend_b
        As ``backend`` of ``explain``.
    layout_a, layout_b
        ``"channels_first"`` or ``"channels_last"``: where the channels of arrays with three or more
        axes are. Without them, that of ``model_a`` is the recorded one, and ``model_b`` has the same
        if its backend is the same, and the other if not.
    tolerance
        Largest ``max |a − b| / max |a|`` that counts as agreement.
    convention, seed, strict, **parameters
        As for ``explain_many``. Arrays among the parameters are in the layout of ``model_a``.

    Returns
    -------
    Comparison
        Its ``agree`` says whether all is within the tolerance.

    Raises
    ------
    ModelError
        When the models' outputs have different shapes.
    SignxaiError
        As for ``explain``.
    """
    if not (isinstance(tolerance, (int, float)) and math.isfinite(tolerance) and tolerance >= 0):
        raise ParameterError(f"tolerance must be a finite number that is not negative, got {tolerance!r}")
    options: dict[str, Any] = {"convention": convention, "seed": seed, "strict": strict}
    maps_a = explain_many(model_a, x, methods := list(methods), target, backend=backend_a, **options, **parameters)
    run_a = _run(model_a, x, target, _first(maps_a).backend, seed, strict=strict)
    layouts = _layouts(run_a, layout_a, layout_b, same=_same_backend(model_b, run_a.backend.name, backend_b))
    moved = {key: _moved(value, layouts, run_a.x.ndim) for key, value in parameters.items()}
    x_b, target_b = np.ascontiguousarray(layouts.to_b(run_a.x)), target if callable(target) else _first(maps_a).target
    run_b = _run(model_b, x_b, target_b, backend_b or _owner(model_b), seed, strict=strict)
    if run_a.output.shape != run_b.output.shape:
        shapes = f"{run_a.output.shape} and {run_b.output.shape}"
        raise ModelError(f"the models cannot be compared: their outputs have the shapes {shapes}")
    maps_b = explain_many(model_b, x_b, methods, target_b, backend=backend_b, **options, **moved)
    return _comparison(Pairing(run_a, run_b, layouts, tolerance), maps_a, maps_b, seed)


def _comparison(
    pairing: Pairing, maps_a: Mapping[str, Explanation], maps_b: Mapping[str, Explanation], seed: str | None
) -> Comparison:
    turned = {name: pairing.layouts.to_a(maps_b[name].relevance) for name in maps_a}
    apart = {name: relative(found.relevance, turned[name]) for name, found in maps_a.items()}
    output = relative(pairing.a.output, pairing.b.output)
    different = [name for name in apart if _exceeds(apart[name], pairing)]
    values = pairing.forward() if different or _exceeds(output, pairing) else None
    partings = (
        dict.fromkeys(different, values) if values is not None else _partings(pairing, maps_a, maps_b, different, seed)
    )
    methods = tuple(
        Compared(
            method=name,
            difference=difference,
            sum_difference=_sums(maps_a[name].relevance, turned[name]),
            agree=name not in different,
            parting=partings.get(name),
        )
        for name, difference in apart.items()
    )
    return Comparison(
        backend_a=_first(maps_a).backend,
        backend_b=_first(maps_b).backend,
        tolerance=pairing.tolerance,
        output_difference=output,
        values=values,
        methods=methods,
    )


def _exceeds(difference: float, pairing: Pairing) -> bool:
    return not difference <= pairing.tolerance


def _partings(
    pairing: Pairing,
    maps_a: Mapping[str, Explanation],
    maps_b: Mapping[str, Explanation],
    names: Iterable[str],
    seed: str | None,
) -> dict[str, Parting | None]:
    """Follow the relevance of methods back; a method that samples is followed on the input itself."""
    queries: dict[str, tuple[Query, Query]] = {}
    for name in names:
        one, two = _query(maps_a[name].spec, seed), _query(maps_b[name].spec, seed)
        if one is not None and two is not None:
            queries[name] = (one, two)
    return dict(zip(queries, pairing.backward(list(queries.values())), strict=True)) if queries else {}


def _query(spec: MethodSpec, seed: str | None) -> Query | None:
    if spec.family == "control":
        return None
    raw = raw_of(spec, seed)
    return raw.main or raw.gradient(seed)


def _sums(a: FloatArray, b: FloatArray) -> float:
    if a.shape != b.shape:
        return float("inf")
    rows_a, rows_b = (array.astype(np.float64).reshape(len(array), -1) for array in (a, b))
    apart, size = np.abs(rows_a.sum(axis=1) - rows_b.sum(axis=1)), np.abs(rows_a).sum(axis=1)
    return float((apart / np.where(size > 0, size, 1)).max(initial=0.0))


def _run(model: Any, x: Any, target: Any, backend: str, seed: str | None, *, strict: bool) -> Run:
    engine = recorder(registry().backend(backend).make())
    run = Run(engine, model, engine.prepare(model, x), seed, strict, lambda _: None)
    run.start(target)
    return run


def _first(maps: Mapping[str, Explanation]) -> Explanation:
    return next(iter(maps.values()))


def _owner(model: Any) -> str:
    found = next((name for name, owned in registry().backends.items() if owned.entry.claims(model)), None)
    if found is None:
        raise BackendError(f"no backend claims the second model, of type {type(model).__qualname__}; give backend_b=")
    return found


def _same_backend(model: Any, backend: str, given: str | None) -> bool:
    found: Backend | Executor = registry().backend(given or _owner(model)).make()
    return recorder(found).name == backend


def _layouts(run: Run, a: Layout | None, b: Layout | None, *, same: bool) -> Layouts:
    for name, given in (("layout_a", a), ("layout_b", b)):
        if given not in (None, "channels_first", "channels_last"):
            raise ParameterError(f"{name} must be 'channels_first' or 'channels_last', got {given!r}")
    last_a = channels_last(run.clean.recording) if a is None else a == "channels_last"
    last_b = (last_a if same else not last_a) if b is None else b == "channels_last"
    return Layouts(last_a, last_b)


def _moved(value: Any, layouts: Layouts, rank: int) -> Any:
    """Turn an array that belongs to a batch, or to a sample, into the second model's layout."""
    array = np.asarray(value) if isinstance(value, np.ndarray) else None
    if array is None or array.ndim not in (rank, rank - 1):
        return value
    return layouts.to_b(array) if array.ndim == rank else layouts.to_b(array[None])[0]
