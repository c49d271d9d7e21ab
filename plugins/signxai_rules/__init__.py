"""The rules, composites, words and presets of the SIGN family and the LRP literature.

This plugin stands on the same footing as a third party's: it is found through the entry-point
group ``signxai``. :mod:`signxai_rules.tables` holds one row per rule, composite and word; the
factories they name stand in :mod:`~signxai_rules.rules`, :mod:`~signxai_rules.composites` and
:mod:`~signxai_rules.methods`.
"""

from collections.abc import Iterable

from signxai_core.registry import CompositeEntry, Grid, RuleEntry, Word, hookimpl
from signxai_core.specs import Preset
from signxai_rules import published, tables

__all__ = ["signxai_composites", "signxai_methods", "signxai_presets", "signxai_rules", "signxai_words"]


@hookimpl
def signxai_rules() -> Iterable[RuleEntry]:
    """Every rule of the literature that the library ships."""
    return tables.RULES


@hookimpl
def signxai_composites() -> Iterable[CompositeEntry]:
    """Every composite."""
    return tables.COMPOSITES


@hookimpl
def signxai_words() -> Iterable[Word]:
    """The words of method names."""
    return tables.WORDS


@hookimpl
def signxai_presets() -> Iterable[Preset]:
    """Presets of the published table."""
    return tables.PRESETS


@hookimpl
def signxai_methods() -> Iterable[Grid]:
    """The published table of methods, as grids."""
    return published.GRIDS
