"""PyTorch's large functions, recorded by formulas: the numbers are those of the functions themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from test_torch_backend_models import BACKEND, Fn, truth, walk  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from signxai_core.errors import SignxaiError  # noqa: E402
from signxai_core.specs import operations  # noqa: E402
from signxai_core.specs.operations import Reading  # noqa: E402

DOUBLE = torch.float64
INF = float("inf")


def weights(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def check(model: Any, x: Any, *, kinds: bool = True) -> Any:
    """Compare a recording with the model itself, in value and gradient; return the recording."""
    model = model.double() if isinstance(model, nn.Module) else model
    recording = BACKEND.record(model, x)
    output, gradient = truth(model, x)
    torch.testing.assert_close(recording.values[recording.output], output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(walk(recording), gradient, rtol=1e-11, atol=1e-12)
    assert not kinds or "other" not in {operation.kind for operation in recording.operations}
    return recording


def groups(recording: Any) -> dict[tuple[str, int], list[str]]:
    """Return the functions of every group, in order."""
    found: dict[tuple[str, int], list[str]] = {}
    for operation in recording.operations:
        if operation.group:
            found.setdefault(operation.group, []).append(operation.function)
    return found


def array(*shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


STANDARDISED = ["mean", "sub", "square", "mean", "add", "rsqrt", "mul"]
NORMS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], list[str]]] = {
    "layer": (
        lambda x: F.layer_norm(x, (5,), weights(5), weights(5, seed=1)),
        (2, 3, 5),
        [*STANDARDISED, "affine"],
    ),
    "layer_plain": (lambda x: F.layer_norm(x, (3, 5), eps=1e-3), (2, 3, 5), STANDARDISED),
    "layer_weight": (lambda x: F.layer_norm(x, [5], weights(5)), (2, 3, 5), [*STANDARDISED, "mul"]),
    "layer_bias": (lambda x: F.layer_norm(x, [5], bias=weights(5)), (2, 3, 5), [*STANDARDISED, "add"]),
    "layer_torch": (lambda x: torch.layer_norm(x, (5,), weights(5), None, 1e-5, True), (2, 5), [*STANDARDISED, "mul"]),
    "layer_native": (lambda x: torch.native_layer_norm(x, (5,), None, None, 1e-5)[0], (2, 5), STANDARDISED),
    "layer_aten": (lambda x: torch.ops.aten.layer_norm.default(x, (5,), weights(5)), (2, 5), [*STANDARDISED, "mul"]),
    "group": (
        lambda x: F.group_norm(x, 2, weights(4), weights(4, seed=1), 1e-2),
        (2, 4, 3, 3),
        ["reshape", *STANDARDISED, "reshape", "affine"],
    ),
    "group_series": (lambda x: F.group_norm(x, 4), (2, 4, 7), ["reshape", *STANDARDISED, "reshape"]),
    "group_flat": (lambda x: torch.group_norm(x, 2, weights(6)), (3, 6), ["reshape", *STANDARDISED, "reshape", "mul"]),
    "instance": (lambda x: F.instance_norm(x, weight=weights(3)), (2, 3, 4, 4), [*STANDARDISED, "mul"]),
    "instance_series": (lambda x: F.instance_norm(x, eps=0.1), (2, 3, 6), STANDARDISED),
    "instance_torch": (
        lambda x: torch.instance_norm(x, weights(3), weights(3), None, None, True, 0.1, 1e-5, False),
        (2, 3, 4, 4, 2),
        [*STANDARDISED, "affine"],
    ),
    "rms": (
        lambda x: F.rms_norm(x, (5,), weights(5), 1e-3),
        (2, 3, 5),
        ["square", "mean", "add", "rsqrt", "mul", "mul"],
    ),
    "rms_plain": (lambda x: F.rms_norm(x, (3, 5)), (2, 3, 5), ["square", "mean", "add", "rsqrt", "mul"]),
    "normalize": (F.normalize, (2, 3, 5), ["square", "sum", "sqrt", "clamp", "div"]),
    "normalize_1": (lambda x: F.normalize(x, p=1, dim=(1, 2)), (2, 3, 5), ["abs", "sum", "clamp", "div"]),
    "normalize_inf": (lambda x: F.normalize(x, INF, -1), (2, 5), ["abs", "amax", "clamp", "div"]),
    "normalize_3": (lambda x: F.normalize(x, p=3.0), (2, 5), ["abs", "pow", "sum", "pow", "clamp", "div"]),
    "response": (lambda x: F.local_response_norm(x, 3, 0.1), (2, 5, 4, 3), []),
    "response_even": (lambda x: F.local_response_norm(x, 2, beta=0.5, k=2.0), (2, 5, 4), []),
    "var": (lambda x: x.var(1), (2, 5), ["mean", "sub", "square", "mean", "mul"]),
    "var_biased": (lambda x: torch.var(x, (1, 2), unbiased=False), (2, 3, 5), ["mean", "sub", "square", "mean"]),
    "var_correction": (lambda x: x.var(dim=-1, correction=2, keepdim=True), (2, 5), []),
    "std": (lambda x: x.std(1, keepdim=True), (2, 5), ["mean", "sub", "square", "mean", "mul", "sqrt"]),
    "std_mean": (lambda x: torch.cat(torch.std_mean(x, dim=2), 1), (2, 3, 5), []),
    "var_mean": (lambda x: torch.cat(torch.var_mean(x, 2, False, True), 1), (2, 3, 5), []),
    "norm": (lambda x: x.norm(dim=1), (2, 3, 5), ["square", "sum", "sqrt"]),
    "norm_2": (lambda x: torch.norm(x, 2, (1, 2), True), (2, 3, 5), ["square", "sum", "sqrt"]),
    "norm_linalg": (lambda x: torch.linalg.norm(x, dim=-1), (2, 3, 5), ["square", "sum", "sqrt"]),
    "norm_frobenius": (lambda x: torch.linalg.norm(x, dim=(1, 2)), (2, 3, 5), ["square", "sum", "sqrt"]),
    "norm_vector": (lambda x: torch.linalg.vector_norm(x, 4, dim=1), (2, 5), ["abs", "pow", "sum", "pow"]),
    "norm_least": (lambda x: torch.linalg.vector_norm(x, -INF, dim=1), (2, 5), ["abs", "amin"]),
    "cosine": (lambda x: F.cosine_similarity(x, x.tanh(), dim=2), (2, 3, 5), []),
    "cosine_constant": (lambda x: F.cosine_similarity(x, weights(1, 5)), (2, 5), []),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms(name: str) -> None:
    function, shape, expected = NORMS[name]
    recording = check(Fn(lambda _, x: function(x)), array(*shape))
    (functions,) = groups(recording).values()
    assert functions == expected or not expected


def test_running_statistics_of_an_instance_norm_are_constants() -> None:
    norm = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
    norm.running_mean.normal_()
    recording = check(norm, array(2, 3, 4, 4))
    assert [operation.kind for operation in recording.operations] == ["normalisation"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x / x.norm(),
        lambda x: x.var() * x,
        lambda x: x * torch.linalg.norm(x[:, None] * x[:, :, None], 2, (1, 2))[:, None],
        lambda x: x.norm(0, 1, keepdim=True) * x,
    ],
)
def test_what_has_no_formula_is_recorded_as_a_whole(function: Any) -> None:
    recording = check(Fn(lambda _, x: function(x)), array(2, 5), kinds=False)
    assert "other" in [operation.kind for operation in recording.operations]
    assert groups(recording) == {}


HEADS_OF_4, LSTM_OF_4 = nn.MultiheadAttention(4, 2).double().eval(), nn.LSTM(4, 2).double().eval()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.layer_norm(x, (4,)),
        lambda x: F.rms_norm(x, (4,)),
        lambda x: F.group_norm(x[..., None].expand(-1, -1, 2), 2),
        lambda x: HEADS_OF_4(x[None], x[None], x[None])[0],
        lambda x: LSTM_OF_4(x)[0],
    ],
)
def test_what_pytorch_refuses_is_refused(function: Any) -> None:
    with pytest.raises(SignxaiError, match=r"(?i)shape|divisible|embed|input"):
        BACKEND.record(Fn(lambda _, x: function(x)), array(2, 5))


@pytest.mark.parametrize("function", [F.normalize, lambda x: x.std(1), lambda x: x.norm(dim=1)])
def test_roots_of_0_have_the_derivative_0(function: Any) -> None:
    assert torch.isfinite(walk(check(Fn(lambda _, x: function(x)), np.zeros((2, 4))))).all()


# --- attention --------------------------------------------------------------------------------------


def mask(*shape: int) -> Any:
    made = weights(*shape) > 0
    made[..., 0] = True
    return made


ATTENTION: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "plain": (lambda x: F.scaled_dot_product_attention(x, x.tanh(), x + 1), (2, 5, 4)),
    "heads": (lambda x: F.scaled_dot_product_attention(x, x.tanh(), x + 1, scale=0.3), (2, 3, 5, 4)),
    "causal": (lambda x: F.scaled_dot_product_attention(x, x.tanh(), x, is_causal=True), (2, 3, 5, 4)),
    "causal_long": (lambda x: F.scaled_dot_product_attention(x[:, :3], x, x, is_causal=True), (2, 5, 4)),
    "mask": (lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=mask(5, 5)), (2, 3, 5, 4)),
    "blind": (lambda x: F.scaled_dot_product_attention(x, x, x, torch.eye(5, dtype=torch.bool).tril(-1)), (2, 5, 4)),
    "bias": (lambda x: F.scaled_dot_product_attention(x, x, x, weights(2, 1, 5, 5)), (2, 3, 5, 4)),
    "infinite": (lambda x: F.scaled_dot_product_attention(x, x, x, torch.full((5, 5), -INF).to(x).triu(1)), (2, 5, 4)),
    "live_bias": (lambda x: F.scaled_dot_product_attention(x, x, x, x @ x.mT), (2, 5, 4)),
    "chosen": (lambda x: F.scaled_dot_product_attention(x, x, x, x[:, None, :, 0] > -9), (2, 5, 4)),
    "shared": (
        lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2].tanh(), enable_gqa=True),
        (2, 6, 5, 4),
    ),
    "queries": (lambda x: F.scaled_dot_product_attention(weights(1, 3, 4), x, x), (2, 5, 4)),
    "dropout": (lambda x: F.scaled_dot_product_attention(x, x, x, None, 0.0), (1, 1, 7, 8)),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str) -> None:
    function, shape = ATTENTION[name]
    recording = check(Fn(lambda _, x: function(x)), array(*shape))
    (functions,) = groups(recording).values()
    core = [f for f in functions if f not in ("index", "repeat_interleave", "where", "mul", "add")]
    assert core == ["permute", "matmul", "softmax", "matmul"]


def test_attention_in_the_order_of_the_table() -> None:
    recording = check(Fn(lambda _, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), array(2, 5, 4))
    kinds = [operation.kind for operation in recording.operations]
    assert kinds == ["scaling", "shape", "matrix_product", "scaling", "softmax", "matrix_product"]
    assert [operation.group for operation in recording.operations] == [("attention", 1)] * 6
    assert torch.isneginf(recording.operations[3].parameters["shift"]).any()


HEADS: dict[str, tuple[dict[str, Any], Callable[[Any, Any], Any]]] = {
    "plain": ({}, lambda m, x: m(x, x, x)),
    "batch_first": ({"batch_first": True}, lambda m, x: m(x, x, x)),
    "no_weights": ({"batch_first": True}, lambda m, x: m(x, x, x, need_weights=False)),
    "weights_used": ({"batch_first": True}, lambda m, x: (torch.cat([*m(x, x, x)], 2), None)),
    "all_weights": ({}, lambda m, x: (m(x, x, x, average_attn_weights=False)[1].permute(2, 0, 1, 3), None)),
    "cross": ({"batch_first": True}, lambda m, x: m(x, x[:, 1:].tanh(), x[:, 1:].exp())),
    "no_bias": ({"bias": False}, lambda m, x: m(x, x, x)),
    "widths": ({"kdim": 5, "vdim": 3}, lambda m, x: m(x, x[..., :5], x[..., :3])),
    "mask": ({"batch_first": True}, lambda m, x: m(x, x, x, attn_mask=~mask(4, 4))),
    "float_mask": ({"batch_first": True}, lambda m, x: m(x, x, x, attn_mask=weights(4, 4), need_weights=False)),
    "head_mask": ({"batch_first": True}, lambda m, x: m(x, x, x, attn_mask=weights(4, 4, 4))),
    "causal": (
        {"batch_first": True},
        lambda m, x: m(x, x, x, attn_mask=~torch.ones(4, 4).bool().tril(), is_causal=True, need_weights=False),
    ),
    "padding": ({"batch_first": True}, lambda m, x: m(x, x, x, key_padding_mask=~mask(2, 4))),
    "both": ({"batch_first": True}, lambda m, x: m(x, x, x, key_padding_mask=~mask(2, 4), attn_mask=weights(4, 4))),
    "added": ({"batch_first": True, "add_bias_kv": True}, lambda m, x: m(x, x, x, attn_mask=~mask(4, 4))),
    "zero": ({"batch_first": True, "add_zero_attn": True}, lambda m, x: m(x, x, x, key_padding_mask=~mask(2, 4))),
    "unbatched": ({}, lambda m, x: [y[:2] for y in m(*[x[0]] * 3)]),
}


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("name", HEADS)
def test_multi_head_attention(name: str) -> None:
    options, call = HEADS[name]
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = array(2, 4, 8)
    recording = check(Fn(lambda m, x: call(m.a, x)[0] + 0 * x.sum(), a=layer), x, kinds=False)
    inside = [operation for operation in recording.operations if operation.path == "a"]
    assert {operation.kind for operation in inside}.isdisjoint({"other"})
    (functions,) = groups(recording).values()
    assert [f for f in functions if f != "add"] == ["mul", "permute", "matmul", "softmax", "matmul"]
    assert sum(operation.kind == "dense" for operation in inside) == (4 if name in ("cross", "widths") else 2)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_transformers_are_recorded_in_parts(*, first: bool, grad: bool) -> None:
    """Also where PyTorch would take one fused function for the whole layer."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=first, activation="gelu")
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not first).double().requires_grad_(grad).eval()
    padding = torch.tensor([[False] * 4, [False, False, True, True]])
    recording = check(Fn(lambda m, x: m.t(x, src_key_padding_mask=padding), t=model), array(2, 4, 8))
    assert [name for name, _ in groups(recording)].count("attention") == 2
    assert [name for name, _ in groups(recording)].count("layer_norm") == 4
    assert {o.path for o in recording.operations if o.group == ("attention", 1 + first)} == {"t.layers.0.self_attn"}


