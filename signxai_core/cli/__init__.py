"""The command line ``signxai``.

Importing this package, and every command that only reads the registry (``methods``, ``show``,
``plugins``), imports no framework and no plotting library.
"""

from signxai_core.cli.app import main

__all__ = ["main"]
