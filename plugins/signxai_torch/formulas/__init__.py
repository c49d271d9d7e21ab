"""PyTorch's large functions as formulas: the same primitives as every other backend records.

A formula is a function of PyTorch calls with the signature of what it stands for. While a model is
recorded, it runs in its place, under the recording. One that cannot say what it was asked for returns
``NotImplemented`` before it calls anything; then the function is recorded as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import attrs

from signxai_torch.formulas import attention, norms, others, products, recurrent


@attrs.frozen
class Formula:
    """A function as others.

    Parameters
    ----------
    function
        Computes the same; ``NotImplemented`` where it cannot.
    group
        Neutral name of the operations that it is recorded as; empty where they are no group.
    asks
        It has a parameter ``live``, which tells whether a tensor depends on the model's input.
    behind_first
        It is for calls in which an argument behind the first depends on the input.
    """

    function: Callable[..., Any]
    group: str = ""
    asks: bool = False
    behind_first: bool = False


def _named(module: ModuleType, *names: str, asks: bool = False) -> dict[str, Formula]:
    """Return formulas that make no group."""
    return {name: Formula(getattr(module, name), asks=asks) for name in names}


def _recurrent(group: str, *names: str) -> dict[str, Formula]:
    return {name: Formula(getattr(recurrent, name), group, asks=True) for name in names}


#: By canonical name.
FORMULAS: dict[str, Formula] = {
    **{
        name: Formula(getattr(norms, name), name)
        for name in ("layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "local_response_norm")
    },
    "native_layer_norm": Formula(norms.native_layer_norm, "layer_norm"),
    **{name: Formula(getattr(norms, name), "norm") for name in ("norm", "linalg_norm", "linalg_vector_norm")},
    **{name: Formula(getattr(norms, name), name.partition("_")[0]) for name in ("var", "std", "var_mean", "std_mean")},
    "cosine_similarity": Formula(norms.cosine_similarity, "cosine_similarity"),
    "scaled_dot_product_attention": Formula(attention.scaled_dot_product_attention, "attention"),
    "attention": Formula(attention.attention_group, "attention"),
    "multi_head_attention_forward": Formula(attention.multi_head_attention_forward),
    **_named(products, "addcmul", "addcdiv", "lerp", "baddbmm", "rmatmul", "chain_matmul", "inner", "tensordot"),
    **_named(products, "einsum", "bilinear"),
    **_named(products, "addmm", asks=True),
    "linear": Formula(products.linear, behind_first=True),
    **{name: Formula(formula, behind_first=True) for name, formula in products.CONVOLUTIONS.items()},
    "linalg_multi_dot": Formula(products.multi_dot),
    **_named(others, "glu", "softmin", "logaddexp", "broadcast_tensors", "diff"),
    **{name: Formula(getattr(others, name), "norm") for name in ("pairwise_distance", "cdist")},
    **{name: Formula(getattr(others, name), "lp_pool") for name in ("lp_pool1d", "lp_pool2d", "lp_pool3d")},
    **_named(others, "scatter_add", "index_add", "scatter_reduce", asks=True),
    **_recurrent("lstm", "lstm", "lstm_cell"),
    **_recurrent("gru", "gru", "gru_cell"),
    **_recurrent("rnn", "rnn_tanh", "rnn_relu", "rnn_tanh_cell", "rnn_relu_cell"),
}
