"""Filters of SciPy, run forwards and backwards, so that no wave is shifted."""

from __future__ import annotations

from fractions import Fraction

import attrs
import numpy as np

from signxai_core.ecg.recording import Array, Recording
from signxai_core.errors import ParameterError
from signxai_core.extras import need

need("scipy", purpose="signxai_core.ecg", extra="ecg")

from scipy import signal as scipy_signal  # noqa: E402 - the check comes first


def remove_baseline(recording: Recording, cutoff: float = 0.5, *, order: int = 2) -> Recording:
    """Remove baseline wander: a Butterworth high-pass.

    Parameters
    ----------
    recording
        What is filtered.
    cutoff
        In hertz; the amplitude is halved there. Above 0.67 Hz, ST segments are distorted.
    order
        Of the filter, which runs in both directions.
    """
    return _butterworth(recording, cutoff, "highpass", order)


def low_pass(recording: Recording, cutoff: float = 40.0, *, order: int = 4) -> Recording:
    """Remove muscle noise: a Butterworth low-pass.

    Parameters
    ----------
    recording
        What is filtered.
    cutoff
        In hertz; the amplitude is halved there. 40 for monitoring, 150 for diagnosis.
    order
        Of the filter, which runs in both directions.
    """
    return _butterworth(recording, cutoff, "lowpass", order)


def notch(recording: Recording, frequency: float = 50.0, *, quality: float = 30.0) -> Recording:
    """Remove the hum of the mains.

    Parameters
    ----------
    recording
        What is filtered.
    frequency
        50 Hz in Europe, Asia, Africa and Australia, 60 Hz in most of America.
    quality
        Frequency divided by the width of the gap.
    """
    _check(recording, frequency)
    b, a = scipy_signal.iirnotch(frequency, quality, fs=recording.sampling_rate)
    filtered = scipy_signal.filtfilt(
        b, a, recording.signal, axis=1, padlen=_padding(recording, 3 * max(len(a), len(b)))
    )
    return attrs.evolve(recording, signal=filtered)


def resample(recording: Recording, sampling_rate: float) -> Recording:
    """Change the sampling rate, with a filter against aliases.

    Parameters
    ----------
    recording
        What is resampled.
    sampling_rate
        The new one in hertz.
    """
    if not np.isfinite(sampling_rate) or sampling_rate <= 0:
        raise ParameterError(f"the sampling rate must be a positive number of hertz, got {sampling_rate}")
    ratio = Fraction(sampling_rate).limit_denominator(1000) / Fraction(recording.sampling_rate).limit_denominator(1000)
    if ratio == 1:
        return recording
    # The line between the ends is taken off, because the filter takes the signal for 0 beyond them.
    line = np.linspace(recording.signal[:, 0], recording.signal[:, -1], recording.signal.shape[1], axis=1)
    changed = scipy_signal.resample_poly(recording.signal - line, ratio.numerator, ratio.denominator, axis=1)
    back = np.arange(changed.shape[1]) / float(ratio) / max(1, recording.signal.shape[1] - 1)
    changed += recording.signal[:, :1] + (recording.signal[:, -1:] - recording.signal[:, :1]) * back
    return attrs.evolve(recording, signal=changed, sampling_rate=sampling_rate)


def _butterworth(recording: Recording, cutoff: float, kind: str, order: int) -> Recording:
    _check(recording, cutoff)
    sections = scipy_signal.butter(order, cutoff, kind, fs=recording.sampling_rate, output="sos")
    # A high-pass of half a hertz settles within seconds: as much of the signal is mirrored at its ends.
    pad = _padding(recording, int(3 * recording.sampling_rate / cutoff))
    filtered: Array = scipy_signal.sosfiltfilt(sections, recording.signal, axis=1, padlen=pad)
    return attrs.evolve(recording, signal=filtered)


def _check(recording: Recording, frequency: float) -> None:
    half = recording.sampling_rate / 2
    if not 0 < frequency < half:
        raise ParameterError(
            f"a filter at {frequency:g} Hz does not exist for a signal of {recording.sampling_rate:g} Hz: it must lie "
            f"between 0 and {half:g} Hz"
        )


def _padding(recording: Recording, wanted: int) -> int:
    return max(0, min(wanted, int(recording.signal.shape[1]) - 1))
