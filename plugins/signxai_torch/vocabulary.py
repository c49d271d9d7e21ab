"""Names of PyTorch's functions: what they are called here, what kind they are, how they are read.

PyTorch reaches one function under many names (``x + y``, ``x += y``, ``x.add_(y)``, ``torch.add``).
:func:`canonical` gives all of them one name; the tables say the rest. A function in no table is
recorded with the kind ``other``: gradients go through it, LRP asks for a rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from signxai_core.specs.operations import Kind

#: Other names of a function; reflected operators whose order does not matter are among them.
_ALIASES: dict[str, str] = {
    "radd": "add",
    "iadd": "add",
    "isub": "sub",
    "subtract": "sub",
    "rmul": "mul",
    "imul": "mul",
    "multiply": "mul",
    "truediv": "div",
    "itruediv": "div",
    "idiv": "div",
    "true_divide": "div",
    "divide": "div",
    "rtruediv": "rdiv",
    "negative": "neg",
    "clip": "clamp",
    "_threshold": "threshold",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "concat": "cat",
    "concatenate": "cat",
    "expit": "sigmoid",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "absolute": "abs",
    "fix": "trunc",
    "linalg_matmul": "matmul",
    "fmax": "maximum",
    "fmin": "minimum",
    "pos": "positive",
    "floordiv": "floor_divide",
    "ifloordiv": "floor_divide",
    "rfloordiv": "floor_divide",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "moveaxis": "movedim",
    "hardtanh_": "hardtanh",
    "upsample": "interpolate",
    "native_dropout": "dropout",
    "max_pool1d_with_indices": "max_pool1d",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d",
}

#: Properties that compute a tensor; any other property is a fact about the tensor.
_VIEWS = frozenset({"T", "mT", "H", "mH", "data", "real", "imag"})

#: Functions that are about the tensor object, not its numbers: run on the user's own objects.
METADATA = frozenset(
    {"size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "is_contiguous", "__len__"}
    | {"is_floating_point", "is_complex", "get_device", "element_size", "__hash__", "__repr__", "__format__"}
    | {"requires_grad_", "retain_grad", "register_hook", "register_post_accumulate_grad_hook", "data_ptr"}
    | {"untyped_storage", "storage", "is_same_size", "result_type", "_set_grad_enabled", "is_shared"}
)

#: Results that depend on the shape of their argument, not on its numbers.
CONSTANT = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like"}
    | {"new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "new"}
)

#: Functions that take only shape, type or device from their second argument.
LIKE = frozenset({"expand_as", "view_as", "reshape_as", "type_as", "to", "resize_as"})

#: Functions that change the order of axes.
TRANSPOSITIONS = frozenset({"permute", "transpose", "T", "mT", "H", "mH", "t", "adjoint", "movedim"})
_SHAPE = (
    "reshape view flatten ravel unsqueeze squeeze expand "
    "expand_as repeat tile view_as reshape_as unflatten flip fliplr flipud rot90 roll contiguous clone positive "
    "alias pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle broadcast_to "
    "atleast_1d atleast_2d atleast_3d identity as_strided real"
)
#: Index maps with an index that must not depend on the input (checked for all kinds alike).
_INDEX = (
    "split tensor_split chunk unbind narrow select index_select getitem take gather take_along_dim unfold "
    "repeat_interleave to float double half bfloat16 type type_as cuda cpu "
    "hsplit vsplit dsplit masked_select diagonal unsafe_chunk unsafe_split split_with_sizes "
    "_pack_padded_sequence _pad_packed_sequence max_unpool1d max_unpool2d max_unpool3d diag_embed im2col"
)
_POOLS = "{0}1d {0}2d {0}3d"


def _table(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(" ".join(names).split(), kind)


#: Functions whose name alone decides their kind.
KIND: dict[str, Kind] = {
    **_table("activation", "rrelu log_sigmoid arctan arcsin arccos arctanh arcsinh arccosh"),
    **_table("step", "sign sgn floor ceil round trunc heaviside floor_divide"),
    **_table("dropout", "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout"),
    **_table("shape", _SHAPE, _INDEX),
    **_table("selection", "tril triu nan_to_num"),
    **_table("average_pooling", "fold col2im", _POOLS.format("avg_pool"), _POOLS.format("adaptive_avg_pool")),
    **_table("max_pooling", _POOLS.format("max_pool"), _POOLS.format("adaptive_max_pool")),
}

#: Names under which the recording shows them; frameworks share these.
NEUTRAL: dict[str, str] = {
    "getitem": "index",
    "cat": "concat",
    "rrelu": "leaky_relu",
    "log_sigmoid": "logsigmoid",
    "sgn": "sign",
    **{f"arc{name}": f"a{name}" for name in ("tan", "sin", "cos", "tanh", "sinh", "cosh")},
    **dict.fromkeys(TRANSPOSITIONS, "permute"),
}

#: Parameters by position, where they are read by name.
SIGNATURES: dict[str, tuple[str, ...]] = {
    **{f"conv{n}d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups") for n in (1, 2, 3)},
    **{
        f"conv_transpose{n}d": (
            ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
        )
        for n in (1, 2, 3)
    },
    "linear": ("input", "weight", "bias"),
    "matmul": ("input", "other"),
    "addmm": ("bias", "input", "other"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "instance_norm": (("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")),
    **dict.fromkeys(("add", "rsub"), ("input", "other", "alpha")),
    "sub": ("input", "other", "alpha"),
    "mul": ("input", "other"),
    **dict.fromkeys(("div", "rdiv", "rpow"), ("input", "other")),
    "pad": ("input", "pad", "mode", "value"),
    "grid_sample": ("input", "grid", "mode"),
    "interpolate": ("input", "size", "scale_factor", "mode"),
    **dict.fromkeys(("mean", "sum", "max", "amax", "min", "amin", "logsumexp"), ("input", "dim", "keepdim")),
    **dict.fromkeys(("median", "nanmedian", "mode"), ("input", "dim", "keepdim")),
    **dict.fromkeys(("softmax", "log_softmax", "sort", "cummax", "cummin", "cumsum"), ("input", "dim")),
    **dict.fromkeys(("cat", "stack"), ("tensors", "dim")),
    **dict.fromkeys(("maximum", "minimum"), ("input", "other")),
    "topk": ("input", "k", "dim"),
    "kthvalue": ("input", "k", "dim", "keepdim"),
    "pow": ("input", "exponent"),
    "leaky_relu": ("input", "negative_slope"),
    "prelu": ("input", "weight"),
    "elu": ("input", "alpha"),
    "clamp": ("input", "min", "max"),
    "clamp_min": ("input", "min"),
    "clamp_max": ("input", "max"),
    "hardtanh": ("input", "min_val", "max_val"),
    "threshold": ("input", "threshold", "value"),
}
_SYNONYMS = {"self": "input", "mat1": "input", "mat2": "other", "axis": "dim", "x": "input", "vec": "other"}
_SYNONYMS["keepdims"] = "keepdim"


@attrs.frozen
class Facts:
    """What a function's name says.

    Parameters
    ----------
    name
        The function's own name; that of the property for ``__get__``.
    canonical
        One name for a function, its in-place form and its operator.
    is_metadata
        A call reads a fact about the tensor object.
    is_assignment
        A call sets a property of a tensor.
    is_inplace
        A call writes its result into its first argument.
    """

    name: str
    canonical: str
    is_metadata: bool
    is_assignment: bool
    is_inplace: bool


@functools.lru_cache(maxsize=1024)
def facts(func: Callable[..., Any]) -> Facts:
    """Return what a function's name says."""
    name = _raw_name(func)
    return Facts(name, canonical(name), _is_metadata(func, name), _is_assignment(func), _is_inplace(name))


def _raw_name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return str(name)


def _is_assignment(func: Callable[..., Any]) -> bool:
    return getattr(func, "__name__", "") == "__set__"


def canonical(name: str) -> str:
    """Return one name for a function, its in-place form and its operator."""
    name = name.partition(".")[0]  # torch.ops.aten.add.Tensor, in exported models
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
    name = name.removeprefix("special_").removesuffix("_") or name
    return _ALIASES.get(name, name)


def _is_metadata(func: Callable[..., Any], name: str) -> bool:
    if getattr(func, "__name__", "") == "__get__":
        return name not in _VIEWS
    if _is_assignment(func):
        return name == "requires_grad"
    return name in METADATA


_INPLACE_OPERATORS = frozenset(
    {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__", "__ipow__", "__ifloordiv__", "__imod__"}
    | {"__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__", "__setitem__"}
)


def _is_inplace(name: str) -> bool:
    if name in _INPLACE_OPERATORS:
        return True
    return name.endswith("_") and not name.endswith("__")


def bind(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name."""
    named = dict(zip(SIGNATURES[name], args, strict=False))
    named.update({_SYNONYMS.get(key, key): value for key, value in kwargs.items()})
    return named
