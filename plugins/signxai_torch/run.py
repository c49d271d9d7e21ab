"""Run a model under a recording, and check what comes out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signxai_core.engine.backend import Recording
from signxai_core.errors import InputShapeError, ModelError, OutputError, SignxaiError
from signxai_torch.calls import exact
from signxai_torch.record import Run
from signxai_torch.rewrite import HALF
from signxai_torch.shadow import Shadow


def run_model(model: Any, x: Tensor) -> Recording:
    """Return the recording of ``model`` on ``x``, a tensor of our own."""
    with torch.inference_mode(False), torch.enable_grad(), exact(x):
        run = Run()
        x = x.float() if x.dtype in HALF else x
        handed = run.ledger.track(x)
        shadow = Shadow(model, run.stack)
        try:
            output = _forward(shadow.model, handed, run)
            result = _output(run, output, x.shape)
        finally:
            shadow.close()
    return Recording(
        operations=tuple(run.operations),
        values=run.ledger.values,
        input=0,
        output=result,
        batch=x.shape[0],
        channel_axis=1,
        rounding=_rounding(x),
        warnings=tuple(run.draws.warnings),
    )


def _rounding(x: Tensor) -> float:
    """Return the relative rounding error of products on ``x``'s device."""
    tf32 = x.is_cuda and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return max(2.0**-11 if tf32 and x.dtype == torch.float32 else 0.0, torch.finfo(x.dtype).eps / 2)


def _forward(model: Any, x: Tensor, run: Run) -> Any:
    shape = tuple(x.shape)
    try:
        with run:
            return model(x)
    except SignxaiError:
        raise
    except Exception as error:
        where = f"in layer {run.path!r}" if run.path else "in the model's own forward function"
        after = f", at function {run.last!r}" if run.last else ""
        raise ModelError(
            f"the model failed on an input of shape {shape} {where}{after}: {type(error).__name__}: {error}"
        ) from error


def _output(run: Run, output: Any, shape: torch.Size) -> int:
    """Return the id of the output, checked."""
    if not isinstance(output, Tensor):
        what = type(output).__name__
        raise OutputError(
            f"the model returned {what}, and one tensor is needed: wrap it in a function or module that picks "
            "one, such as lambda x: model(x)[0] or model(x).logits"
        )
    identity = run.identity(output)
    if identity is None:
        raise ModelError(
            "the model's output does not depend on its input through derivatives: it was detached, computed "
            "under torch.no_grad, rounded to integers (argmax), or does not use the input at all"
        )
    if not output.dim() or output.shape[0] != shape[0]:
        raise InputShapeError(
            f"the model turned an input of shape {tuple(shape)} into an output of shape {tuple(output.shape)}: the "
            f"first axis of both must be the batch; for one sample give x[None], shape {(1, *shape)}"
        )
    return identity
