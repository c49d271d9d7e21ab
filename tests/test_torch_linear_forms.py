"""PyTorch's many ways to write what is linear, routing or a product: kinds, values, derivatives, linear forms."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from test_torch_backend_models import BACKEND, Fn  # noqa: E402
from test_torch_formulas import array, check, weights  # noqa: E402
from torch import nn  # noqa: E402

W, B, M = weights(4, 4), weights(2, 4, 3, seed=1), weights(2, 3, 4, seed=2)
INDEX = torch.tensor([[[0, 2, 2, 1]] * 3] * 2)
GRID = weights(2, 3, 3, 2).tanh()


def image(x: Any) -> Any:
    return x.reshape(2, 1, 3, 4)


CASES: dict[str, tuple[Any, list[str]]] = {
    "expand_as": (lambda x: x[:, :1].expand_as(x), ["shape", "shape"]),
    "view_as": (lambda x: x.flatten(1).view_as(x), ["shape", "shape"]),
    "reshape_as": (lambda x: x.flatten(1).reshape_as(x), ["shape", "shape"]),
    "type_as": (lambda x: x.type_as(x.exp()), ["activation"]),
    "threshold": (lambda x: F.threshold(x, 0.1, 0.2), ["activation"]),
    "where": (lambda x: torch.where(M > 0, x, 0.0), ["selection"]),
    "tril": (torch.tril, ["selection"]),
    "triu": (lambda x: x.triu(1), ["selection"]),
    "nan_to_num": (torch.nan_to_num, ["selection"]),
    "addcmul": (lambda x: torch.addcmul(M, x, M, value=2), ["scaling"] * 3),
    "addcmul_live": (lambda x: torch.addcmul(x, x, x), ["product", "sum"]),
    "addcmul_in_place": (lambda x: (x * 2).addcmul_(x, M), ["scaling", "scaling", "sum"]),
    "addcdiv": (lambda x: torch.addcdiv(x, M, x), ["activation", "sum"]),
    "lerp": (lambda x: torch.lerp(x, x.exp(), 0.3), ["activation", "scaling", "scaling", "sum"]),
    "lerp_live": (lambda x: torch.lerp(M, x, x.sigmoid()), ["activation", "scaling", "scaling", "product", "sum"]),
    "addmm": (lambda x: torch.addmm(W[0], x[:, 0], W, beta=2), ["shape", "dense", "scaling"]),
    "addmm_live": (lambda x: torch.addmm(x[:, 0], x[:, 1], W, alpha=2), ["shape", "shape", "dense", "scaling", "sum"]),
    "baddbmm": (lambda x: torch.baddbmm(torch.zeros(1).to(x), x, x.mT, beta=0), ["shape", "matrix_product"]),
    "baddbmm_live": (lambda x: torch.baddbmm(x, x, W.expand(2, 4, 4), alpha=0.5), ["dense", "scaling", "sum"]),
    "linear_live": (lambda x: F.linear(x, x[0], W[0, :3]), ["shape", "shape", "matrix_product", "scaling"]),
    "bias_live": (lambda x: F.linear(x, W, x[:, :1]), ["shape", "dense", "sum"]),
    "conv_live": (lambda x: F.conv1d(x, x[:1].exp(), W[0, :1]), ["shape", "activation", "matrix_product", "scaling"]),
    "conv_bias_live": (
        lambda x: F.conv1d(x, B[:1, :3], x[0, 0, :1]),
        ["shape", "convolution", "shape", "sum"],
    ),
    "inner": (lambda x: torch.inner(x, W), ["dense"]),
    "inner_live": (lambda x: torch.inner(x, x[0]), ["shape", "matrix_product"]),
    "tensordot": (lambda x: torch.tensordot(x, W, 1), ["dense"]),
    "tensordot_axes": (lambda x: torch.tensordot(x, M, ([1, 2], [1, 2])), ["dense"]),
    "tensordot_live": (lambda x: torch.tensordot(x, x, dims=([2], [2])), ["matrix_product"]),
    "multi_dot": (lambda x: torch.linalg.multi_dot([x[:, 0], W, W]), ["shape", "dense", "dense"]),
    "rmatmul": (lambda x: torch.Tensor.__rmatmul__(x, W[:3, :3]), ["dense"]),
    "einsum_one": (lambda x: torch.einsum("nij->nji", x), ["shape"]),
    "einsum_sum": (lambda x: torch.einsum("nij->nj", x), ["average_pooling"]),
    "einsum_both": (
        lambda x: torch.einsum("nijk->nki", x[..., None] * W),
        ["shape", "shape", "scaling", "average_pooling", "shape"],
    ),
    "einsum_three": (lambda x: torch.einsum("nij,jk,nlk->nil", x, W, x), ["dense", "matrix_product"]),
    "einsum_implicit": (lambda x: torch.einsum("aij,jk,kb", x, W, W), ["dense", "dense"]),
    "bilinear": (lambda x: F.bilinear(x, x.exp(), weights(5, 4, 4), weights(5)), []),
    "growing": (lambda x: x.flatten(1)[:, None] * weights(3, 1), ["shape", "shape", "shape", "scaling"]),
    "growing_left": (lambda x: 1 - weights(3, 1) / x[:, :1].exp(), []),
    "cumsum": (lambda x: x.cumsum(-1), ["average_pooling"]),
    "cumsum_in_place": (lambda x: (x * 2).cumsum_(1), ["scaling", "average_pooling"]),
    "diff": (lambda x: torch.diff(x, 2, prepend=x[..., :1]), []),
    "scatter_add": (lambda x: torch.zeros_like(x).scatter_add(2, INDEX, x), ["average_pooling"]),
    "scatter_add_in_place": (lambda x: x.new_zeros(2, 3, 4).scatter_add_(2, INDEX, x), ["average_pooling"]),
    "scatter_add_live": (lambda x: x.exp().scatter_add(2, INDEX, x), ["activation", "average_pooling", "sum"]),
    "scatter_add_to": (lambda x: M.scatter_add(2, INDEX, x), ["average_pooling", "scaling"]),
    "scatter_reduce": (lambda x: torch.zeros_like(x).scatter_reduce(2, INDEX, x, "sum"), ["average_pooling"]),
    "index_add": (lambda x: torch.zeros_like(x).index_add(2, INDEX[0, 0], x, alpha=2), ["scaling", "average_pooling"]),
    "index_add_to": (lambda x: (x * 1).index_add_(1, torch.tensor([0, 0]), M[:, :2]), ["scaling", "scaling"]),
    "scatter": (lambda x: M.scatter(2, INDEX[..., 1:2], x[..., :1]), ["shape", "shape"]),
    "scatter_number": (lambda x: x.scatter(2, INDEX, 3.0), ["shape"]),
    "scatter_value": (lambda x: x.scatter(2, INDEX, value=3.0), ["shape"]),
    "index_copy": (lambda x: x.index_copy(1, torch.tensor([1]), M[:, :1]), ["shape"]),
    "index_fill": (lambda x: x.index_fill(1, torch.tensor([1]), 5.0), ["shape"]),
    "masked_scatter": (lambda x: x.masked_scatter(M > 0, M), ["shape"]),
    "select_scatter": (lambda x: torch.select_scatter(x, M[:, 0], 1, 2), ["shape"]),
    "slice_scatter": (lambda x: torch.slice_scatter(x, M[:, :1], 1, 1, 2), ["shape"]),
    "slice_scatter_live": (lambda x: torch.slice_scatter(M, x[:, :1], 1, 1, 2), ["shape", "shape"]),
    "fold": (lambda x: F.fold(x.flatten(1)[..., None].expand(-1, -1, 12), (4, 4), (3, 4), padding=(1, 1)), []),
    "unfold": (lambda x: F.unfold(image(x), 2, padding=1), ["shape", "shape"]),
    "unpool": (lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2), ["max_pooling", "shape"]),
    "grid": (lambda x: F.grid_sample(image(x), GRID, align_corners=False), ["shape", "interpolation"]),
    "grid_nearest": (lambda x: F.grid_sample(image(x), GRID, "nearest", align_corners=True), ["shape", "shape"]),
    "grid_live": (lambda x: F.grid_sample(image(x), x[..., :2, None].expand(-1, -1, -1, 2), align_corners=True), []),
    "bicubic": (lambda x: F.interpolate(image(x), size=(5, 7), mode="bicubic"), ["shape", "interpolation"]),
    "glu": (F.glu, ["shape", "activation", "product"]),
    "softmin": (lambda x: F.softmin(x, 1), ["scaling", "softmax"]),
    "logaddexp": (lambda x: torch.logaddexp(x, M[:1]), []),
    "broadcast": (lambda x: sum(torch.broadcast_tensors(x[:, :1], x)), []),
    "distance": (lambda x: F.pairwise_distance(x, M, keepdim=True), []),
    "distances": (lambda x: torch.cdist(x, x.exp(), 1.0), []),
    "lp_pool": (lambda x: F.lp_pool1d(x, 2, 2), ["activation", "average_pooling", "scaling", "activation"]),
    "lp_pool_images": (lambda x: F.lp_pool2d(image(x).exp(), 3.0, (2, 3), stride=1), []),
    "one_hot": (lambda x: x * F.one_hot(x.argmax(-1), 4), ["selection"]),
    "mask": (lambda x: x * (x > 0.3).double() * 2, ["selection", "scaling"]),
}
ALSO_OTHER = {"grid_live"}


@pytest.mark.parametrize("name", CASES)
def test_kinds_values_and_derivatives(name: str) -> None:
    function, expected = CASES[name]
    recording = check(Fn(lambda _, x: function(x)), array(2, 3, 4), kinds=name not in ALSO_OTHER)
    assert [operation.kind for operation in recording.operations] == expected or not expected
    assert ("other" in [operation.kind for operation in recording.operations]) == (name in ALSO_OTHER)


@pytest.mark.parametrize("name", CASES)
def test_linear_forms(name: str) -> None:
    function, _ = CASES[name]
    recording = BACKEND.record(Fn(lambda _, x: function(x)), array(2, 3, 4))
    for operation in recording.operations:
        inputs = [recording.values[identity] for identity in operation.inputs]
        (output,) = (recording.values[identity] for identity in operation.outputs[:1])
        torch.testing.assert_close(BACKEND.apply(operation, inputs)[0], output)
        if operation.kind not in LINEAR or len(operation.outputs) > 1:
            continue
        other = [torch.randn_like(value) for value in inputs]
        z = BACKEND.linear(operation, other, None)
        relevance = torch.randn_like(z)
        pulled = BACKEND.pull(operation, None, relevance)
        products = sum(float((a * b).sum()) for a, b in zip(other, pulled, strict=True))
        assert products == pytest.approx(float((z * relevance).sum()), abs=1e-9)
        torch.testing.assert_close(BACKEND.linear(operation, [-2 * a for a in other], None), -2 * z)


LINEAR = ("dense", "convolution", "average_pooling", "interpolation", "sum", "shape")


@pytest.mark.parametrize("name", ["addcmul_live", "linear_live", "conv_live", "tensordot_live", "einsum_three"])
def test_products_are_linear_in_each_operand(name: str) -> None:
    function, _ = CASES[name]
    recording = BACKEND.record(Fn(lambda _, x: function(x)), array(2, 3, 4))
    operation = next(o for o in recording.operations if o.kind in ("product", "matrix_product"))
    inputs = [recording.values[identity] for identity in operation.inputs]
    (y,) = BACKEND.apply(operation, inputs)
    for value, pulled in zip(inputs, BACKEND.vjp(operation, [y]), strict=True):
        assert float((value * pulled).sum()) == pytest.approx(float((y * y).sum()))


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised with batch-normalisation, as ResNet-RS and NFNet have it."""

    def forward(self, x: Any) -> Any:
        flat = self.weight.reshape(1, len(self.weight), -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias)


def test_weights_may_be_normalised_by_their_own_statistics() -> None:
    recording = check(Standardised(3, 4, 2), array(2, 3, 4, 4))
    assert [operation.kind for operation in recording.operations] == ["convolution"]
