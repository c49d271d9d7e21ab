"""Waves of a simulated heartbeat: bells, by lead.

The model is that of McSharry et al. (2003), which neurokit2's ``ecg_simulate`` integrates: every wave is
a Gaussian bell with a place, a width and a height. Its solution is written down here instead of
integrated, so that waves have a place in seconds, and a signal takes milliseconds. The tests compare it
with neurokit2.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Leads that are simulated; the others follow from I and II (Einthoven, Goldberger).
MEASURED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
WAVES = ("P", "Q", "R", "S", "T")
#: McSharry's angles and widths at 60 beats per minute, in seconds.
PLACES = MappingProxyType({"P": -70 / 360, "Q": -15 / 360, "R": 0.0, "S": 15 / 360, "T": 100 / 360})
WIDTHS = MappingProxyType({"P": 0.25 / (2 * np.pi), "Q": 0.016, "R": 0.016, "S": 0.016, "T": 0.4 / (2 * np.pi)})

#: Heights in millivolts of P, Q, R, S, T. P is seen where its vector points: not in aVL, and of the chest
#: leads in V1 alone, so that its place is known.
HEIGHTS: MappingProxyType[str, tuple[float, ...]] = MappingProxyType(
    {
        "I": (0.08, -0.05, 0.70, -0.15, 0.20),
        "II": (0.16, -0.08, 1.10, -0.20, 0.30),
        "V1": (0.10, 0.00, 0.25, -0.90, -0.05),
        "V2": (0.00, 0.00, 0.50, -1.30, 0.35),
        "V3": (0.00, 0.00, 0.80, -0.90, 0.40),
        "V4": (0.00, -0.05, 1.30, -0.50, 0.38),
        "V5": (0.00, -0.08, 1.30, -0.20, 0.30),
        "V6": (0.00, -0.08, 1.00, -0.10, 0.25),
    }
)

#: What stands in the place of Q, R and S: lead -> (seconds from R, width in seconds, millivolts).
LEFT_BLOCK = MappingProxyType(
    {
        "I": ((-0.015, 0.018, 0.65), (0.035, 0.018, 0.60)),
        "V1": ((-0.025, 0.012, 0.10), (0.018, 0.026, -1.25)),
        "V2": ((-0.025, 0.012, 0.15), (0.018, 0.026, -1.55)),
        "V5": ((-0.015, 0.018, 0.95), (0.035, 0.018, 0.90)),
        "V6": ((-0.015, 0.018, 0.95), (0.035, 0.018, 0.90)),
    }
)
RIGHT_BLOCK = MappingProxyType(
    {
        "I": ((-0.030, 0.012, -0.05), (0.0, 0.016, 0.65), (0.052, 0.020, -0.40)),
        "V1": ((-0.020, 0.012, 0.25), (0.008, 0.012, -0.35), (0.050, 0.020, 0.85)),
        "V2": ((-0.020, 0.012, 0.35), (0.008, 0.012, -0.50), (0.050, 0.020, 0.60)),
        "V5": ((-0.030, 0.012, -0.08), (0.0, 0.016, 1.25), (0.052, 0.020, -0.45)),
        "V6": ((-0.030, 0.012, -0.08), (0.0, 0.016, 0.95), (0.052, 0.020, -0.45)),
    }
)
#: Lead -> (depression of the ST segment, height of T), in millivolts.
ISCHAEMIA = MappingProxyType({"V3": (-0.12, -0.20), "V4": (-0.20, -0.30), "V5": (-0.22, -0.30), "V6": (-0.18, -0.25)})


def bell(times: Floats, place: Floats | float, width: float) -> Floats:
    """Return a bell of height 1."""
    return np.asarray(np.exp(-0.5 * ((times - place) / width) ** 2))


def plateau(times: Floats, start: Floats | float, stop: Floats | float, edge: float = 0.008) -> Floats:
    """Return 1 between two times, with soft edges."""
    return np.asarray(0.5 * (np.tanh((times - start) / edge) - np.tanh((times - stop) / edge)))


def twelve(measured: dict[str, Any]) -> Floats:
    """Return all twelve leads in the standard order: four limb leads follow from I and II."""
    one, two = measured["I"], measured["II"]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limbs, *(measured[f"V{number}"] for number in range(1, 7))])
