"""Names and orders of the leads of an ECG."""

from __future__ import annotations

#: The twelve standard leads, in the order in which devices and PTB-XL store them.
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
