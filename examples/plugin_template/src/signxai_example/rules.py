"""Rules: what fills the slots of the formula in ``signxai_core.specs.rules``."""

from __future__ import annotations

from signxai_core.specs import NEGATIVE, POSITIVE, ZERO, Rule, Share, Term


def evidence(supporting: float = 0.5) -> Rule:
    """Share relevance out among supporting and opposing contributions, each in proportion.

    ``R_in = supporting·P + (1 − supporting)·N`` with the P and N of the alpha-beta rule without
    bias. Unlike there, both parts keep the sign of R: a map of what took part, whichever way.

    Parameters
    ----------
    supporting
        Part of the relevance that supporting contributions get, from 0 to 1.
    """
    if not 0 <= supporting <= 1:
        raise ValueError(f"supporting must be between 0 and 1, got {supporting!r}")
    shares = (
        Share((Term(POSITIVE, POSITIVE, ZERO), Term(NEGATIVE, NEGATIVE, ZERO)), supporting),
        Share((Term(POSITIVE, NEGATIVE, ZERO), Term(NEGATIVE, POSITIVE, ZERO)), 1 - supporting),
    )
    return Rule(shares, name=f"evidence {supporting:g}")