def test_a_decoder_reads_its_memory() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(4, dtype=DOUBLE)
    check(Fn(lambda m, x: m.t(x, x.flip(1).tanh(), tgt_mask=causal, tgt_is_causal=True), t=layer), array(2, 4, 8))


# --- recurrence -------------------------------------------------------------------------------------

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "both_ways": {"bidirectional": True},
    "deep": {"num_layers": 2, "dropout": 0.5, "batch_first": True},
    "deep_both_ways": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "no_bias": {"bias": False},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("start", ["none", "constant", "live"])
def test_recurrent_layers(kind: str, options: str, start: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind](5, 4, **OPTIONS[options])
    cells = layer.num_layers * (1 + layer.bidirectional)

    def forward(m: Any, x: Any) -> Any:
        y = x if layer.batch_first else x.transpose(0, 1)
        state = {"none": None, "constant": weights(cells, 2, 4), "live": x[:, 0, :4].expand(cells, -1, -1) * 2}[start]
        output, end = m.r(y, state if state is None or kind != "lstm" else (state, state.tanh()))
        ends = end if isinstance(end, tuple) else (end,)
        return torch.cat([output.transpose(0, -3 if layer.batch_first else 1).flatten(1), *(e[-1] for e in ends)], 1)

    recording = check(Fn(lambda m, x: forward(m, x)[: len(x)], r=layer), array(2, 3, 5))
    (name,) = groups(recording)
    assert name == (kind, 1)
    dense = sum(operation.kind == "dense" for operation in recording.operations)
    assert dense == cells * 2 * 3


