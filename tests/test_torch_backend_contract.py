"""What the PyTorch backend promises beside gradients: kinds, errors, and the user's things untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from test_torch_backend_models import BACKEND, IMAGE, MODELS, Fn, build, walk  # noqa: E402
from torch import nn  # noqa: E402

from signxai_core.engine.backend import Backend, Recording  # noqa: E402
from signxai_core.errors import (  # noqa: E402
    InputShapeError,
    InputTypeError,
    ModelError,
    OutputError,
    TargetError,
    UnsupportedOperationError,
)

X = np.random.default_rng(0).normal(size=(2, 6))
IMAGES = np.random.default_rng(0).normal(size=IMAGE)


def record(function: Any, x: Any = X, **layers: Any) -> Recording:
    return BACKEND.record(Fn(lambda _, x: function(x), **layers).double() if callable(function) else function, x)


def kinds(function: Any, x: Any = X) -> list[str]:
    return [operation.kind for operation in record(function, x).operations]


def test_it_is_a_backend() -> None:
    assert isinstance(BACKEND, Backend)


W = torch.rand(6, 6, dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "expected"),
    {
        "dense": (lambda x: F.linear(x, W, W[0]), ["dense"]),
        "matmul": (lambda x: x @ W, ["dense"]),
        "einsum": (lambda x: torch.einsum("ni,io->no", x, W), ["dense"]),
        "sum": (lambda x: x + x, ["sum"]),
        "constant": (lambda x: 1 - x, ["scaling"]),
        "square": (lambda x: x * x, ["product"]),
        "reciprocal": (lambda x: 1 / x, ["activation"]),
        "growing": (lambda x: x[:, None] + W, ["shape", "shape", "scaling"]),
        "floor": (lambda x: torch.div(x, 2, rounding_mode="floor"), ["step"]),
        "tainted": (lambda x: x * x.detach(), ["other"]),
        "no_grad": (lambda x: x * torch.no_grad()(torch.abs)(x), ["other"]),
        "tainted_index": (lambda x: x[x[:, 0].argsort()], ["shape", "shape"]),
        "zeros_like": (lambda x: x + torch.zeros_like(x), ["scaling"]),
        "expand_as": (lambda x: x + torch.ones(1, 6).to(x).expand_as(x), ["scaling"]),
        "mean": (lambda x: x.mean(1), ["average_pooling"]),
        "mean_of_batch": (lambda x: x - x.mean(0), ["other", "sum"]),
        "mean_of_all": (lambda x: x - x.mean(), ["other", "sum"]),
        "amax": (lambda x: x.amax(-1, keepdim=True), ["max_pooling"]),
        "cumsum": (lambda x: x.cumsum(1), ["average_pooling"]),
        "relu": (lambda x: x.clamp(min=0), ["activation"]),
        "softmax": (lambda x: F.softmax(x, 1), ["softmax"]),
        "dropout": (F.dropout, ["dropout"]),
        "cast": (lambda x: x.float(), ["shape"]),
        "cat": (lambda x: torch.cat([x, torch.ones(2, 1)], 1), ["shape"]),
        "index_fill": (lambda x: x.clone().index_fill_(1, torch.tensor([0]), 0.0), ["shape", "shape"]),
        "setitem": (lambda x: (x.__setitem__((slice(None), 0), 1.0), x)[1], ["shape"]),
        "pow": (lambda x: x**2, ["activation"]),
        "split": (lambda x: x.split(3, 1)[0], ["shape"]),
    }.values(),
)
def test_kinds(function: Any, expected: list[str]) -> None:
    assert kinds(function) == expected


@pytest.mark.parametrize(
    ("mode", "value", "padding"), [("constant", 0, True), ("constant", 1.0, False), ("reflect", None, False)]
)
def test_only_zero_padding_is_marked(mode: str, value: Any, padding: Any) -> None:
    (operation,) = record(lambda x: F.pad(x, (1, 1), mode=mode, value=value), IMAGES[:, 0]).operations
    assert operation.padding is padding
    assert not record(lambda x: F.pad(x, (-1, 1)), IMAGES).operations[0].padding


def test_names_and_signs_are_neutral() -> None:
    operations = record(lambda x: (x.relu_() - F.hardtanh(x, 0, 6)).clamp_min(0)).operations
    assert [operation.function for operation in operations] == ["relu", "relu6", "sub", "relu"]
    assert operations[2].signs == (1, -1)


def test_paths_are_those_of_the_innermost_layer() -> None:
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    model = Fn(lambda m, x: m.b(m.a(x)) + m.a[0](x), a=block, b=block).double()
    recording = BACKEND.record(model, X)
    assert [operation.path for operation in recording.operations] == ["a.0", "a.1", "a.0", "a.1", "a.0", ""]
    assert recording.operations[0].label == "a.0 (linear)"


# --- the user's things -----------------------------------------------------------------------------


def snapshot(model: nn.Module) -> Any:
    names = [(name, type(module), module.training, sorted(module.__dict__)) for name, module in model.named_modules()]
    hooks = [list(module._forward_hooks) + list(module._forward_pre_hooks) for module in model.modules()]
    state = [*model.named_parameters(), *model.named_buffers()]
    tensors = [(name, id(t), t._version, t.requires_grad, t.grad is None, t.detach().clone()) for name, t in state]
    return names, hooks, tensors


def assert_same(before: Any, after: Any) -> None:
    assert before[:2] == after[:2]
    for a, b in zip(before[2], after[2], strict=True):
        assert a[:-1] == b[:-1]
        assert torch.equal(a[-1], b[-1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Using padding=.same.")
def test_models_stay_as_they_were(name: str) -> None:
    model, x = build(name)
    if not isinstance(model, nn.Module):
        pytest.skip("a function has no state")
    before, random = snapshot(model), torch.get_rng_state()
    walk(BACKEND.record(model, x))
    assert_same(before, snapshot(model))
    assert torch.equal(random, torch.get_rng_state())


class Counting(nn.Module):
    """Writes to everything it can reach."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))
        self.seen: list[Any] = []
        self.weight = nn.Parameter(torch.ones(6, dtype=torch.float64))
        self.drop, self.last = nn.Dropout(), None

    def forward(self, x: Any) -> Any:
        self.count += 1
        self.count.add_(1)
        self.mean.copy_(x.detach().mean(0))
        self.mean.data = self.mean * 2
        with torch.no_grad():
            self.weight.mul_(2)
        self.seen.append(x)
        self.last = x
        return self.drop(x) * self.weight * self.count


