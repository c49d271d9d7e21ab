"""Which arrays of a Keras layer and of a PyTorch module are the same, and how they are laid out."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ModelError
from signxai_tf.porting_products import attention, einsum_dense
from signxai_tf.porting_recurrent import recurrent
from signxai_tf.porting_slots import Slot

FloatArray = npt.NDArray[Any]
Order = npt.NDArray[np.intp] | None


def slots(layer: Any, module: Any, order: Order) -> list[Slot]:
    """Return the arrays of a Keras layer and its twin in PyTorch.

    Parameters
    ----------
    layer, module
        The layers; both have weights of their own.
    order
        See :func:`features`.

    Raises
    ------
    ModelError
        Saying what differs.
    """
    for kinds, twins, read in _TABLE:
        if isinstance(layer, kinds):
            nn = sys.modules["torch"].nn
            expected = tuple(getattr(nn, name) for name in twins if hasattr(nn, name))
            if not isinstance(module, expected):
                raise ModelError(f"the twin of a {type(layer).__name__} is a torch.nn.{twins[0]}")
            _same(layer, module)
            return list(read(layer, module, order))
    known = sorted({kind.__name__ for kinds, _, _ in _TABLE for kind in kinds})
    raise ModelError(f"layers of type {type(layer).__name__} are not known; known are {', '.join(known)}")


def _same(layer: Any, module: Any) -> None:
    """Refuse layers that compute something else with the same weights."""
    axes = len(layer.kernel_size) if hasattr(layer, "kernel_size") else 0
    facts = [("epsilons", getattr(layer, "epsilon", None), getattr(module, "eps", None))]
    if axes:
        groups = module.in_channels if _is_depthwise(layer) else getattr(layer, "groups", 1)
        facts += [
            ("strides", _tuple(layer.strides, axes), _tuple(module.stride, axes)),
            ("dilations", _tuple(layer.dilation_rate, axes), _tuple(module.dilation, axes)),
            ("groups", groups, module.groups),
        ]
    for name, ours, theirs in facts:
        if ours != theirs:
            raise ModelError(f"their {name} differ: {ours} in Keras, {theirs} in PyTorch")


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D)


def _swapped(array: FloatArray) -> FloatArray:
    """Turn (*kernel, a, b) into (b, a, *kernel)."""
    return np.transpose(array, (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)))


def _unswapped(array: FloatArray) -> FloatArray:
    return np.transpose(array, (*range(2, array.ndim), 1, 0))


def _bias(layer: Any, module: Any) -> Slot:
    return Slot(name="bias", keras=layer.bias, torch=module.bias, neutral=0.0)


def _dense(layer: Any, module: Any, order: Order) -> Iterator[Slot]:
    place = np.arange(layer.kernel.shape[0]) if order is None else order
    back = np.argsort(place)
    yield Slot(
        name="kernel",
        keras=layer.kernel,
        torch=module.weight,
        to_torch=lambda kernel: kernel[place].T,
        to_keras=lambda weight: weight.T[back] if weight.shape[1] == len(back) else weight.T,
    )
    yield _bias(layer, module)


def _conv(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    yield Slot(name="kernel", keras=layer.kernel, torch=module.weight, to_torch=_swapped, to_keras=_unswapped)
    yield _bias(layer, module)


def _depthwise(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    def to_torch(kernel: FloatArray) -> FloatArray:
        *size, inner, several = kernel.shape
        axes = (kernel.ndim - 2, kernel.ndim - 1, *range(kernel.ndim - 2))
        return np.transpose(kernel, axes).reshape(inner * several, 1, *size)

    def to_keras(weight: FloatArray) -> FloatArray:
        split = weight.reshape(module.in_channels, -1, *weight.shape[2:])
        return np.transpose(split, (*range(2, split.ndim), 0, 1))

    yield Slot(name="kernel", keras=layer.kernel, torch=module.weight, to_torch=to_torch, to_keras=to_keras)
    yield _bias(layer, module)


def _vector(name: str, keras_: Any, torch_: Any, neutral: float, order: Order) -> Slot:
    if order is None:
        return Slot(name=name, keras=keras_, torch=torch_, neutral=neutral)
    back = np.argsort(order)
    return Slot(
        name=name,
        keras=keras_,
        torch=torch_,
        neutral=neutral,
        to_torch=lambda a: a[order],
        to_keras=lambda a: a[back] if len(a) == len(back) else a,
    )


def _normalisation(layer: Any, module: Any, order: Order) -> Iterator[Slot]:
    if isinstance(layer, keras.layers.LayerNormalization) and getattr(layer, "rms_scaling", False):
        raise ModelError("it divides by the root of the mean square (rms_scaling), which LayerNorm does not")
    yield _vector("gamma", layer.gamma, module.weight, 1.0, order)
    yield _vector("beta", layer.beta, module.bias, 0.0, order)


def _batch_norm(layer: Any, module: Any, order: Order) -> Iterator[Slot]:
    if module.running_mean is None:
        raise ModelError("the PyTorch layer keeps no running statistics (track_running_stats=False)")
    yield from _normalisation(layer, module, order)
    yield _vector("mean", layer.moving_mean, module.running_mean, 0.0, order)
    yield _vector("variance", layer.moving_variance, module.running_var, 1.0, order)


def _recurrent(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    yield from recurrent(layer, module)


def _einsum_dense(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    yield from einsum_dense(layer, module)


def _attention(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    yield from attention(layer, module)


def _group_norm(layer: Any, module: Any, order: Order) -> Iterator[Slot]:
    channels = module.num_channels if hasattr(module, "num_channels") else module.num_features
    groups = getattr(module, "num_groups", channels)
    if (channels if layer.groups == -1 else layer.groups) != groups:
        raise ModelError(f"their groups differ: {layer.groups} in Keras, {groups} in PyTorch")
    yield from _normalisation(layer, module, order)


def _rms_norm(layer: Any, module: Any, order: Order) -> Iterator[Slot]:
    yield _vector("scale", layer.scale, module.weight, 1.0, order)


def _embedding(layer: Any, module: Any, _: Order) -> Iterator[Slot]:
    yield Slot(name="table", keras=layer.embeddings, torch=module.weight)


_Read = Callable[[Any, Any, Order], Iterator[Slot]]
_K = keras.layers
_TABLE: tuple[tuple[tuple[type, ...], tuple[str, ...], _Read], ...] = (
    ((_K.Dense,), ("Linear",), _dense),
    ((_K.DepthwiseConv1D,), ("Conv1d",), _depthwise),
    ((_K.DepthwiseConv2D,), ("Conv2d",), _depthwise),
    ((_K.Conv1D,), ("Conv1d",), _conv),
    ((_K.Conv2D,), ("Conv2d",), _conv),
    ((_K.Conv3D,), ("Conv3d",), _conv),
    ((_K.Conv1DTranspose,), ("ConvTranspose1d",), _conv),
    ((_K.Conv2DTranspose,), ("ConvTranspose2d",), _conv),
    ((_K.Conv3DTranspose,), ("ConvTranspose3d",), _conv),
    ((_K.BatchNormalization,), ("BatchNorm2d", "BatchNorm1d", "BatchNorm3d"), _batch_norm),
    ((_K.LayerNormalization,), ("LayerNorm",), _normalisation),
    ((_K.Embedding,), ("Embedding",), _embedding),
    ((_K.LSTMCell, _K.GRUCell, _K.SimpleRNNCell, _K.Bidirectional), ("LSTM", "GRU", "RNN"), _recurrent),
    ((_K.GroupNormalization,), ("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _group_norm),
    ((_K.EinsumDense,), ("Linear",), _einsum_dense),
    ((_K.MultiHeadAttention,), ("MultiheadAttention",), _attention),
    *((((_K.RMSNormalization,), ("RMSNorm",), _rms_norm),) if hasattr(_K, "RMSNormalization") else ()),
)


def width(layer: Any) -> int | None:
    """Return how many input features a layer tells apart by place; ``None`` where that is not the question."""
    if isinstance(layer, _K.Dense):
        return int(layer.kernel.shape[0])
    if isinstance(layer, _K.BatchNormalization):
        return int(layer.moving_mean.shape[0])
    return None


def check_channels(path: str, layer: Any, before: Any, feature_maps: dict[str, Sequence[int]]) -> None:
    """Refuse a convolution that reads the outputs of a dense layer reshaped into a feature map.

    The outputs would have to change places in the dense layer, and nothing says how.
    """
    if not hasattr(layer, "kernel_size") or not isinstance(before, _K.Dense):
        return
    channels = next((spec.axes.get(-1) or spec.axes.get(1) for spec in (layer.input_spec,) if spec and spec.axes), None)
    reshaped = channels is not None and before.units > channels and before.units % channels == 0
    told = feature_maps.pop(path, None)
    if reshaped and (told is None or tuple(told) != (channels,)):
        raise ModelError(
            f"{path!r} ({type(layer).__name__}) reads {channels} channels, and {before.name!r} before it gives "
            f"{before.units} features: where these are reshaped into a feature map, their order differs between the "
            f"layouts, and cannot be copied. Where they are not, say so: feature_maps={{{path!r}: ({channels},)}}. "
            "Nothing was changed"
        )


def features(
    path: str, layer: Any, flatten: Any, previous: int | None, told: Sequence[int] | None
) -> npt.NDArray[np.intp] | None:
    """Return the places in Keras of the features that PyTorch has at 0, 1, 2, ...

    Parameters
    ----------
    path, layer
        The layer that reads the features.
    flatten
        The ``Flatten`` layer between it and the layer with weights before it, if any.
    previous
        Number of features or channels that the layer with weights before it gives on.
    told
        Shape of the feature map, channels last, as the caller gives it.

    Returns
    -------
    Array of places; ``None`` where both frameworks have the same order.
    """
    count = width(layer)
    advice = f"say how its inputs are laid out: feature_maps={{{path!r}: (height, width, channels)}}"
    if count is None:
        if told is not None:
            raise ModelError(f"feature_maps: {path!r} ({type(layer).__name__}) does not read flattened features")
        return None
    if told is None and flatten is None:
        if previous is None:
            return None
        raise ModelError(
            f"{path!r} ({type(layer).__name__}) reads {count} features, and the layer before it gives {previous}: they "
            f"are flattened or joined in an order that cannot be seen; {advice}, or ({count},) where it is the same "
            "in both models. Nothing was changed"
        )
    shape = tuple(told) if told is not None else _flattened(path, flatten, advice)
    if math.prod(shape) != count:
        raise ModelError(
            f"{path!r} ({type(layer).__name__}) reads {count} features, not those of a feature map of shape {shape}; "
            f"{advice}. Nothing was changed"
        )
    places = np.arange(count, dtype=np.intp).reshape(shape)
    return np.moveaxis(places, -1, 0).ravel()


def _flattened(path: str, flatten: Any, advice: str) -> tuple[int, ...]:
    """Return the shape of what a ``Flatten`` layer flattens, channels last."""
    try:
        shape = tuple(flatten.input.shape[1:])
    except (AttributeError, ValueError):
        shape = (None,)
    if None in shape:
        raise ModelError(
            f"{path!r} reads what {flatten.name!r} flattens, whose shape is not known; {advice}. Nothing was changed"
        )
    return (*shape[1:], shape[0]) if flatten.data_format == "channels_first" and len(shape) > 1 else shape
