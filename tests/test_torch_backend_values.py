"""Values that PyTorch's recordings drop and compute again, and numbers in half types and under autocast."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import signxai_core as sx  # noqa: E402
from signxai_torch.backend import TorchBackend  # noqa: E402
from signxai_torch.ledger import Ledger  # noqa: E402

BACKEND = TorchBackend()


class UsesAgain(nn.Module):
    """What a ReLU and a batch-normalisation read is used once more."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.a(x)
        w = self.n(z)
        y = torch.relu(w)
        return self.b(y + w) + self.b(z)


def test_values_that_were_dropped_are_the_same_bits_when_asked_for() -> None:
    torch.manual_seed(0)
    model = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU()).double().eval()
    )
    x = torch.randn(2, 3, 8, 8, dtype=torch.double)
    recording = BACKEND.record(model, x)
    dropped = [tensor for tensor in recording.values if recording.values.is_dropped(tensor)]
    assert len(dropped) == 3
    value = x
    for tensor, layer in enumerate(model, 1):
        value = layer(value)
        assert torch.equal(recording.values[tensor], value)
        assert recording.shape(tensor) == tuple(value.shape)


def test_what_dropped_values_are_computed_from_stays_until_the_last_of_them() -> None:
    """Two convolutions of one tensor, both dropped; a map is made of one of them when the walk is over."""

    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
            self.n = nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.a(x)
            return (torch.relu(self.b(x)) + self.n(self.c(x))).flatten(1)

    torch.manual_seed(0)
    model, x = Fork().double().eval(), torch.randn(2, 1, 4, 4, dtype=torch.double)
    found = sx.explain_many(model, x, ["grad_cam", "lrp_z"], last_conv="c")
    assert np.isfinite(found["grad_cam"].relevance).all()
    np.testing.assert_array_equal(
        found["grad_cam"].relevance, sx.explain(model, x, "grad_cam", last_conv="c").relevance
    )


def test_values_that_the_model_holds_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again = []
    monkeypatch.setattr("signxai_torch.values.Dropped.again", lambda self, values: again.append(self))
    recording = BACKEND.record(UsesAgain().double().eval(), torch.randn(4, 6, dtype=torch.double))
    assert again == []
    assert not any(recording.values.is_dropped(tensor) for tensor in recording.values)


def test_a_tensor_that_the_model_dropped_is_forgotten() -> None:
    ledger = Ledger()
    tensor = ledger.track(torch.zeros(3))
    assert list(ledger.ids) == [id(tensor)]
    del tensor
    assert not ledger.ids


def test_deviations_of_half_types_do_not_overflow() -> None:
    a = torch.tensor([[-600.0, 600.0, 600.0, -600.0]], dtype=torch.float16)
    assert BACKEND.std(a, 1).item() == 600


def test_a_model_may_use_again_what_would_be_dropped() -> None:
    torch.manual_seed(0)
    model = UsesAgain().double().eval()
    x = torch.randn(4, 6, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x).max(1).values.sum(), x)
    found = sx.explain(model, x, "gradient").relevance
    torch.testing.assert_close(torch.from_numpy(found), gradient)


@pytest.mark.parametrize("name", ["gradient", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrpsign_z"])
def test_the_callers_autocast_rounds_nothing(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3)).eval()
    x = torch.rand(2, 3, 8, 8)
    expected = sx.explain(model, x, name).relevance
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sx.explain(model, x, name).relevance
    np.testing.assert_array_equal(found, expected)
