"""Networks of :mod:`signxai_core.testing` that TensorFlow has no operations for, or wrong ones, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from signxai_core.testing import network as net


def _centred(node: Any) -> bool:
    """Return whether the padding is what TensorFlow calls ``"SAME"``."""
    _, stride, padding, dilation = node.geometry()
    sizes = zip(padding, dilation, node.weight.shape[2:], strict=True)
    return max(stride) == 1 and all(2 * p == d * (k - 1) for p, d, k in sizes)


def _wrong_conv(node: Any, shape: net.Shape, dtype: str) -> bool:
    """Return whether TensorFlow 2.21 itself convolves wrongly: tests/test_tf_private.py shows it."""
    stride, sizes = node.geometry()[1], node.output_shape([shape])[1:]
    beside = len(stride) > 1 and stride[-2] == 1 < stride[-1] and sizes[-2] > 1 == sizes[-1]
    return dtype == "float32" and shape[0] == 1 and beside


def _lacking_conv(node: Any, shape: net.Shape, dtype: str) -> str | None:
    if _wrong_conv(node, shape, dtype):
        return "TensorFlow's convolution of one channel, in strides along a last axis with one place, is wrong on a CPU"
    _, stride, padding, dilation = node.geometry()
    if len(stride) < 3:
        return None
    if node.groups > 1:
        return "tf.nn.convolution has no groups along three axes"
    if max(stride) > 1 and max(dilation) > 1:
        return "tf.nn.convolution along three axes has strides or dilations, not both"
    if max(padding) and node.mode == "zeros" and not _centred(node):
        return "tf.nn.convolution along three axes has no padding but 'SAME' and 'VALID'"
    return None


def _lacking_conv_transpose(node: Any, shape: net.Shape, _: str) -> str | None:
    _, _, padding, dilation = node.geometry()
    if node.groups > 1:
        return "TensorFlow has no transposed convolution in groups on a CPU"
    if max(dilation) > 1:
        return "TensorFlow has no dilated transposed convolution on a CPU"
    if len(shape) == 4 and max(padding) and not _centred(node):
        return "tf.nn.conv3d_transpose has no padding but 'SAME' and 'VALID'"
    return None


def _lacking_pool(node: Any, shape: net.Shape, dtype: str) -> str | None:
    if len(shape) == 4 and dtype == "float64":
        return "TensorFlow pools along three axes in float32 only, on a CPU"
    if node.type == "avg_pool" and max(node.padding) and not node.count_include_pad:
        return "tf.nn.avg_pool leaves padding out of the mean where it is 'SAME', which differs in where it begins"
    return None


_LACKING: dict[str, Callable[[Any, net.Shape, str], str | None]] = {
    "avg_pool": _lacking_pool,
    "conv": _lacking_conv,
    "conv_transpose": _lacking_conv_transpose,
    "max_pool": _lacking_pool,
}


def absent(network: net.Network, dtype: str = "float64") -> str | None:
    """Return what TensorFlow has no operation for in a network, or ``None`` where it can be built."""
    for node in network.nodes:
        reason = None
        if node.type in _LACKING:
            reason = _LACKING[node.type](node, network.shapes[node.inputs[0]], dtype)
        if reason is not None:
            return reason
    return None
