"""The slow reference as a backend: handed whole methods, because it shares no formula with the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from signxai_core.engine.plan import Linearised
from signxai_core.engine.run import Run, raw_of
from signxai_core.specs.methods import MethodSpec
from signxai_core.testing import reference
from signxai_core.testing.numpy_backend.backend import NumpyBackend


class ReferenceExecutor:
    """Every rule from the explicit matrix of its operation; see :mod:`signxai_core.testing.reference`.

    The network is recorded by the NumPy backend, from which plan and output come; relevance does not
    see the recording.
    """

    name = "reference"

    def __init__(self) -> None:
        self.backend = NumpyBackend()

    def obstacles(self, run: Run, spec: MethodSpec) -> Iterator[str]:
        """Return what the reference does not do."""
        if run.selection.function is not None:
            yield "a function as target: the reference explains classes"
        for assignment in run.assign(raw_of(spec, run.seed), run.clean).values():
            if any(isinstance(part.rule, Linearised) for step in assignment.steps for part in step):
                yield "an operation without a rule: the reference does not linearise"

    def relevance(self, run: Run, spec: MethodSpec) -> npt.NDArray[Any]:
        """Return the map that the reference computes."""
        seed: Any = run.seed
        return reference.explain(run.model, run.x, spec, run.selection.indices, seed).relevance
