"""Configuration files: TOML to specs and back, all mistakes of a file at once."""

from signxai_core.config.converter import make_converter
from signxai_core.config.load import dump, read

__all__ = ["dump", "make_converter", "read"]
