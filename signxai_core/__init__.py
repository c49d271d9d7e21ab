"""Attribution methods and Layer-wise Relevance Propagation, as data, for every framework.

A method is data, a rule is data, a name is parsed, and every backend interprets the same data:

    name ──parse──▶ MethodSpec ──resolve on a recorded model──▶ Plan ──propagate──▶ Explanation
"""

from signxai_core.api import backends, dump, explain, explain_many, load, methods, name, parse, plan, rules
from signxai_core.compare import Compared, Comparison, compare
from signxai_core.explanation import Conservation, Explanation
from signxai_core.kept import forget
from signxai_core.layer_rules import with_rules
from signxai_core.specs import MethodSpec

__version__ = "0.1.0"

__all__ = [
    "Compared",
    "Comparison",
    "Conservation",
    "Explanation",
    "MethodSpec",
    "__version__",
    "backends",
    "compare",
    "dump",
    "explain",
    "explain_many",
    "forget",
    "load",
    "methods",
    "name",
    "parse",
    "plan",
    "rules",
    "with_rules",
]
