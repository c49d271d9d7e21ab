"""A recording, and what is done to it without filters: order, windows, scale, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.errors import InputShapeError, InputValueError, ParameterError
from signxai_core.leads import STANDARD_LEADS, spelled, twice

Array = npt.NDArray[np.float64]

#: Unit -> how many millivolts one of it is.
UNITS = MappingProxyType({"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "μV": 1e-3, "V": 1e3})


def _texts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _signal(values: Any) -> Array:
    return np.array(values, dtype=np.float64)


@attrs.frozen(eq=False, kw_only=True, repr=False)
class Recording:
    """Signals of several leads.

    Parameters
    ----------
    signal
        Leads × samples, in millivolts, float64.
    sampling_rate
        In hertz.
    leads
        Their names.
    name
        Of the recording, for titles and tables.
    """

    signal: Array = attrs.field(converter=_signal)
    sampling_rate: float = attrs.field(converter=float)
    leads: tuple[str, ...] = attrs.field(converter=_texts)
    name: str = ""

    def __attrs_post_init__(self) -> None:
        if self.signal.ndim != 2 or len(self.signal) != len(self.leads):
            raise InputShapeError(
                f"a recording's signal is leads × samples: got shape {self.signal.shape} for {len(self.leads)} leads"
            )
        if not np.isfinite(self.sampling_rate) or self.sampling_rate <= 0:
            raise ParameterError(f"the sampling rate must be a positive number of hertz, got {self.sampling_rate}")
        if twice(self.leads):
            raise InputShapeError(f"leads occur twice: {', '.join(twice(self.leads))}")
        bad = {lead: int((~np.isfinite(row)).sum()) for lead, row in zip(self.leads, self.signal, strict=True)}
        missing = [f"{lead} {count}" for lead, count in bad.items() if count]
        if missing:
            raise InputValueError(
                f"values are missing (NaN or infinite): {', '.join(missing)} of {self.signal.shape[1]} samples; "
                "read(..., missing='interpolate') fills gaps in"
            )

    @property
    def seconds(self) -> float:
        """Duration."""
        return float(self.signal.shape[1] / self.sampling_rate)

    def lead(self, name: str) -> Array:
        """Return one lead's signal."""
        return np.asarray(self.signal[index_of(self.leads, name)])

    def __repr__(self) -> str:
        what = f"{len(self.leads)} leads, {self.seconds:g} s, {self.sampling_rate:g} Hz"
        return f"Recording({self.name!r}, {what}: {', '.join(self.leads)})"


def index_of(leads: Sequence[str], name: str) -> int:
    """Return a lead's place; its spelling does not matter."""
    wanted = spelled(name)
    for place, lead in enumerate(leads):
        if spelled(lead) == wanted:
            return place
    raise ParameterError(f"there is no lead {name!r}; there are {', '.join(leads)}")


def from_array(
    signal: Any,
    sampling_rate: float,
    *,
    leads: Sequence[str] | None = None,
    axis: int = 0,
    unit: str = "mV",
    name: str = "",
) -> Recording:
    """Make a recording from an array.

    Parameters
    ----------
    signal
        Leads × samples, or one lead.
    sampling_rate
        In hertz.
    leads
        Names; by default the twelve standard leads in their order.
    axis
        Of the leads: 0, or 1 where time comes first.
    unit
        ``"mV"``, ``"uV"`` or ``"V"``.
    name
        Of the recording.

    Examples
    --------
    >>> import numpy as np
    >>> from_array(np.zeros((5000, 12)), 500, axis=1)
    Recording('', 12 leads, 10 s, 500 Hz: I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6)
    """
    array = np.asarray(signal, dtype=np.float64)
    array = array[None] if array.ndim == 1 else array
    if axis not in (0, 1) or array.ndim != 2:
        raise InputShapeError(f"an ECG has two axes, leads and samples; got shape {array.shape}, axis of leads {axis}")
    array = array.T if axis == 1 else array
    if leads is None:
        if len(array) != len(STANDARD_LEADS):
            raise InputShapeError(
                f"the array has {len(array)} leads, not twelve: give their names (leads=[...]), or axis=1 where time "
                "comes first"
            )
        leads = STANDARD_LEADS
    return Recording(
        signal=array * factor(unit), sampling_rate=sampling_rate, leads=[spelled(lead) for lead in leads], name=name
    )


def factor(unit: str) -> float:
    """Return how many millivolts one of a unit is."""
    if unit not in UNITS:
        raise ParameterError(f"unknown unit {unit!r}; known: {', '.join(UNITS)}")
    return UNITS[unit]