def test_a_recurrent_layer_with_relu_and_one_that_projects() -> None:
    torch.manual_seed(0)
    check(Fn(lambda m, x: m.r(x)[0], r=nn.RNN(5, 4, nonlinearity="relu", batch_first=True)), array(2, 3, 5))
    layer = nn.LSTM(5, 4, proj_size=2, num_layers=2, bidirectional=True, batch_first=True)
    check(Fn(lambda m, x: torch.cat([m.r(x)[0].flatten(1), m.r(x)[1][1][-1]], 1), r=layer), array(2, 3, 5))


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("start", [True, False])
def test_packed_sequences(kind: str, *, both: bool, start: bool) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind](5, 4, num_layers=2, bidirectional=both, batch_first=True)
    state = weights(4 if both else 2, 3, 4)
    given = (None if not start else (state, state) if kind == "lstm" else state,)

    def forward(m: Any, x: Any) -> Any:
        packed = pack_padded_sequence(x, torch.tensor([2, 4, 1]), batch_first=True, enforce_sorted=False)
        output, end = m.r(packed, *given)
        padded = pad_packed_sequence(output, batch_first=True)[0]
        return torch.cat([padded.flatten(1), (end[1] if kind == "lstm" else end)[-1]], 1)

    check(Fn(forward, r=layer), array(3, 4, 5))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(cell: Any, *, bias: bool) -> None:
    torch.manual_seed(0)

    def forward(m: Any, x: Any) -> Any:
        state = None
        for part in x.unbind(1):
            state = m.c(part, state)
        return torch.cat(state, 1) if isinstance(state, tuple) else state

    recording = check(Fn(forward, c=cell(5, 4, bias=bias)), array(2, 3, 5))
    assert [number for _, number in groups(recording)] == [1, 2, 3]


