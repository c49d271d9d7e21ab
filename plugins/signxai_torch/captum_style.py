"""captum's way of asking: an object per method, tensors in and out."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

import signxai_core as sx
from signxai_core.errors import InputError
from signxai_core.specs import MethodSpec

Inputs = TypeVar("Inputs", Tensor, tuple[Tensor, ...])


class Attribution:
    """A method on a model.

    Parameters
    ----------
    model
        It is left as it is: no hooks stay behind.
    method
        Name or specification.
    **parameters
        Of :func:`signxai_core.explain`: ``convention``, ``seed``, ``mu``, ...

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> Attribution(model, "gradient_x_input").attribute(torch.tensor([[1.0, 2.0]]), target=0)
    tensor([[1., 2.]])
    """

    def __init__(self, model: nn.Module, method: str | MethodSpec, **parameters: Any) -> None:
        self.model = model
        self.method = method
        self.parameters = parameters

    def attribute(self, inputs: Inputs, target: Any = None, *, return_convergence_delta: bool = False) -> Any:
        """Return the relevance of every input value, with the inputs' type and device.

        Parameters
        ----------
        inputs
            A tensor with its batch axis, or a tuple of one.
        target
            Class, one class per sample (a list or a tensor), or ``None`` for the arg-max. captum
            has no default there and needs ``None`` for models with one output.
        return_convergence_delta
            Return a pair: relevance, and how far each sample's sum is from what it explains. As with
            captum, that is what is explained minus the sum for LRP, and the sum minus what is explained for
            other methods.
        """
        tensors = inputs if isinstance(inputs, tuple) else (inputs,)
        if len(tensors) != 1 or not isinstance(tensors[0], Tensor):
            raise InputError(f"inputs must be one tensor, or a tuple of one, got {_shown(inputs)}")
        (x,) = tensors
        given = target.detach().cpu().numpy() if isinstance(target, Tensor) else target
        explanation = sx.explain(self.model, x, self.method, given, **self.parameters)
        relevance = torch.as_tensor(explanation.relevance).to(x.device, x.dtype)
        result = (relevance,) if isinstance(inputs, tuple) else relevance
        if return_convergence_delta:
            gap = explanation.conservation.gap * (-1 if explanation.spec.family == "lrp" else 1)
            return result, torch.as_tensor(gap).to(x.device, x.dtype)
        return result


def _shown(inputs: Any) -> str:
    if isinstance(inputs, tuple):
        return f"a tuple of {len(inputs)}: {', '.join(type(value).__name__ for value in inputs) or 'nothing'}"
    return type(inputs).__name__
