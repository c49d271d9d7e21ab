"""A plug-in: hooks that hand over light values; the factories they name are imported when used."""

from __future__ import annotations

from signxai_core.registry import CompositeEntry, Grid, RuleEntry, Word, hookimpl
from signxai_core.specs import Preset

__all__ = [
    "SIGNXAI_HOOKS",
    "signxai_composites",
    "signxai_methods",
    "signxai_presets",
    "signxai_rules",
    "signxai_words",
]

#: The version of the hooks that this was written for; an older signxai-core says so and leaves it out.
SIGNXAI_HOOKS = 1

_REFERENCE = "the plug-in template of signxai-core"


@hookimpl
def signxai_rules() -> list[RuleEntry]:
    """``example`` gives the arguments with which the conformance suite tests the rule."""
    return [
        RuleEntry(
            name="evidence",
            factory="signxai_example.rules:evidence",
            reference=_REFERENCE,
            example={"supporting": 0.75},
        )
    ]


@hookimpl
def signxai_composites() -> list[CompositeEntry]:
    """Composites can be extended in configuration files."""
    return [CompositeEntry(name="evidence", factory="signxai_example.words:everywhere", reference=_REFERENCE)]


@hookimpl
def signxai_words() -> list[Word]:
    """A prefix names the rule of the input layer, a chain the rules of all others."""
    return [
        Word(text="lrpevidence", role="prefix", factory="signxai_example.words:input_layer", reference=_REFERENCE),
        Word(
            text="evidence_{supporting}",
            role="chain",
            factory="signxai_example.words:everywhere",
            reference=_REFERENCE,
        ),
    ]


@hookimpl
def signxai_presets() -> list[Preset]:
    """Facts about inputs: names can end in ``_UnitBox``."""
    return [Preset(name="UnitBox", low=0, high=1, reference=_REFERENCE)]


@hookimpl
def signxai_methods() -> list[Grid]:
    """Names that ``signxai methods`` lists; any other combination works as well."""
    return [
        Grid(template="lrpevidence_{chain}", choices={"chain": ("z", "epsilon_0_1", "evidence_0_75")}),
        Grid(template="zblrp_evidence_0_5_UnitBox"),
    ]
