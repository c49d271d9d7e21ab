"""Electrocardiograms: read, put in order, filter, cut (extra ``ecg``: SciPy, wfdb, neurokit2).

A :class:`Recording` holds signal, sampling rate and leads; every function takes one and returns another:

    from signxai_core import ecg
    recording = ecg.read("records/02906_hr")
    recording = ecg.low_pass(ecg.notch(ecg.remove_baseline(recording), 50), 40)
    x = ecg.batch([ecg.order(ecg.resample(recording, 250))])
"""

from signxai_core.ecg.beats import average_beat, beats, r_peaks
from signxai_core.ecg.filters import low_pass, notch, remove_baseline, resample
from signxai_core.ecg.reading import read, write
from signxai_core.ecg.recording import Recording, batch, from_array, order, scale, window, windows
from signxai_core.leads import CABRERA_LEADS, STANDARD_LEADS

__all__ = [
    "CABRERA_LEADS",
    "STANDARD_LEADS",
    "Recording",
    "average_beat",
    "batch",
    "beats",
    "from_array",
    "low_pass",
    "notch",
    "order",
    "r_peaks",
    "read",
    "remove_baseline",
    "resample",
    "scale",
    "window",
    "windows",
    "write",
]
