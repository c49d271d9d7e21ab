"""Configuration files: TOML to specs and back, all mistakes of a file at once."""

from signxai_core.config.converter import make_converter
from signxai_core.config.dump import dump
from signxai_core.config.load import experiments, read
from signxai_core.config.plain import from_plain, to_plain

__all__ = ["dump", "experiments", "from_plain", "make_converter", "read", "to_plain"]
