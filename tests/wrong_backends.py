"""Backends with one mistake each, in both frameworks: the suite of equivalence has to catch them."""

from __future__ import annotations

from signxai_tf.backend import TensorFlowBackend
from signxai_torch.backend import TorchBackend


class _FlatWithWrongSign:
    """Relevance changes its sign where all weights are replaced by 1: the flat rule."""

    def pull(self, operation, weight, relevance):
        pulled = super().pull(operation, weight, relevance)
        if weight is None:
            return pulled
        flat = self.reshape(self.largest(self.reshape(weight, (1, -1)) - 1, 1), ()) == 0
        return tuple(self.where(flat, -one, one) for one in pulled)


class _PaddingTakenForZeros:
    """What padding with values of the input adds has no relevance."""

    def vjp(self, operation, cotangents):
        pulled = super().vjp(operation, cotangents)
        if operation.function != "pad" or operation.padding:
            return pulled
        margins = [(wide - size) // 2 for wide, size in zip(cotangents[0].shape, pulled[0].shape, strict=True)]
        inside = tuple(slice(margin, margin + size) for margin, size in zip(margins, pulled[0].shape, strict=True))
        return (cotangents[0][inside],)


class TorchFlatWithWrongSign(_FlatWithWrongSign, TorchBackend):
    pass


class TensorflowFlatWithWrongSign(_FlatWithWrongSign, TensorFlowBackend):
    pass


class TorchPaddingTakenForZeros(_PaddingTakenForZeros, TorchBackend):
    pass


class TensorflowPaddingTakenForZeros(_PaddingTakenForZeros, TensorFlowBackend):
    pass
