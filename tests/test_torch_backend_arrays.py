"""The PyTorch backend's arrays, weights, memory and threads."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from test_torch_backend_models import BACKEND, MODELS, Fn, build, truth, walk  # noqa: E402
from torch import nn  # noqa: E402

from signxai_core.errors import UnsupportedOperationError  # noqa: E402
from signxai_core.registry.entries import load  # noqa: E402
from signxai_torch import signxai_backends  # noqa: E402
from signxai_torch.calls import Call  # noqa: E402
from signxai_torch.ledger import Ledger  # noqa: E402
from signxai_torch.record import Run  # noqa: E402
from signxai_torch.shadow import Shadow  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 6))


# --- weights ---------------------------------------------------------------------------------------

WEIGHTED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (2, 6)),
    "linear_tokens": (lambda: nn.Linear(6, 4), (2, 3, 6)),
    "matmul": (lambda: Fn(lambda m, x: x @ m.w, w=nn.Parameter(torch.randn(6, 4))), (2, 6)),
    "addmm": (lambda: Fn(lambda m, x: torch.addmm(m.w[0], x, m.w), w=nn.Parameter(torch.randn(6, 4))), (2, 6)),
    "conv1d": (lambda: nn.Conv1d(6, 4, 2), (2, 6, 5)),
    "conv2d": (lambda: nn.Conv2d(6, 4, 2, groups=2, stride=2), (2, 6, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(6, 4, 2), (2, 6, 3, 3, 3)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, groups=6, padding="same"), (2, 6, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 2), (2, 6, 5, 5)),
    "transposed_groups": (lambda: nn.ConvTranspose1d(6, 4, 3, groups=2, stride=2, output_padding=1), (2, 6, 5)),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_scaling_a_weight_is_scaling_input_and_output(name: str) -> None:
    make, shape = WEIGHTED[name]
    model, x = make().double(), torch.randn(shape, dtype=torch.float64)
    operation = BACKEND.record(model, x).operations[-1]
    axis = 1 if operation.kind == "convolution" else x.dim() - 1
    inner = torch.rand(6, dtype=torch.float64)
    plain = BACKEND.linear(operation, [x], None)
    outer = torch.rand(plain.shape[operation.channel_axis], dtype=torch.float64)

    def along(values: Any, like: Any, channel: int) -> Any:
        return values.reshape([-1 if i == channel else 1 for i in range(like.dim())])

    weight = BACKEND.scale_weight(operation, inner, outer)
    scaled = BACKEND.linear(operation, [x * along(inner, x, axis)], None)
    expected = scaled * along(outer, plain, operation.channel_axis)
    torch.testing.assert_close(BACKEND.linear(operation, [x], weight), expected)
    torch.testing.assert_close(BACKEND.scale_weight(operation, None, None), operation.parameters["weight"])
    torch.testing.assert_close(plain + operation.parameters.get("bias", 0), BACKEND.apply(operation, [x])[0])


def test_a_weight_without_axes_of_channels_cannot_be_scaled() -> None:
    model = Fn(lambda m, x: torch.einsum("ni,io->no", x, m.w), w=nn.Parameter(torch.randn(6, 4))).double()
    (operation,) = BACKEND.record(model, X).operations
    assert operation.channel_axis is None
    with pytest.raises(UnsupportedOperationError, match="einsum: its weight has no axes"):
        BACKEND.scale_weight(operation, None, None)


def test_vjp_takes_missing_cotangents_and_repeats() -> None:
    model = Fn(lambda m, x: torch.cat(x.split(2, 1), 0).view(3, 2, 2).transpose(0, 1).flatten(1))
    split = BACKEND.record(model, X).operations[0]
    one = torch.ones(2, 2, dtype=torch.float64)
    for _ in range(2):
        (gradient,) = BACKEND.vjp(split, [None, one, None])
        torch.testing.assert_close(gradient, torch.tensor([[0, 0, 1, 1, 0, 0.0]] * 2).double())
    assert not BACKEND.vjp(split, [None, None, None])[0].any()


# --- callers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv", "batch_norm", "matmul_left", "einsum", "multihead", "inplace_slice", "lstm"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_in_a_mode_without_gradients(name: str, mode: Any) -> None:
    model, x = build(name)
    _, gradient = truth(model, x)
    with mode():
        recording = BACKEND.record(model, x)
        torch.testing.assert_close(walk(recording), gradient)
        for operation in recording.operations:
            if operation.kind in ("dense", "convolution"):
                z = BACKEND.linear(operation, [recording.values[operation.inputs[0]]], None)
                BACKEND.pull(operation, operation.parameters["weight"] * 2, z * 2)
        values, slope = BACKEND.select(recording.values[recording.output] * 1, lambda y: (y**2).flatten(1).sum(1))
        assert values.shape == (2,)
        torch.testing.assert_close(slope, 2 * recording.values[recording.output])
        assert not torch.is_grad_enabled()


def test_models_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model, x = nn.Linear(6, 3).double(), torch.tensor(X)
    recording = BACKEND.record(model, x)
    torch.testing.assert_close(walk(recording), model.weight.sum(0).expand(2, 6).clone())


def test_threads_explain_the_same_model_at_once() -> None:
    model, _ = build("batch_norm")
    inputs = [np.random.default_rng(seed).normal(size=(2, 3, 8, 8)) for seed in range(8)]
    results: dict[int, Any] = {}

    def work(index: int) -> None:
        for _ in range(5):
            results[index] = walk(BACKEND.record(model, inputs[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, x in enumerate(inputs):
        torch.testing.assert_close(results[index], truth(model, x)[1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_recordings_are_freed_without_the_collector(name: str) -> None:
    model, x = build(name)
    BACKEND.record(model, x)  # PyTorch's first checkpoint in a process imports modules, and keeps frames
    gc.collect()
    gc.disable()
    try:
        recording = BACKEND.record(model, x)
        walk(recording)
        calls = [operation.call for operation in recording.operations]
        watched = [weakref.ref(o) for o in (*recording.operations, *calls, *recording.values.values())]
        del recording, calls
        assert [ref() for ref in watched if ref() is not None] == []
    finally:
        gc.enable()


def test_nothing_else_survives_even_for_a_model_with_cycles() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.run = self.body

        def body(self, x: Any) -> Any:
            self.last = self.layer(x)
            return self.last

        def forward(self, x: Any) -> Any:
            return self.run(x)

    model = Model()
    gc.collect()
    gc.disable()
    try:
        operation = weakref.ref(BACKEND.record(model, X).operations[0])
        kinds = (Run, Ledger, Shadow, Call, Model)
        assert operation() is None
        assert [o for o in gc.get_objects() if type(o) in kinds] == [model]
    finally:
        gc.enable()


# --- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
@pytest.mark.parametrize("kept", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_inputs_take_the_models_type(given: Any, kept: Any) -> None:
    model = nn.Linear(6, 3).to(kept)
    x = BACKEND.prepare(model, X.astype(given))
    assert x.dtype == (np.float32 if kept is torch.bfloat16 else np.dtype(str(kept).removeprefix("torch.")))
    recording = BACKEND.record(model, x)
    wide = torch.float32 if kept in (torch.float16, torch.bfloat16) else kept
    assert recording.values[recording.input].dtype == wide, "half types are walked in float32"
    assert BACKEND.to_numpy(recording.values[recording.output]).dtype == np.result_type(x.dtype, np.float32)


@pytest.mark.parametrize("x", [torch.tensor(X, requires_grad=True), X.tolist(), X[::-1, ::-1], torch.tensor(X).T.T])
def test_inputs_of_all_sorts(x: Any) -> None:
    prepared = BACKEND.prepare(lambda y: y, x)
    assert prepared.dtype == np.float64
    recording = BACKEND.record(lambda y: y.mul_(2), prepared)
    np.testing.assert_array_equal(BACKEND.to_numpy(recording.values[recording.output]), np.asarray(prepared) * 2)
    again = BACKEND.prepare(lambda y: y, x)
    np.testing.assert_array_equal(again, prepared)


def test_the_default_type_does_not_matter() -> None:
    model = nn.Linear(6, 3)
    torch.set_default_dtype(torch.float64)
    try:
        recording = BACKEND.record(model, X)
        scaling = BACKEND.record(lambda x: x * 2, X.astype(np.float32)).operations[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert recording.values[recording.input].dtype == torch.float32
    assert scaling.parameters["scale"].dtype == torch.float32


def test_array_functions_are_numpys() -> None:
    a, b = np.array([[-1.5, 0.0, 2.0]]), np.array([[1.0, -1.0, 2.5]])
    s, t = (BACKEND.asarray(array, torch.zeros(1, dtype=torch.float64)) for array in (a, b))
    pairs = [
        (BACKEND.where(s > 0, s, 7.0), np.where(a > 0, a, 7)),
        (BACKEND.where(s > 0, 1.0, -1.0), np.where(a > 0, 1.0, -1.0)),
        (BACKEND.maximum(s, t), np.maximum(a, b)),
        (BACKEND.maximum(s, 0.5), np.maximum(a, 0.5)),
        (BACKEND.minimum(s, t), np.minimum(a, b)),
        (BACKEND.minimum(s, 0.5), np.minimum(a, 0.5)),
        (BACKEND.abs(s), np.abs(a)),
        (BACKEND.full_like(s, 3.0), np.full_like(a, 3)),
        (BACKEND.broadcast_to(s, (2, 3)), np.broadcast_to(a, (2, 3))),
        (BACKEND.reshape(s, (3, 1)), a.reshape(3, 1)),
        (BACKEND.std(s, 1), a.std(axis=1, keepdims=True)),
        (BACKEND.largest(s, 1), np.abs(a).max(axis=1, keepdims=True)),
    ]
    for mine, expected in pairs:
        np.testing.assert_allclose(BACKEND.to_numpy(mine), expected, rtol=1e-14)


def test_numbers_go_through_unchanged_and_unshared() -> None:
    source = np.arange(6.0).reshape(2, 3)[:, ::-1]
    tensor = BACKEND.asarray(source, torch.zeros(1, dtype=torch.float32))
    assert tensor.dtype == torch.float32
    tensor.zero_()
    assert source[0, 0] == 2
    assert BACKEND.to_numpy(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).dtype == np.float32
    assert BACKEND.asarray(np.float64(2), tensor).shape == ()


def test_registering_imports_no_framework() -> None:
    code = "import signxai_torch, sys; e = signxai_torch.signxai_backends()[0]; assert 'torch' not in sys.modules, e"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_entry_claims_modules_and_makes_the_backend() -> None:
    (entry,) = signxai_backends()
    assert entry.claims(nn.Linear(1, 1))
    assert not entry.claims(F.relu.__class__)
    assert load(entry.factory, "torch")().name == entry.name == "torch"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("scripted", "fill", "shapes", "activations")])
def test_models_on_a_gpu(name: str) -> None:
    model, x = build(name)
    if not isinstance(model, nn.Module):
        pytest.skip("a function has no device")
    _, gradient = truth(model, x)
    recording = BACKEND.record(model.cuda(), x)
    assert recording.values[recording.output].is_cuda
    torch.testing.assert_close(walk(recording).cpu(), gradient, rtol=1e-8, atol=1e-8)
