"""The backend ``zennit``: plans of ours on PyTorch models, carried out by zennit's hooks.

A backend of the ordinary kind differentiates one operation at a time and knows no rule, while zennit
hands rules to modules and runs PyTorch's backward pass through them. So it is registered as an
:class:`~signxai_core.engine.executor.Executor`: the model is recorded, the output selected and the
plan made as for any backend, and zennit computes the relevance. Two engines that share nothing but
the plan check each other::

    sx.explain(model, x, "lrp_epsilon_plus", backend="zennit")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from signxai_core.engine.run import Run
from signxai_core.specs import MethodSpec
from signxai_torch.backend import TorchBackend
from signxai_torch.zennit_bridge.guard import need_zennit


class WithZennit:
    """zennit as an executor.

    While it runs, zennit hooks the model and merges batch-normalisation; both are undone. What it
    cannot express is refused with the reasons, which are :data:`signxai_torch.zennit_bridge.CANNOT`.

    Raises
    ------
    BackendError
        When zennit cannot be imported.
    """

    name = "zennit"

    def __init__(self) -> None:
        need_zennit()
        self.backend = TorchBackend()

    def obstacles(self, run: Run, spec: MethodSpec) -> Iterable[str]:
        """Return the reasons why zennit would compute something else than the plan says."""
        from signxai_torch.zennit_bridge import running  # noqa: PLC0415 - imports zennit

        return running.obstacles(run, spec)

    def relevance(self, run: Run, spec: MethodSpec) -> npt.NDArray[Any]:
        """Return the relevance that zennit's hooks bring to the input."""
        from signxai_torch.zennit_bridge import running  # noqa: PLC0415 - imports zennit

        return running.relevance(run, spec)