def test_an_lstm_step_in_the_order_of_the_table() -> None:
    recording = check(Fn(lambda m, x: m.c(x, (x[:, :4], x[:, :4]))[0], c=nn.LSTMCell(5, 4)), array(2, 5))
    inside = [operation for operation in recording.operations if operation.group]
    assert [operation.kind for operation in inside[:5]] == ["dense", "dense", "sum", "scaling", "shape"]
    assert all("bias" not in operation.parameters for operation in inside)
    functions = [operation.function for operation in inside[5:]]
    assert functions == ["sigmoid", "mul", "sigmoid", "tanh", "mul", "add", "sigmoid", "tanh", "mul"]


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_gates_are_multiplied_with_constants_as_with_signals(cell: Any, value: float) -> None:
    """Else relevance would go to the gate of a first step, and what is absorbed would depend on the step."""

    def forward(m: Any, x: Any) -> Any:
        state = torch.full((2, 4), value, dtype=DOUBLE)
        end = m.c(x, (state, state) if cell is nn.LSTMCell else state)
        return end[0] if isinstance(end, tuple) else end

    operations = check(Fn(forward, c=cell(5, 4)), array(2, 5)).operations
    gates = {o.outputs[0] for o in operations if o.function == "sigmoid"} | {
        output for o in operations if o.function == "chunk" for output in o.outputs
    }
    shifted = [o for o in operations if o.kind == "scaling" and o.function == "mul"]
    assert sum(o.kind == "product" for o in operations) == 3
    assert not [o for o in shifted if gates.intersection(o.inputs)]
    assert sum(o.kind == "dense" for o in operations) == 2


