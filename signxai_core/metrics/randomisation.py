"""Sanity check: a map that explains the model has to change when the model's parameters do."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, Protocol, cast

import attrs
import numpy as np

from signxai_core.calls import backend_for
from signxai_core.errors import BackendError, InputShapeError, ParameterError
from signxai_core.metrics.checks import Float64, batch
from signxai_core.metrics.correlation import pearson, spearman
from signxai_core.registry import registry

Order = Literal["top_down", "bottom_up", "independent"]
_ORDERS = ("top_down", "bottom_up", "independent")
_SIMILARITIES: dict[str, Callable[[Any, Any], Float64]] = {"spearman": spearman, "pearson": pearson}


class Copying(Protocol):
    """Module ``randomise`` in the package of a backend's factory."""

    def copy(self, model: Any) -> Any:
        """Return a copy of the model that shares nothing with it, for inference."""

    def layers(self, model: Any) -> list[tuple[str, list[Any]]]:
        """Return path and parameters of the layers that have any, in the model's order."""

    def read(self, parameter: Any) -> Any:
        """Return a parameter as a NumPy array."""

    def write(self, parameter: Any, values: Any) -> None:
        """Set a parameter."""


@attrs.frozen(eq=False)
class Similarity:
    """How similar the maps still are when a layer, or all layers up to it, are randomised.

    Parameters
    ----------
    layers
        Path of the layer that was randomised last, per step.
    values
        Similarity with the map of the whole model, shape ``(steps, N)``.
    """

    layers: tuple[str, ...]
    values: Float64


def randomisation(
    explain: Callable[[Any, Any], Any],
    model: Any,
    x: Any,
    *,
    models: Iterable[tuple[str, Any]] | None = None,
    similarity: Literal["spearman", "pearson"] = "spearman",
    absolute: bool = True,
) -> Similarity:
    """Return how similar maps of randomised models are to those of the model (Adebayo et al. 2018).

    A method whose maps stay similar shows the input, not what the model has learnt.

    Parameters
    ----------
    explain
        From a model and a batch to maps, always of the same classes:
        ``lambda model, x: signxai_core.explain(model, x, "lrp_z", target).relevance``.
    model, x
        The model, which stays as it is, and a batch.
    models
        Pairs of layer and randomised model; by default :func:`randomised` of the model, the last layer
        first, each step on top of those before.
    similarity
        Rank correlation, or Pearson's.
    absolute
        Of ``|R|`` instead of ``R``.
    """
    if similarity not in _SIMILARITIES:
        raise ParameterError(f"similarity must be one of {', '.join(map(repr, _SIMILARITIES))}, got {similarity!r}")
    inputs = batch(x, "x")
    sized: Callable[[Any], Any] = np.abs if absolute else np.asarray
    wanted = sized(batch(explain(model, inputs), "relevance"))
    layers, values = [], []
    for path, other in randomised(model) if models is None else models:
        found = sized(batch(explain(other, inputs), "relevance"))
        if found.shape != wanted.shape:
            raise InputShapeError(
                f"explain returned the shape {found.shape} with {path!r} randomised, and {wanted.shape} before"
            )
        layers.append(path)
        values.append(_SIMILARITIES[similarity](wanted, found))
    if not layers:
        raise ParameterError("there is no randomised model: models is empty")
    return Similarity(tuple(layers), np.stack(values))


def randomised(
    model: Any, *, order: Order = "top_down", random_state: int = 0, backend: str | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield copies of a model whose layers are randomised one after the other.

    Every array of parameters has its numbers shuffled, so that their distribution stays; one number
    repeated, such as a bias of zeros, stays what it is. The model itself is never changed. The copy that
    is yielded changes with the next step.

    Parameters
    ----------
    model, backend
        As for :func:`signxai_core.explain`.
    order
        ``"top_down"``: the last layer first, then also the one before it, ...; ``"bottom_up"``: from the
        first; ``"independent"``: one layer at a time.
    random_state
        Of the shuffling.
    """
    if order not in _ORDERS:
        raise ParameterError(f"order must be one of {', '.join(map(repr, _ORDERS))}, got {order!r}")
    engine = backend_for(model, backend, registry())
    return _steps(_copying(engine.name), model, order, random_state)


def _steps(copying: Copying, model: Any, order: Order, random_state: int) -> Iterator[tuple[str, Any]]:
    random = np.random.default_rng(random_state)
    other = copying.copy(model)
    layers = copying.layers(other)
    if order == "top_down":
        layers = layers[::-1]
    for path, parameters in layers:
        before = [np.array(copying.read(parameter)) for parameter in parameters]
        for parameter, values in zip(parameters, before, strict=True):
            copying.write(parameter, random.permutation(values.ravel()).reshape(values.shape))
        yield path, other
        if order == "independent":
            for parameter, values in zip(parameters, before, strict=True):
                copying.write(parameter, values)


def _copying(backend: str) -> Copying:
    package = str(registry().backend(backend).entry.factory).partition(":")[0].rpartition(".")[0]
    path = f"{package}.randomise"
    try:
        return cast("Copying", importlib.import_module(path))
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise BackendError(
            f"models of the backend {backend!r} cannot be randomised: its package has no module {path!r}; "
            "give models= pairs of layer and randomised model of your own"
        ) from error
