"""R peaks and beats, found with neurokit2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from signxai_core.ecg.recording import Array, Recording, index_of
from signxai_core.errors import InputError
from signxai_core.extras import need


def r_peaks(recording: Recording, *, lead: str | None = None) -> npt.NDArray[np.int64]:
    """Return the samples of the R peaks.

    Parameters
    ----------
    recording
        At least two seconds.
    lead
        Where to look; by default II, or the first lead where there is no II.

    Raises
    ------
    InputError
        When no beat is found.
    """
    need("neurokit2", purpose="finding R peaks", extra="ecg")
    import neurokit2  # noqa: PLC0415 - slow to import

    if lead is None:
        lead = "II" if "II" in recording.leads else recording.leads[0]
    signal = recording.signal[index_of(recording.leads, lead)]
    rate = recording.sampling_rate
    try:
        cleaned = neurokit2.ecg_clean(signal, sampling_rate=rate)
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=rate)
        peaks = np.asarray(found["ECG_R_Peaks"], dtype=np.int64)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"no R peak can be found in lead {lead} of {recording!r}: {error}") from error
    if not len(peaks):
        raise InputError(f"no R peak can be found in lead {lead} of {recording!r}; try another lead")
    return peaks


def beats(recording: Recording, peaks: Sequence[int], *, before: float = 0.3, after: float = 0.5) -> Array:
    """Cut beats out, those that the recording cuts off left out.

    Parameters
    ----------
    recording
        What is cut.
    peaks
        Samples of the R peaks.
    before, after
        Seconds around them.

    Returns
    -------
    array
        Beats × leads × samples.
    """
    left, right = round(before * recording.sampling_rate), round(after * recording.sampling_rate)
    length = recording.signal.shape[1]
    whole = [int(peak) for peak in peaks if peak >= left and peak + right <= length]
    if not whole:
        raise InputError(f"none of the {len(peaks)} beats lies whole in the recording of {recording.seconds:g} s")
    return np.stack([recording.signal[:, peak - left : peak + right] for peak in whole])


def average_beat(recording: Recording, peaks: Sequence[int], *, before: float = 0.3, after: float = 0.5) -> Array:
    """Return the mean of all beats, leads × samples; parameters are those of :func:`beats`."""
    return np.asarray(beats(recording, peaks, before=before, after=after).mean(axis=0))