def test_gru_puts_the_reset_behind_the_product_with_the_state() -> None:
    recording = check(Fn(lambda m, x: m.c(x, x[:, :4]), c=nn.GRUCell(5, 4)), array(2, 5))
    products = [operation for operation in recording.operations if operation.kind == "product"]
    assert len(products) == 3
    assert sum(operation.kind == "dense" for operation in recording.operations) == 2


# --- in all circumstances ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["layer", "group", "instance", "rms_plain", "normalize", "std"])
def test_half_types_come_close(name: str, dtype: Any) -> None:
    _, shape, _ = NORMS[name]
    parts = {"layer": nn.LayerNorm(5), "group": nn.GroupNorm(2, 4), "instance": nn.InstanceNorm2d(3)}
    others = {"rms_plain": nn.RMSNorm([3, 5]), "normalize": Fn(lambda _, x: F.normalize(x))}
    model = (parts | others | {"std": Fn(lambda _, x: x.std(1))})[name].to(dtype)
    x = torch.tensor(array(*shape) * 300).to(dtype)
    recording = BACKEND.record(model, x)
    if name in parts or name == "rms_plain":  # squares of 300 overflow in float16, and layers take float32 inside
        ours = recording.values[recording.output].to(dtype)
        torch.testing.assert_close(ours, model(x).detach(), rtol=2e-2, atol=1e-3)
    assert recording.values[recording.output].dtype == torch.float32  # half types are too narrow for relevance


def test_without_a_derivative_the_function_itself_runs() -> None:
    def forward(m: Any, x: Any) -> Any:
        with torch.no_grad():
            shift = m.n(x)
        return m.n(x) + shift + F.layer_norm(m.w, (5,))

    recording = check(Fn(forward, n=nn.LayerNorm(5), w=nn.Parameter(weights(5))), array(2, 5), kinds=False)
    assert list(groups(recording)) == [("layer_norm", 1)]


def test_checkpoints_and_reused_layers() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = Fn(lambda m, x: torch.utils.checkpoint.checkpoint(m.t, m.t(x), use_reentrant=False), t=layer)
    assert len(groups(check(model, array(2, 4, 8)))) == 6


def hypotenuse(first: Any, second: Any) -> Any:
    return (first.square() + second.square()).sqrt()


def test_a_plugin_gives_a_function_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading(backend="torch", function="hypot", neutral="hypotenuse", formula=f"{__name__}:hypotenuse")
    monkeypatch.setitem(operations._READINGS, ("torch", "hypot"), reading)
    recording = check(Fn(lambda _, x: torch.hypot(x, x.exp())), array(2, 5))
    assert groups(recording) == {("hypotenuse", 1): ["square", "square", "add", "sqrt"]}
