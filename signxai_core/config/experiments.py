"""Experiments: what ``signxai run FILE`` computes, as a value."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen(kw_only=True)
class Experiment:
    """Methods, a model, inputs and where the results go; like the options of ``signxai explain``.

    Parameters
    ----------
    model
        ``package.module:callable``, or what a backend loads.
    inputs
        Files; relative to the folder of the configuration file, like ``weights`` and ``output``.
    methods, exclude
        Names and glob patterns, those that the file declares among them.
    output
        Folder.
    weights, backend, target, convention, seed, strict
        As for ``signxai explain``.
    parameters
        Of the methods.
    rules
        Of single layers, by path: ``{"features.*" = "gamma:0.25"}``.
    layout, size, scale, mean, std, grey, key
        How files become samples.
    batch_size, max_memory
        Samples of a batch, each of which is kept when it is done, and bytes for the walks.
    pictures
        Which pictures are drawn.
    """

    model: str
    inputs: tuple[str, ...]
    methods: tuple[str, ...]
    output: str
    exclude: tuple[str, ...] = ()
    weights: str | None = None
    backend: str | None = None
    target: tuple[int, ...] | None = None
    convention: Literal["textbook", "signxai"] = "textbook"
    seed: Literal["logit", "one"] | None = None
    strict: bool = True
    parameters: dict[str, Any] = attrs.field(factory=dict)
    rules: dict[str, str] = attrs.field(factory=dict)
    layout: Literal["channels_first", "channels_last"] | None = None
    size: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    grey: bool = False
    key: str | None = None
    batch_size: int | None = None
    max_memory: int | None = None
    pictures: Literal["auto", "each", "sheets", "none"] = "auto"