def test_writes_of_the_forward_pass_stay_inside() -> None:
    model = Counting()
    before = snapshot(model)
    recording = BACKEND.record(model, X)
    assert_same(before, snapshot(model))
    assert model.seen == []
    assert model.last is None
    torch.testing.assert_close(recording.values[recording.output], torch.tensor(X * 4))


def test_functional_training_mode_is_overruled() -> None:
    norm = nn.BatchNorm2d(3).double()
    norm.running_var.fill_(4)
    before = snapshot(norm)

    def forward(m: Any, x: Any) -> Any:
        return F.dropout(F.batch_norm(x, m.norm.running_mean, m.norm.running_var, training=True), 0.5)

    recording = BACKEND.record(Fn(forward, norm=norm), IMAGES)
    assert_same(before, snapshot(norm))
    torch.testing.assert_close(recording.values[recording.output], torch.tensor(IMAGES / np.sqrt(4 + 1e-5)))
    assert [operation.kind for operation in recording.operations] == ["normalisation", "dropout"]


def test_user_hooks_remain_in_effect() -> None:
    model = nn.Sequential(nn.Linear(6, 6)).double()
    model[0].register_forward_hook(lambda *given: given[-1] * 2)
    recording = BACKEND.record(model, X)
    torch.testing.assert_close(recording.values[recording.output], model(torch.tensor(X)).detach())
    assert [operation.path for operation in recording.operations] == ["0", "0"]


def test_backward_hooks_of_the_user_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(6, 6)).double()
    model[0].register_full_backward_hook(lambda *_: pytest.fail("ran"))
    recording = BACKEND.record(model, X)
    walk(recording)
    assert [operation.kind for operation in recording.operations] == ["dense"]


def test_compiled_models_are_unwrapped() -> None:
    model = nn.Sequential(nn.Linear(6, 6)).double()
    assert [o.path for o in BACKEND.record(torch.compile(model, backend="eager"), X).operations] == ["0"]


