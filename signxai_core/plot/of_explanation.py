"""What ``Explanation.plot()`` and notebooks draw."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from signxai_core.errors import InputShapeError, ParameterError
from signxai_core.explanation import Explanation
from signxai_core.plot.canvas import Drawn, png
from signxai_core.plot.ecg import ecg
from signxai_core.plot.images import image, spectrogram
from signxai_core.plot.series import bars, series

KINDS = ("image", "spectrogram", "series", "ecg", "bars")
#: Samples whose maps a notebook shows.
_SHOWN = 4


def draw(
    explanation: Explanation,
    x: Any,
    sample: int,
    kind: str | None,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
) -> Drawn:
    """Draw one sample of an explanation; ``Explanation.plot`` says how."""
    relevance = explanation.relevance
    if not -len(relevance) <= sample < len(relevance):
        raise ParameterError(f"there is no sample {sample}; the explanation has {len(relevance)}")
    kind = kind or _kind(relevance, options)
    one = None if x is None else np.asarray(x)
    if one is not None and one.shape == relevance.shape:
        one = one[sample]
    options = {"title": title(explanation, sample, labels), **options}
    if kind in ("series", "ecg") and one is None:
        raise ParameterError(f"relevance of kind {kind!r} is drawn along its signal; give it: plot(x)")
    functions: Mapping[str, Callable[[], Drawn]] = MappingProxyType(
        {
            "image": lambda: image(relevance[sample], one, **options),
            "spectrogram": lambda: spectrogram(relevance[sample], one, **options),
            "series": lambda: series(relevance[sample], one, **options),
            "ecg": lambda: ecg(one, relevance[sample], **options),
            "bars": lambda: bars(relevance[sample], **options),
        }
    )
    if kind not in functions:
        raise ParameterError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    return functions[kind]()


def _kind(relevance: Any, options: Mapping[str, Any]) -> str:
    kinds = {2: "bars", 3: "ecg" if "leads" in options else "series", 4: "image"}
    if relevance.ndim not in kinds:
        raise InputShapeError(
            f"relevance of shape {relevance.shape} is none of vectors, series and images; choose what to draw, and "
            "give it to a function of signxai_core.plot"
        )
    return kinds[relevance.ndim]


def title(explanation: Explanation, sample: int, labels: Sequence[str] | None = None) -> str:
    """Return method and target in words, the target by its name where ``labels`` has one."""
    if explanation.target is None:
        return str(explanation.method)
    target = int(explanation.target[sample])
    name = f", {labels[target]}" if labels is not None and 0 <= target < len(labels) else ""
    return f"{explanation.method}, target {target}{name}"


def html(explanation: Explanation) -> str:
    """Return maps of the first samples as HTML pictures; empty where they cannot be drawn without their input."""
    relevance = explanation.relevance
    if relevance.ndim not in (2, 4):
        return ""
    found = []
    for sample in range(min(_SHOWN, len(relevance))):
        figure = draw(explanation, None, sample, None, None, {"title": ""}).figure
        found.append(f'<img alt="relevance of sample {sample}" src="data:image/png;base64,{_png(figure)}">')
    return "".join(found)


def _png(figure: Any) -> str:
    return base64.b64encode(png(figure, dpi=80)).decode()
