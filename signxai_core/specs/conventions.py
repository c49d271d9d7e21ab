"""Conventions: what the textbook and the published reference package compute differently.

Every point of difference is one field here; factories of rules, composites and methods read the
fields, and nothing else in the library tests for a convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class Convention:
    """Where two definitions of a method differ.

    Parameters
    ----------
    name
        As given to ``convention=``.
    whole_bias
        Alpha-beta denominators hold the whole bias instead of its positive or negative part.
    sum_epsilon
        Relative stabiliser of residual sums and average pooling.
    fold_normalisation
        Batch-normalisation is folded into its linear neighbour; else it has a rule of its own.
    guided_seed
        Seed of guided backpropagation and the deconvnet.
    integration
        Nodes of Integrated Gradients: Gauss–Legendre, or ``k / (steps − 1)`` with the plain mean.
    noise
        Standard deviation of SmoothGrad's noise: relative to the sample's range, or absolute.
    cam_normalise
        Class-activation maps are divided by their maximum.
    cam_align_series
        Maps of time series are interpolated with aligned end points.
    """

    name: str
    whole_bias: bool
    sum_epsilon: float
    fold_normalisation: bool
    guided_seed: Literal["one", "logit"]
    integration: Literal["gauss_legendre", "end_points"]
    noise: Literal["range", "absolute"]
    cam_normalise: bool
    cam_align_series: bool


TEXTBOOK = Convention(
    name="textbook",
    whole_bias=False,
    sum_epsilon=1e-9,
    fold_normalisation=True,
    guided_seed="one",
    integration="gauss_legendre",
    noise="range",
    cam_normalise=False,
    cam_align_series=False,
)
SIGNXAI = Convention(
    name="signxai",
    whole_bias=True,
    sum_epsilon=0.0,
    fold_normalisation=False,
    guided_seed="logit",
    integration="end_points",
    noise="absolute",
    cam_normalise=True,
    cam_align_series=True,
)
CONVENTIONS: Mapping[str, Convention] = MappingProxyType({c.name: c for c in (TEXTBOOK, SIGNXAI)})
