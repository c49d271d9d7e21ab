"""The calls of the predecessors, signxai and signxai2: change an import and keep the rest.

    from signxai.methods.wrappers import calculate_relevancemap     # before: signxai 1.x
    from signxai import explain                                     # before: signxai2
    from signxai_core.compat import calculate_relevancemap, explain # now

What is computed is what signxai 1.x computes (``convention="signxai"``), without its defects; see
:data:`signxai_core.specs.SIGNXAI` for the points of difference to the textbook. What they return is
a NumPy array in the input's shape and layout, channels included: nothing is summed or normalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from signxai_core import api
from signxai_core.errors import ParameterError
from signxai_core.grammar.numbers import number_to_text
from signxai_core.specs import SIGNXAI

#: What the predecessors called parameters -> what they are called here.
PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "neuron_selection": "target",
        "target_class": "target",
        "augment_by_n": "samples",
        "num_samples": "samples",
        "noise_scale": "noise",
        "noise_level": "noise",
        "ig_steps": "steps",
        "reference_inputs": "baseline",
        "last_conv_layer_name": "last_conv",
        "layer_name": "last_conv",
        "target_layer": "last_conv",
    }
)
_BACKENDS = {"pytorch": "torch"}


def calculate_relevancemap(
    m: str, x: Any, model_no_softmax: Any, *, batchmode: bool = False, **kwargs: Any
) -> npt.NDArray[Any]:
    """Return the map of one sample, as ``signxai.methods.wrappers`` does.

    Parameters
    ----------
    m
        Name of the method.
    x
        One sample, without a batch axis.
    model_no_softmax
        The model; a softmax at its end may stay.
    batchmode
        ``x`` is a batch, and so is the result.
    **kwargs
        ``neuron_selection`` (the class; by default the arg-max), and the method's parameters under
        their old names (:data:`PARAMETERS`) or ours. One that the method does not have is an error.
    """
    maps = explain(model_no_softmax, x if batchmode else x[None], m, **kwargs)
    return maps if batchmode else maps[0]


def calculate_relevancemaps(m: str, X: Iterable[Any], model_no_softmax: Any, **kwargs: Any) -> npt.NDArray[Any]:
    """Return :func:`calculate_relevancemap` of every sample, as one array."""
    return np.array([calculate_relevancemap(m, x, model_no_softmax, **kwargs) for x in X])


def explain(
    model: Any, x: Any, method_name: str, target_class: Any = None, framework: str | None = None, **kwargs: Any
) -> npt.NDArray[Any]:
    """Return the maps of a batch, as ``signxai.api`` of signxai2 does.

    Parameters
    ----------
    model
        Of any framework.
    x
        A batch: its first axis is the batch's.
    method_name, target_class
        Method and class; by default the arg-max of every sample. signxai2's ``"lrp_epsilon"``, without
        a number, takes it as ``epsilon`` (0.1).
    framework
        ``"pytorch"`` or ``"tensorflow"``, in any case; the model's class tells by default.
    **kwargs
        As for :func:`calculate_relevancemap`.
    """
    backend = None if framework is None else _BACKENDS.get(framework.lower(), framework.lower())
    if method_name == "lrp_epsilon":
        method_name = f"lrp_epsilon_{number_to_text(kwargs.pop('epsilon', 0.1))}"
    if target_class is not None:
        kwargs["target_class"] = target_class
    options = {"convention": SIGNXAI.name, **_renamed(kwargs)}
    relevance: npt.NDArray[Any] = api.explain(model, x, method_name, backend=backend, **options).relevance
    return relevance


def _renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = PARAMETERS.get(key, key)
        if name in found:
            raise ParameterError(f"{key!r} says {name!r} a second time")
        found[name] = value
    return found
