"""PyTorch's large functions as formulas: the same primitives as every other backend records.

A formula is a function of PyTorch calls with the signature of what it stands for. While a model is
recorded, it runs in its place, under the recording. One that cannot say what it was asked for returns
``NotImplemented`` before it calls anything; then the function is recorded as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from signxai_torch.formulas import attention, norms, recurrent


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
    """

    function: Callable[..., Any]
    group: str = ""
    asks: bool = False


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
    **_recurrent("lstm", "lstm", "lstm_cell"),
    **_recurrent("gru", "gru", "gru_cell"),
    **_recurrent("rnn", "rnn_tanh", "rnn_relu", "rnn_tanh_cell", "rnn_relu_cell"),
}
