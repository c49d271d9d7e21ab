"""The suite that every backend must pass.

>>> from signxai_core.testing.conformance import run
>>> print(run("torch"))  # doctest: +SKIP

:func:`cases` lists everything that is checked: every registered rule at every kind of operation
(:mod:`~signxai_core.testing.conformance.rules`), and the contract of
:mod:`signxai_core.engine.backend` without any rule. The same with pytest, for the backends that the
environment variable ``SIGNXAI_BACKEND`` names, else all::

    SIGNXAI_BACKEND=torch pytest --pyargs signxai_core.testing
"""

from signxai_core.testing.conformance.cases import Case, cases
from signxai_core.testing.conformance.report import Outcome, Report, run
from signxai_core.testing.conformance.subject import DisagreementError, Subject, load_subject

__all__ = ["Case", "DisagreementError", "Outcome", "Report", "Subject", "cases", "load_subject", "run"]
