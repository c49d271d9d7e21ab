"""Data whose classes have a known place, so that relevance maps can be judged (extra ``demo``).

from signxai_core import data
truth = data.ecgs(100)  # x, labels, and the mask of what makes each class
"""

from signxai_core.data.drawn import shapes
from signxai_core.data.judge import Check, check, found, right_ones
from signxai_core.data.simulated import ecgs
from signxai_core.data.truth import Truth, centre_map, channels_first, channels_last

__all__ = [
    "Check",
    "Truth",
    "centre_map",
    "channels_first",
    "channels_last",
    "check",
    "ecgs",
    "found",
    "right_ones",
    "shapes",
]
