"""Quantus asks whether zennit can be imported, and would take the folder ``tests/zennit`` for it."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = str(Path(__file__).parent.parent)
sys.path[:] = [folder for folder in sys.path if folder != TESTS]
