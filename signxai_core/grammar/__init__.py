"""Names of methods: parsed, printed, and their parameters filled in."""

from signxai_core.grammar.numbers import number_to_text
from signxai_core.grammar.parameters import Parameter, configure, parameters
from signxai_core.grammar.parse import parse, reads
from signxai_core.grammar.unparse import describe, unparse

__all__ = ["Parameter", "configure", "describe", "number_to_text", "parameters", "parse", "reads", "unparse"]
