"""What checks a backend: networks as data and the slow reference in NumPy.

:mod:`signxai_core.testing.strategies` draws networks, inputs and rules; it needs Hypothesis and is
imported by itself.
"""

from signxai_core.testing.network import Network, Node
from signxai_core.testing.reference import ReferenceResult, explain, forward

__all__ = ["Network", "Node", "ReferenceResult", "explain", "forward"]
