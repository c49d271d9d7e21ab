"""How good a relevance map is: numbers over a predict function, in NumPy, for models of any framework.

A model is seen as a function from a batch of inputs to a batch of outputs; :func:`predictor` makes one
from any model that :func:`signxai_core.explain` takes. Every metric returns one number (or curve) per
sample, and :func:`mean_interval` sums them up.
"""

from signxai_core.metrics.completeness import completeness
from signxai_core.metrics.correlation import pcc, pearson, scc, spearman
from signxai_core.metrics.flipping import Curve, aoc, area, lerf, morf, relevance_gain
from signxai_core.metrics.intervals import Interval, mean_interval
from signxai_core.metrics.localisation import mass_accuracy, rank_accuracy
from signxai_core.metrics.perturbation import flip, points_of_removal, replacements
from signxai_core.metrics.predict import Predict, predictor
from signxai_core.metrics.randomisation import randomisation, randomised
from signxai_core.metrics.ranking import pooled, removal_order
from signxai_core.metrics.regions import deletion, grid_regions, insertion
from signxai_core.metrics.stability import max_sensitivity

__all__ = [
    "Curve",
    "Interval",
    "Predict",
    "aoc",
    "area",
    "completeness",
    "deletion",
    "flip",
    "grid_regions",
    "insertion",
    "lerf",
    "mass_accuracy",
    "max_sensitivity",
    "mean_interval",
    "morf",
    "pcc",
    "pearson",
    "points_of_removal",
    "pooled",
    "predictor",
    "randomisation",
    "randomised",
    "rank_accuracy",
    "relevance_gain",
    "removal_order",
    "replacements",
    "scc",
    "spearman",
]
