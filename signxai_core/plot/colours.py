"""Colours of relevance: a diverging map, symmetric around 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from cmcrameri import cm
from matplotlib import colormaps
from matplotlib.colors import Colormap, Normalize

from signxai_core.errors import InputError, ParameterError, nearest_names

Array = npt.NDArray[Any]

#: Crameri's ``vik``: even steps of lightness, and told apart by colour-blind readers.
DEFAULT = "vik"


def colormap(name: str | Colormap) -> Colormap:
    """Return a colour map by name: ``vik``, ``seismic``, and all others of matplotlib and cmcrameri.

    Raises
    ------
    ParameterError
        For a name that neither knows.
    """
    if isinstance(name, Colormap):
        return name
    if name in cm.cmaps:
        found: Colormap = cm.cmaps[name]
        return found
    if name in colormaps:
        return colormaps[name]
    near = nearest_names(name, [*cm.cmaps, *colormaps])
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise ParameterError(f"unknown colour map {name!r}{hint} Use a name of matplotlib or cmcrameri, such as 'vik'")


def limit_of(*relevance: Array, given: float | None = None) -> float:
    """Return the value at which the colours end: as given, or the largest |R|; 1 where all is 0."""
    if given is not None:
        if not np.isfinite(given) or given <= 0:
            raise ParameterError(f"limit must be a positive number, got {given}")
        return float(given)
    largest = max((float(np.abs(part).max(initial=0.0)) for part in relevance), default=0.0)
    return largest or 1.0


def robust_limit(relevance: Array, given: float | None = None) -> float:
    """Return the value at which the colours of a signal end: as given, or what 99.5 % of all |R| stay below.

    Relevance of signals has few, sharp peaks; with their height as limit all else would be pale.
    """
    if given is not None:
        return limit_of(given=given)
    return float(np.quantile(np.abs(relevance), 0.995)) or limit_of(relevance)


def norm(limit: float) -> Normalize:
    """Map −limit … limit to the whole colour map, so that 0 has the colour in the middle."""
    return Normalize(-limit, limit)


def rgba(relevance: Array, limit: float, cmap: str | Colormap, *, opacity: float = 1.0, power: float = 0.6) -> Array:
    """Colour relevance; what is near 0 is transparent, so that a picture below it shows through.

    Parameters
    ----------
    relevance
        Any shape.
    limit
        Value with full colour.
    cmap
        Colour map.
    opacity
        Of the strongest colours.
    power
        Opacity grows with (|R| / limit) to this power.
    """
    coloured = colormap(cmap)(norm(limit)(np.asarray(relevance, dtype=np.float64)))
    coloured[..., 3] = opacity * np.clip(np.abs(relevance) / limit, 0, 1) ** power
    result: Array = coloured
    return result


def finite(relevance: Any) -> Array:
    """Return relevance as float64; NaN and infinite numbers are an error, because they have no colour."""
    array = np.asarray(relevance, dtype=np.float64)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"the relevance holds {bad} NaN or infinite numbers of {array.size}, which have no colour")
    return array
