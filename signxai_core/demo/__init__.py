"""``signxai demo``: handwritten digits, a small network trained on them, and every method's maps.

The data come with scikit-learn, so that the demo needs no network access.
"""

from signxai_core.demo.work import Request, run

__all__ = ["Request", "run"]
