"""Names and orders of the leads of an ECG."""

from __future__ import annotations

from collections.abc import Iterable

#: The twelve standard leads, in the order in which devices and PTB-XL store them.
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
#: The same with the limb leads in the order of the heart's axes (Cabrera).
CABRERA_LEADS = ("aVL", "I", "-aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6")

_SPELLINGS = {name.lower(): name for name in (*STANDARD_LEADS, "-aVR", "MLII")}
_SPELLINGS |= {"di": "I", "dii": "II", "diii": "III", "d1": "I", "d2": "II", "d3": "III", "ml2": "MLII"}


def spelled(name: str) -> str:
    """Return a lead's usual spelling; what is no lead stays as it is.

    Examples
    --------
    >>> spelled("AVR"), spelled("lead v1"), spelled("accelerometer")
    ('aVR', 'V1', 'accelerometer')
    """
    plain = name.strip()
    short = plain.lower().removeprefix("lead").strip(" _")
    return _SPELLINGS.get(short, plain)


def is_lead(name: str) -> bool:
    """Return whether a name, however it is spelled, is that of an ECG's lead."""
    return spelled(name) in _SPELLINGS.values()


def twice(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})