def test_rebound_methods_and_module_lists_run_in_the_shadow() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain = [nn.Dropout(), {"a": nn.Dropout()}]
            self.run = self.body

        def body(self, x: Any) -> Any:
            assert not self.training
            return self.plain[1]["a"](self.plain[0](x))

        def forward(self, x: Any) -> Any:
            return self.run(x)

    model = Model()
    recording = BACKEND.record(model, X)
    assert [operation.path for operation in recording.operations] == ["plain.0", "plain.1.a"]
    assert model.training
    assert model.plain[0].training


# --- errors ----------------------------------------------------------------------------------------


def _batch_statistics() -> Any:
    return nn.BatchNorm2d(3, track_running_stats=False)


def _stale(x: Any) -> Any:
    rows = x[:, ::2]
    rows.detach().add_(1)
    return rows


def _fails(x: Any) -> Any:
    raise RuntimeError("broken on purpose")


CASES: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "conv_batch": (nn.Conv2d(3, 4, 3), IMAGES[0], InputShapeError, r"batch axis is missing.*x\[None\]"),
    "conv_last": (nn.Conv2d(3, 4, 3), IMAGES.transpose(0, 2, 3, 1), InputShapeError, "3 channels and got .*seem to be"),
    "conv_path": (
        nn.Sequential(nn.Conv1d(5, 4, 3)),
        IMAGES[0],
        InputShapeError,
        r"0 \(conv1d\) takes \(batch, channels",
    ),
    "dense": (
        nn.Sequential(nn.Linear(5, 2)),
        X,
        InputShapeError,
        r"0 \(linear\) takes \(batch, ..., 5\) and got \(2, 6\)",
    ),
    "no_batch": (nn.Linear(6, 3), X[0], InputShapeError, r"give x\[None\], shape \(1, 6\)"),
    "tuple": (nn.LSTM(6, 3), X, OutputError, "returned tuple.*wrap it"),
    "fails": (
        nn.Sequential(Fn(lambda _, x: _fails(x.relu()))),
        X,
        ModelError,
        "'0', at function 'relu': RuntimeError: brok",
    ),
    "detached": (lambda x: x.detach() * 2, X, ModelError, "does not depend on its input"),
    "integers": (lambda x: x.argmax(1), X, ModelError, "argmax"),
    "no_grad": (torch.no_grad()(lambda x: x * 2), X, ModelError, "no_grad"),
    "statistics": (_batch_statistics(), IMAGES, UnsupportedOperationError, "depend on the other samples"),
    "stale": (_stale, X, UnsupportedOperationError, "earlier in-place function changed through another tensor"),
    "out": (lambda x: torch.add(x, 1, out=torch.zeros(2, 6)), X, UnsupportedOperationError, "out= is not supported"),
    "lazy": (nn.LazyLinear(3), X, ModelError, "run the model once first"),
    "data": (lambda x: setattr(x, "data", x * 2), X, UnsupportedOperationError, "sets .data of a tensor"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_errors(name: str) -> None:
    model, x, error, text = CASES[name]
    model = model.double() if isinstance(model, nn.Module) and name != "lazy" else model
    with pytest.raises(error, match=text) as caught:
        BACKEND.record(model, x)
    assert "  " not in str(caught.value)


@pytest.mark.parametrize("x", [np.arange(6), np.ones(3, bool), np.ones(3, complex), torch.ones(3).int(), [1, 2], ["a"]])
def test_inputs_that_are_not_floating_point(x: Any) -> None:
    with pytest.raises(InputTypeError, match=r"floating-point numbers: (convert|take)"):
        BACKEND.prepare(nn.Linear(6, 3), x)


def test_ragged_and_scalar_inputs() -> None:
    with pytest.raises(InputTypeError, match="no array"):
        BACKEND.prepare(nn.Linear(6, 3), [[1.0], [1.0, 2.0]])
    with pytest.raises(InputShapeError, match="needs a batch axis"):
        BACKEND.prepare(nn.Linear(6, 3), 1.0)


@pytest.mark.parametrize("result", [lambda y: y, lambda y: y.detach()[:, 0], lambda y: 3.0, lambda y: y.sum()])
def test_targets_that_are_not_one_number_per_sample(result: Any) -> None:
    with pytest.raises(TargetError, match="the target function"):
        BACKEND.select(torch.rand(2, 3), result)