def order(recording: Recording, leads: Sequence[str] = STANDARD_LEADS) -> Recording:
    """Choose leads and put them in order; ``-aVR`` is aVR turned over.

    Parameters
    ----------
    recording
        It must have all of them, in whatever order and spelling.
    leads
        Names, such as :data:`~signxai_core.leads.STANDARD_LEADS` or
        :data:`~signxai_core.leads.CABRERA_LEADS`.
    """
    rows = []
    for lead in leads:
        turned = lead.startswith("-") and spelled(lead) not in {spelled(own) for own in recording.leads}
        rows.append(-recording.lead(lead[1:]) if turned else recording.lead(lead))
    return attrs.evolve(recording, signal=np.stack(rows), leads=tuple(spelled(lead) for lead in leads))


def window(recording: Recording, start: float, seconds: float) -> Recording:
    """Cut out a stretch.

    Parameters
    ----------
    recording
        What is cut.
    start, seconds
        Where it begins and how long it is.
    """
    first, count = round(start * recording.sampling_rate), round(seconds * recording.sampling_rate)
    if first < 0 or count < 1 or first + count > recording.signal.shape[1]:
        raise ParameterError(f"{seconds:g} s from {start:g} s on do not lie in a recording of {recording.seconds:g} s")
    return attrs.evolve(recording, signal=recording.signal[:, first : first + count])


def windows(recording: Recording, seconds: float, *, step: float | None = None) -> tuple[Recording, ...]:
    """Cut a recording into windows of equal length; a rest that is too short is left out.

    Parameters
    ----------
    recording
        What is cut.
    seconds
        Length of a window.
    step
        From the beginning of one to that of the next; by default ``seconds``.
    """
    step = seconds if step is None else step
    count, stride = round(seconds * recording.sampling_rate), round(step * recording.sampling_rate)
    if count < 1 or stride < 1:
        raise ParameterError(
            f"windows of {seconds:g} s every {step:g} s hold no sample at {recording.sampling_rate:g} Hz"
        )
    starts = range(0, recording.signal.shape[1] - count + 1, stride)
    return tuple(attrs.evolve(recording, signal=recording.signal[:, s : s + count]) for s in starts)


def _standard(row: Array) -> Array:
    spread = row.std()
    return (row - row.mean()) / spread if spread > 0 else np.zeros_like(row)


def _range(row: Array) -> Array:
    low, high = row.min(), row.max()
    return 2 * (row - low) / (high - low) - 1 if high > low else np.zeros_like(row)


def _robust(row: Array) -> Array:
    centre = np.median(row)
    spread = np.subtract(*np.quantile(row, (0.75, 0.25)))
    return np.asarray((row - centre) / spread if spread > 0 else np.zeros_like(row))


_SCALES: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {"standard": _standard, "range": _range, "robust": _robust}
)


def scale(recording: Recording, how: str = "standard") -> Recording:
    """Scale every lead by itself; a lead that is constant becomes 0.

    Parameters
    ----------
    recording
        What is scaled; the result is no longer in millivolts.
    how
        ``"standard"``: mean 0, standard deviation 1; ``"range"``: −1 to 1; ``"robust"``: median 0,
        distance of the quartiles 1.
    """
    if how not in _SCALES:
        raise ParameterError(f"unknown scaling {how!r}; known: {', '.join(_SCALES)}")
    return attrs.evolve(recording, signal=np.stack([_SCALES[how](row) for row in recording.signal]))


def batch(
    recordings: Sequence[Recording], *, channels: Literal["first", "last"] = "first", dtype: Any = np.float32
) -> npt.NDArray[Any]:
    """Return recordings as a model's input.

    Parameters
    ----------
    recordings
        Of the same leads, length and sampling rate.
    channels
        ``"first"``: N × leads × samples (PyTorch); ``"last"``: N × samples × leads (Keras).
    dtype
        Of the array.
    """
    if not recordings:
        raise ParameterError("a batch needs at least one recording")
    first = recordings[0]
    for other in recordings[1:]:
        if (other.leads, other.sampling_rate, other.signal.shape) != (
            first.leads,
            first.sampling_rate,
            first.signal.shape,
        ):
            raise InputShapeError(f"recordings of one batch must be alike: {first!r} and {other!r}")
    stacked = np.stack([recording.signal for recording in recordings])
    if channels not in ("first", "last"):
        raise ParameterError(f"channels must be 'first' or 'last', got {channels!r}")
    return np.ascontiguousarray(stacked if channels == "first" else stacked.transpose(0, 2, 1), dtype=dtype)
