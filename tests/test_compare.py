# ruff: noqa: F401 - fixtures
"""Two models on the same inputs: how far apart their maps are, and where they part."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import torch
from test_cli import fail, place, run, succeed
from torch import nn

import signxai_core as sx
from signxai_core.compare import TOLERANCE
from signxai_core.engine.parting import Layouts, relative
from signxai_core.errors import BackendError, ModelError, ParameterError
from signxai_tf import demo_model as ours
from signxai_tf.backend import TensorFlowBackend
from signxai_tf.porting import copy_weights
from signxai_torch import demo_model as theirs

#: Keras 3.15 with NumPy 2.4, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

METHODS = ["lrpsign_epsilon_0_1", "gradient_x_input", "grad_cam", "smoothgrad", "random_uniform"]


@pytest.fixture
def twins():
    """The demo's networks with the same weights, and inputs for PyTorch's."""
    keras_model, torch_model = ours.image_network(8, 1, 10, 3), theirs.image_network(1, 8, 10)
    copy_weights(keras_model, torch_model)
    return torch_model, keras_model, np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)


def test_a_port_has_the_same_maps_both_ways(twins):
    torch_model, keras_model, x = twins
    found = sx.compare(torch_model, keras_model, x, METHODS, samples=4)
    assert found.agree
    assert found.values is None
    assert (found.backend_a, found.backend_b, found.tolerance) == ("torch", "tensorflow", TOLERANCE)
    assert [entry.method for entry in found.methods] == METHODS
    assert all(entry.agree and entry.parting is None for entry in found.methods)
    assert max(max(entry.difference, entry.sum_difference) for entry in found.methods) < 1e-5
    assert sx.compare(keras_model, torch_model, np.moveaxis(x, 1, -1), METHODS, samples=4).agree


def test_series():
    keras_model, torch_model = ours.series_network(8, 3, 10, 3), theirs.series_network(3, 8, 10)
    copy_weights(torch_model, keras_model)
    x = np.random.default_rng(0).random((2, 3, 8), dtype=np.float32)
    assert sx.compare(torch_model, keras_model, x, ["lrp_z", "smoothgrad", "grad_cam_timeseries"], samples=3).agree


def test_another_weight_is_found_forward(twins):
    torch_model, keras_model, x = twins
    kernel = keras_model.get_layer("conv2").kernel
    kernel.assign(kernel * 1.01)
    found = sx.compare(torch_model, keras_model, x, ["lrp_z", "gradient"])
    assert not found.agree
    assert str(found.values) == "values: 3 (conv2d) | conv2 (conv2d)"
    assert found.values.difference == pytest.approx(0.01, rel=1e-3)
    assert [entry.parting for entry in found.methods] == [found.values] * 2
    assert found.output_difference == pytest.approx(0.01, rel=1e-2)
    assert sx.compare(torch_model, keras_model, x, ["lrp_z", "gradient"], tolerance=0.05).agree


@pytest.mark.parametrize(
    ("function", "place_"), [("conv2d", "3 (conv2d) | conv2 (conv2d)"), ("linear", "8 (linear) | dense2 (linear)")]
)
def test_a_wrong_rule_is_found_backward(twins, monkeypatch, function, place_):
    torch_model, keras_model, x = twins
    pull = TensorFlowBackend.pull

    def wrong(self, operation, weight, relevance):
        return tuple(
            r * (1.01 if operation.function == function else 1) for r in pull(self, operation, weight, relevance)
        )

    monkeypatch.setattr(TensorFlowBackend, "pull", wrong)
    found = sx.compare(torch_model, keras_model, x, ["lrp_epsilon_0_1"])
    assert found.values is None
    assert str(found.methods[0].parting) == f"relevance: {place_}"
    assert found.methods[0].parting.difference == pytest.approx(0.01, rel=1e-3)


def test_a_difference_at_the_input_is_found(twins, monkeypatch):
    torch_model, keras_model, x = twins
    pull = TensorFlowBackend.pull

    def wrong(self, operation, weight, relevance):
        return tuple(r * (1.01 if operation.path == "conv1" else 1) for r in pull(self, operation, weight, relevance))

    monkeypatch.setattr(TensorFlowBackend, "pull", wrong)
    (entry,) = sx.compare(torch_model, keras_model, x, ["lrp_z"]).methods
    assert str(entry.parting) == "relevance: 0 (conv2d) | conv1 (conv2d)"


def test_other_operations_are_named():
    one = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    two = nn.Sequential(nn.Linear(6, 3))
    (entry,) = sx.compare(one, two, np.ones((1, 6), np.float32), ["gradient"]).methods
    assert str(entry.parting) == "operations: 2 (linear) | (no operation)"
    assert entry.parting.difference == float("inf")


def test_target_and_arrays_follow_the_layout(twins):
    torch_model, keras_model, x = twins
    mu = np.random.default_rng(1).random(x.shape[1:])
    assert sx.compare(torch_model, keras_model, x, ["gradient_x_sign_mu"], [1, 2, 3], mu=mu).agree
    given = {"layout_a": "channels_first", "layout_b": "channels_last"}
    assert sx.compare(torch_model, keras_model, x, ["lrp_z"], lambda out: out[:, 2], **given).agree


def test_what_cannot_be_compared(twins):
    torch_model, _, x = twins
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(ModelError) as raised:
        sx.compare(torch_model, other, x, ["lrp_z"], 0)
    assert str(raised.value) == ("the models cannot be compared: their outputs have the shapes (3, 10) and (3, 7)")
    with pytest.raises(ParameterError, match=r"tolerance must be a finite number that is not negative, got -1"):
        sx.compare(torch_model, torch_model, x, ["lrp_z"], tolerance=-1)
    with pytest.raises(ParameterError, match=r"layout_b must be 'channels_first' or 'channels_last', got 'last'"):
        sx.compare(torch_model, torch_model, x, ["lrp_z"], layout_b="last")
    with pytest.raises(BackendError, match=r"no backend claims the second model, of type function; give backend_b="):
        sx.compare(torch_model, lambda x: x, x, ["lrp_z"])


def test_parts():
    array = np.arange(24).reshape(2, 3, 4)
    last = Layouts(a=False, b=True).to_b(array)
    assert last.shape == (2, 4, 3)
    np.testing.assert_array_equal(Layouts(a=False, b=True).to_a(last), array)
    assert relative(np.array([2.0]), np.array([1.0])) == 0.5
    assert relative(np.zeros(1), np.array([3.0])) == 3
    assert relative(np.zeros(1), np.zeros(2)) == float("inf")
    assert relative(np.ones(1), np.array([np.nan])) == float("inf")


# The command line


@pytest.fixture
def files(twins, tmp_path, monkeypatch):
    torch_model, keras_model, x = twins
    torch.save(torch_model.state_dict(), tmp_path / "net.pt")
    keras_model.save(tmp_path / "net.keras")
    np.save(tmp_path / "x.npy", x)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return [theirs.MODEL, "net.keras", "x.npy", "--weights-a", "net.pt"]


def test_command(files):
    text = succeed("compare", *files, "-m", "lrp_z", "-m", "lrpsign_epsilon_*_mu_0_5")
    assert "a: torch, b: tensorflow; their outputs differ by " in text
    assert text.endswith("3 of 3 methods agree within 0.0001\n")


def test_command_says_where_models_part(files):
    result = run("compare", *files[:2], "x.npy", "-m", "lrp_z")
    assert result.exit_code == 1
    assert "values: 0 (conv2d) | conv1 (conv2d)" in result.output
    assert "the models compute different values from 0 (conv2d) | conv1 (conv2d) on (by " in result.output
    assert "0 of 1 methods agree within 0.0001" in result.output
    succeed("compare", *files[:2], "x.npy", "-m", "random_uniform", "--tolerance", "1e6")


def test_command_for_other_programs(files):
    found = json.loads(succeed("compare", *files, "-m", "gradient", "--json"))
    assert found["agree"]
    assert found["backends"] == ["torch", "tensorflow"]
    (entry,) = found["methods"]
    assert (entry["method"], entry["parting"]) == ("gradient", None)
    result = run("compare", *files[:2], "x.npy", "-m", "gradient", "--json")
    assert result.exit_code == 1
    parting = json.loads(result.output)["methods"][0]["parting"]
    assert (parting["what"], parting["a"], parting["b"]) == ("values", "0 (conv2d)", "conv1 (conv2d)")
