"""What PyTorch's functions are recorded as: kind, function and attributes, as docs/backends.md lists them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from test_torch_backend_models import BACKEND, Fn, walk  # noqa: E402

from signxai_core.specs.operations import activations  # noqa: E402

X = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, 3, 4))
W = torch.rand(4, 4, dtype=torch.float64)


def record(function: Any, x: Any = X) -> Any:
    return BACKEND.record(Fn(lambda _, x: function(x)).double(), x)


def last(function: Any, x: Any = X) -> tuple[str, str, dict[str, Any]]:
    """Return kind, function and attributes of the operation that made the output."""
    recording = record(function, x)
    operation = next(o for o in recording.operations if recording.output in o.outputs)
    return operation.kind, operation.function, dict(operation.attributes)


REDUCED = {"axes": (1, 2), "keepdims": False}
LAST = {"axes": (2,), "keepdims": True}
CASES: dict[str, tuple[Any, tuple[str, str, dict[str, Any]]]] = {
    "mean": (lambda x: x.mean((-1, 1)), ("average_pooling", "mean", REDUCED)),
    "sum": (lambda x: x.sum(axis=-1, keepdims=True), ("average_pooling", "sum", LAST)),
    "amax": (lambda x: x.amax((1, 2)), ("max_pooling", "amax", REDUCED)),
    "max": (lambda x: x.max(-1, keepdim=True).values, ("max_pooling", "amax", LAST)),
    "min": (lambda x: x.min(dim=2, keepdim=True)[0], ("selection", "amin", LAST)),
    "amin": (lambda x: torch.amin(x, -1, True), ("selection", "amin", LAST)),
    "median": (lambda x: x.median(2, keepdim=True).values, ("selection", "median", LAST)),
    "kthvalue": (lambda x: x.kthvalue(2, -1, keepdim=True).values, ("selection", "kthvalue", LAST)),
    "sort": (lambda x: x.sort(descending=True).values, ("selection", "sort", {"axis": 2})),
    "topk": (lambda x: x.topk(2, dim=1).values, ("selection", "topk", {"axis": 1})),
    "logsumexp": (lambda x: x.logsumexp(-1, keepdim=True), ("logsumexp", "logsumexp", LAST)),
    "softmax": (lambda x: torch.softmax(x, -1), ("softmax", "softmax", {"axis": 2})),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), ("softmax", "log_softmax", {"axis": 1})),
    "concat": (lambda x: torch.cat([x, x], dim=-1), ("shape", "concat", {"axis": 2})),
    "stack": (lambda x: torch.stack([x, x], 1), ("shape", "stack", {"axis": 1})),
    "permute": (lambda x: x.permute(0, 2, 1), ("shape", "permute", {"order": (0, 2, 1)})),
    "transpose": (lambda x: x.transpose(-1, 1), ("shape", "permute", {"order": (0, 2, 1)})),
    "swapaxes": (lambda x: x.swapaxes(1, 2), ("shape", "permute", {"order": (0, 2, 1)})),
    "movedim": (lambda x: torch.movedim(x, (1, 2), (2, 1)), ("shape", "permute", {"order": (0, 2, 1)})),
    "mT": (lambda x: x.mT, ("shape", "permute", {"order": (0, 2, 1)})),
    "adjoint": (lambda x: x.adjoint(), ("shape", "permute", {"order": (0, 2, 1)})),
    "T": (lambda x: x.mT[:, :, 0].T.T, ("shape", "permute", {"order": (1, 0)})),
    "t": (lambda x: x[:, 0].t().t(), ("shape", "permute", {"order": (1, 0)})),
    "product": (lambda x: x * x.exp(), ("product", "mul", {})),
    "quotient": (lambda x: x / x.exp(), ("quotient", "div", {})),
    "matmul": (lambda x: x @ x.mT, ("matrix_product", "matmul", {})),
    "bmm": (lambda x: torch.bmm(x, x.mT), ("matrix_product", "matmul", {})),
    "einsum": (
        lambda x: torch.einsum("nij,nkj->nik", x, x),
        ("matrix_product", "einsum", {"equation": "nij,nkj->nik"}),
    ),
    "einsum_elementwise": (
        lambda x: torch.einsum("nij, nij -> nij", x, x),
        ("product", "mul", {"equation": "nij,nij->nij"}),
    ),
    "square": (lambda x: x**2, ("activation", "pow", {"exponent": 2.0})),
    "pow": (lambda x: torch.pow(x, torch.tensor(0.5)), ("activation", "pow", {"exponent": 0.5})),
    "powers": (lambda x: x ** W[0], ("activation", "pow", {"exponent": None})),
    "base_2": (lambda x: 2**x, ("activation", "exp2", {})),
    "base_3": (lambda x: torch.pow(3, x), ("activation", "exp", {})),
    "reciprocal": (lambda x: 3 / x, ("activation", "reciprocal", {})),
    "reciprocal_tensor": (lambda x: W[0] / x, ("activation", "reciprocal", {})),
    "clamp": (lambda x: x.clamp(-1, 0.5), ("activation", "clamp", {"low": -1.0, "high": 0.5})),
    "clamp_max": (lambda x: x.clamp_max(0.5), ("activation", "clamp", {"high": 0.5})),
    "hardtanh": (F.hardtanh, ("activation", "hardtanh", {"low": -1.0, "high": 1.0})),
    "maximum": (lambda x: torch.maximum(x, 1 - x), ("selection", "maximum", {})),
    "max_of_two": (lambda x: torch.max(x, 1 - x), ("selection", "maximum", {})),
    "min_constant": (lambda x: torch.min(x, W[0]), ("activation", "clamp", {})),
    "where": (lambda x: torch.where(x > 0.5, x, x**2), ("selection", "where", {})),
    "masked_fill": (lambda x: x.masked_fill(W[:3] > 0.5, 0.5), ("selection", "where", {})),
    "mask": (lambda x: x * (x > 0.5), ("selection", "where", {})),
    "constant_mask": (lambda x: x * (W[:3] > 0.5), ("scaling", "mul", {})),
    "chosen": (lambda x: x.gather(2, x.argmax(2, keepdim=True)), ("shape", "gather", {})),
    "sign": (lambda x: x.sign(), ("step", "sign", {})),
    "floor": (lambda x: x.floor(), ("step", "floor", {})),
    "floor_divide": (lambda x: torch.div(x, 2, rounding_mode="floor"), ("step", "floor_divide", {})),
    "max_of_stack": (
        lambda x: torch.stack([x, 1 - x]).max(0).values,
        ("max_pooling", "amax", {"axes": (0,), "keepdims": False}),
    ),
    "mean_of_sequence": (
        lambda x: x.transpose(0, 1).mean(0),
        ("average_pooling", "mean", {"axes": (0,), "keepdims": False}),
    ),
    "erfinv": (torch.erfinv, ("other", "erfinv", {})),
    "fft": (lambda x: torch.fft.fft(x).real, ("other", "real", {})),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:The use of")
def test_functions(name: str) -> None:
    function, expected = CASES[name]
    kind, called, attributes = last(function)
    if expected[1] == "mul" and kind == "scaling":
        attributes = {}
    assert (kind, called, attributes) == expected


#: Neutral names that PyTorch has no function of.
ABSENT = {"sparse_plus", "sparse_sigmoid", "squareplus"}
SHORT = {"prelu": (torch.tensor(0.3, dtype=torch.float64),), "threshold": (0.5, 0.1), "pow": (3,), "clamp": (0.2, 0.8)}


@pytest.mark.parametrize("name", sorted(activations() - ABSENT))
def test_every_activation_of_the_core_is_one(name: str) -> None:
    function = getattr(torch, name, None) or getattr(F, name, None) or getattr(torch.special, name)
    x = X + 1 if name == "acosh" else X
    recording = record(lambda x: function(x, *SHORT.get(name, ())), x)
    (operation,) = recording.operations
    assert (operation.kind, operation.function) == ("activation", name)
    assert torch.isfinite(walk(recording)).all()


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: x.mean(0), "other"),
        (lambda x: x.sum(), "other"),
        (lambda x: x.transpose(0, 1).mean(1), "other"),
        (lambda x: x.transpose(0, 1).sum((0, 2)), "average_pooling"),
        (lambda x: x.reshape(6, 4).mean(0), "other"),
        (lambda x: x.unsqueeze(0).amax(0), "max_pooling"),
        (lambda x: x[None, ..., 0].amax(0), "max_pooling"),
        (lambda x: x[:, 0].mean(0), "other"),
        (lambda x: x.unbind(1)[0].logsumexp(0), "other"),
        (lambda x: x.permute(1, 2, 0).mean(0).mean(0), "average_pooling"),
        (lambda x: (x.mT @ x).mean(0), "other"),
        (lambda x: x.sort(0).values, "other"),
        (lambda x: x.permute(1, 2, 0).unbind(2)[0].mean(0), "other"),
    ],
)
def test_reductions_over_the_batch_are_none(function: Any, kind: str) -> None:
    operations = record(lambda x: x + 0 * function(x).sum()).operations
    assert [o.kind for o in operations][-4] == kind
