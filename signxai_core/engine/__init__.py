"""The engine: recorded operations in, relevance out, once for all frameworks."""

from signxai_core.engine.attribute import Outcome, Result, attribute
from signxai_core.engine.backend import Array, Backend, Operation, Recording
from signxai_core.engine.plan import Plan, Row

__all__ = ["Array", "Backend", "Operation", "Outcome", "Plan", "Recording", "Result", "Row", "attribute"]
