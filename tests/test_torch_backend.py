"""The PyTorch backend against autograd: every model's walk equals its own gradient."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from test_torch_backend_models import BACKEND, MODELS, build, truth, walk  # noqa: E402


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("name", MODELS)
def test_walk_is_the_gradient(name: str) -> None:
    model, x = build(name)
    before = x.copy()
    recording = BACKEND.record(model, x)
    output, gradient = truth(model, x)
    assert np.array_equal(x, before)
    torch.testing.assert_close(recording.values[recording.output], output, rtol=1e-10, atol=1e-10)
    for _ in range(2):
        torch.testing.assert_close(walk(recording), gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("name", MODELS)
def test_operations_are_consistent(name: str) -> None:
    model, x = build(name)
    recording = BACKEND.record(model, x)
    for operation in recording.operations:
        inputs = [recording.values[identity] for identity in operation.inputs]
        outputs = [recording.values[identity] for identity in operation.outputs]
        if not (operation.note.startswith("it ran outside")):
            for mine, recorded in zip(BACKEND.apply(operation, inputs), outputs, strict=True):
                torch.testing.assert_close(mine, recorded)
        if operation.kind in ("scaling", "normalisation"):
            p = operation.parameters
            torch.testing.assert_close(p["scale"] * inputs[0] + p["shift"], outputs[0])
        if operation.kind == "normalisation":
            torch.testing.assert_close(p["scale"] * (inputs[0] - p["mean"]) + p["beta"], outputs[0])
        assert not any(value.requires_grad for value in (*inputs, *outputs, *operation.parameters.values()))


LINEAR = ("dense", "convolution", "average_pooling", "interpolation", "sum", "shape")


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("name", MODELS)
def test_pull_is_the_adjoint_of_linear(name: str) -> None:
    model, x = build(name)
    recording = BACKEND.record(model, x)
    for operation in recording.operations:
        if operation.kind not in LINEAR or len(operation.outputs) > 1:
            continue
        inputs = [torch.randn_like(recording.values[identity]) for identity in operation.inputs]
        weight = operation.parameters.get("weight")
        for used in (None,) if weight is None else (None, weight**2):
            z = BACKEND.linear(operation, inputs, used)
            relevance = torch.randn_like(z)
            pulled = BACKEND.pull(operation, used, relevance)
            right = sum(float((a * b).sum()) for a, b in zip(inputs, pulled, strict=True))
            assert right == pytest.approx(float((z * relevance).sum()), abs=1e-8), operation.label
            double = BACKEND.linear(operation, [2 * a for a in inputs], used)
            torch.testing.assert_close(double, 2 * z)
        recorded = [recording.values[identity] for identity in operation.inputs]
        affine = BACKEND.linear(operation, recorded, None) + operation.parameters.get("bias", 0)
        if weight is not None:
            torch.testing.assert_close(affine, recording.values[operation.outputs[0]])
