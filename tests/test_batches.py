"""``batch_size`` and ``max_memory`` change what a call holds at a time, and no number."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from nets import Branching

import signxai_core as sx
from signxai_core.engine.streams import Stream, batched
from signxai_core.engine.structure import analyse
from signxai_core.engine.walk import Walk
from signxai_core.errors import ParameterError, TargetError
from signxai_torch.backend import TorchBackend

NAMES = (
    "gradient",
    "smoothgrad_x_sign_mu",
    "integrated_gradients",
    "guided_grad_cam",
    "lrpsign_epsilon_0_25_std_x",
    "lrp_sequential_composite_b",
    "w2lrp_gamma_0_25",
    "zblrp_alpha_2_beta_1",
)
BATCH = 5
TOLERANCE = 1e-12  # float64; products of other sizes add in another order


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Branching(bias=True).double().eval()


@pytest.fixture(scope="module")
def arguments():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(BATCH, 2, 6, 6))
    return {
        "x": x,
        "mu": draw.normal(size=x.shape),
        "low": x.min(axis=(1, 2, 3), keepdims=True) * np.ones_like(x),
        "high": np.array([3.5, 4.0]),
        "last_conv": "side",
        "samples": 7,
        "steps": 6,
    }


@pytest.mark.parametrize("limit", [{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 99}, {"max_memory": 1}])
@pytest.mark.parametrize("target", [None, 3, [0, 1, 2, 3, 4], lambda y: y[:, 0] * y[:, 1]])
def test_limits_change_no_number(model, arguments, limit, target):
    whole = sx.explain_many(model, methods=NAMES, target=target, **arguments)
    parts = sx.explain_many(model, methods=NAMES, target=target, **arguments, **limit)
    for name in NAMES:
        size = np.abs(whole[name].relevance).max()
        assert np.abs(parts[name].relevance - whole[name].relevance).max() <= TOLERANCE * size, name
        np.testing.assert_allclose(parts[name].conservation.total, whole[name].conservation.total, atol=1e-10)
        np.testing.assert_allclose(parts[name].conservation.expected, whole[name].conservation.expected, atol=1e-10)
        np.testing.assert_allclose(parts[name].output, whole[name].output, rtol=TOLERANCE)
        assert np.array_equal(parts[name].target, whole[name].target)
        assert parts[name].spec == whole[name].spec
        assert parts[name].plan == whole[name].plan


def test_little_memory_walks_trunks_one_after_the_other(model, arguments, monkeypatch):
    """Names that share their trunk go together however little there is; others one after the other."""
    visits, steps = [], []
    visit = Walk.visit
    monkeypatch.setattr(Walk, "visit", lambda self, at, s: visits.append((at, len(s))) or visit(self, at, s))
    names = ["lrp_epsilon_0_1", "lrpsign_epsilon_0_1", "flatlrp_epsilon_0_1", "lrp_alpha_1_beta_0", "lrpz_z"]
    sx.explain_many(model, arguments["x"], names)
    last = visits[0][0]
    assert visits == [(last, 1), *((at, 3) for at in reversed(range(last)))]
    visits.clear()
    sx.explain_many(model, arguments["x"], names, max_memory=1, progress=lambda *at: steps.append(at))
    assert visits == [(last, 1), *((at, 1) for _ in range(3) for at in reversed(range(last)))]
    assert steps[-1] == (5 * (last + 1), 5 * (last + 1))


@pytest.mark.parametrize(
    ("memory", "batches"),
    [
        (36, [(3, 36)]),  # each holds three times the larger side of the layer, 4
        (35, [(2, 32), (1, 35)]),  # while the others wait with the 3 numbers at the output
        (26, [(1, 20), (2, 26)]),
        (0, [(1, -6), (1, -3), (1, 0)]),
    ],
)
def test_streams_that_wait_count_for_the_bound(memory, batches):
    recording = TorchBackend().record(torch.nn.Linear(4, 3).double(), torch.zeros(1, 4, dtype=torch.double))
    structure = analyse(recording)
    streams = [Stream((member,), {recording.output: None}) for member in range(3)]
    found = batched(structure, streams, len(structure.groups), memory)
    assert [(len(batch), left) for batch, left in found] == batches
    assert [stream for batch, _ in found for stream in batch] == streams


def test_sampled_inputs_follow_the_memory(model, arguments, monkeypatch):
    rows = []
    record = TorchBackend.record
    monkeypatch.setattr(TorchBackend, "record", lambda self, model, x: rows.append(len(x)) or record(self, model, x))
    sx.explain(model, arguments["x"], "smoothgrad", samples=4, max_memory=1)
    assert rows == [BATCH, *[1] * BATCH * 4]  # the clean input, and four copies of each sample
    rows.clear()
    sx.explain(model, arguments["x"], "smoothgrad", samples=4, target=lambda y: y[:, 0], max_memory=1)
    assert rows == [BATCH] * 5  # a function may expect the user's batch


class Small(torch.nn.Module):
    """Its recording holds little more than the input."""

    def forward(self, x):
        return x[:, :, ::16, ::16].flatten(1)


@pytest.mark.parametrize("name", ["smoothgrad", "vargrad", "integrated_gradients"])
def test_noise_is_bounded_by_the_memory_too(name):
    """The noise of all copies of all samples took 80 MB here, whatever the bound was."""
    x = np.random.default_rng(0).random((16, 3, 64, 64), dtype=np.float32)
    sx.explain(Small(), x[:1, :, :32], name)  # whatever is imported and kept at the first call
    tracemalloc.start()
    try:
        sx.explain(Small(), x, name, max_memory=10**6)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # NumPy's side of the call: the map, two float64 moments of it, the parts that they are joined from.
    assert largest < 14 * x.nbytes


def test_progress_counts_all_parts(model, arguments):
    seen: list[tuple[int, int]] = []
    sx.explain(model, arguments["x"], "smoothgrad", samples=3, batch_size=2, progress=lambda *at: seen.append(at))
    done, total = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1]
    assert len(set(total)) == 1


@pytest.mark.parametrize("name", ["batch_size", "max_memory"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "2"])
def test_limits_that_are_no_positive_whole_number_are_refused(model, arguments, name, value):
    with pytest.raises(ParameterError, match=rf"{name} must be a positive whole number or None, got"):
        sx.explain(model, arguments["x"], "gradient", **{name: value})


def test_a_target_of_the_parts_length_is_refused(model, arguments):
    with pytest.raises(TargetError, match=r"shape \(2,\), expected one class index or one for each of the 5 samples"):
        sx.explain(model, arguments["x"], "gradient", target=[0, 1], batch_size=2)


def test_an_interrupted_call_leaves_nothing_behind(model, arguments):
    """Ctrl-C between two parts: the model is as it was, and the next call is not affected."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = sx.explain(model, arguments["x"], "lrp_z").relevance

    def interrupt(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sx.explain(model, arguments["x"], "lrp_z", batch_size=1, progress=interrupt)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    np.testing.assert_array_equal(sx.explain(model, arguments["x"], "lrp_z").relevance, expected)
