"""What zennit cannot express, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from signxai_core.errors import PlanError

#: Key -> reason; the tests have one case for each.
CANNOT: Final[Mapping[str, str]] = MappingProxyType(
    {
        # of a method
        "std": "a stabiliser relative to the deviation of an operation's input: zennit's stabilisers see its output",
        "normalisation": "a rule for batch-normalisation on its own: zennit merges it or passes relevance through",
        "function": "a rule that is a Python function over linear maps: zennit's hooks do not hand those over",
        "exact": "clipping or not masking at anything but activations: zennit's hooks do so for ReLUs",
        "modifier": "a factor on the finished map: zennit's composites end at the input's gradient",
        "sampling": "sampling: a composite is one backward pass (zennit's attributors sample)",
        "cam": "class-activation maps: a composite is one backward pass to the input",
        # of a model
        "functional": "operations outside of modules (x + skip, F.relu): zennit's hooks sit on modules",
        "class": "modules of a class of one's own: which operation they are, hooks cannot see",
        "reused": "a module that is used twice: zennit's hooks keep one input",
        "before": "batch-normalisation or scaling in front of a linear operation: zennit merges those behind one",
        "padding": "padding as part of a rule for which 0 is not 0 (flat, w², zB): zennit's hooks see padding as input",
        "order": "an input layer that is not the first module with weights: zennit goes by the order of modules",
        "linearised": "an operation without a rule, linearised because of strict=False: zennit has no hook for that",
        "head": "explaining the logit in front of a softmax: zennit starts from the model's output",
    }
)


def refuse(what: str, detail: str) -> PlanError:
    """Return the error for something that zennit cannot express."""
    return PlanError(f"zennit cannot express {CANNOT[what]}. Found: {detail}")
