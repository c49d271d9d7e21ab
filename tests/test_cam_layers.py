"""Class-activation maps of named layers: the layer is taken literally, and the plan says which tensor it is."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import signxai_core as sx
from signxai_core.engine.cam import interpolate
from signxai_core.testing import network as net
from signxai_core.testing import reference


class Net(nn.Module):
    """Two convolutions; batch-normalisation and ReLU behind the second are layers of their own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.two = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3)
        self.norm, self.relu, self.fc = nn.BatchNorm2d(5), nn.ReLU(), nn.Linear(5, 3)
        self.norm.running_mean.uniform_(-1, 1)
        self.double().eval()

    def forward(self, x):
        y = self.relu(self.norm(self.two(F.relu(self.one(x)))))
        return self.fc(y.mean(dim=(2, 3)))


X = np.random.default_rng(3).normal(size=(2, 2, 8, 8))


def _expected(model, layer):
    """Return Grad-CAM of a module's output, by hooks."""
    kept = {}
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, y: kept.update(a=y))
    logits = model(torch.as_tensor(X))
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept["a"])
    heat = (gradient.mean(dim=(2, 3), keepdim=True) * kept["a"]).sum(1).clamp(min=0).detach().numpy()
    for axis in (1, 2):
        heat = interpolate(heat, axis, 8, align=False)
    return np.broadcast_to(heat[:, None], X.shape)


@pytest.mark.parametrize("layer", ["one", "two", "norm", "relu"])
def test_a_named_layer_is_taken_literally(layer):
    model = Net()
    result = sx.explain(model, X, "grad_cam", 1, last_conv=layer)
    np.testing.assert_allclose(result.relevance, _expected(model, layer), rtol=1e-9, atol=1e-14)
    function = {"one": "conv2d", "two": "conv2d", "norm": "batch_norm", "relu": "relu"}[layer]
    assert f"activation of: {layer} ({function})" in result.plan.notes


def test_the_default_is_the_last_convolution_with_its_activation():
    model = Net()
    result = sx.explain(model, X, "grad_cam", 1)
    np.testing.assert_allclose(result.relevance, _expected(model, "relu"), rtol=1e-9, atol=1e-14)
    assert "activation of: two (conv2d) with norm (batch_norm), relu (relu)" in result.plan.notes


def test_a_layer_of_a_preset_comes_with_its_activation():
    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv2d_1, self.two, self.fc = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3), nn.Linear(3, 2)
            self.double()

        def forward(self, x):
            return self.fc(F.relu(self.two(F.relu(self.conv2d_1(x)))).mean(dim=(2, 3)))

    assert "activation of: conv2d_1 (conv2d) with relu" in sx.plan(Convolution(), X, "grad_cam_MNISTCNN").notes


def test_a_keras_layer_has_its_activation_inside():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(4, 3, activation="relu", name="one"),
            keras.layers.Conv2D(5, 3, name="two"),
            keras.layers.ReLU(name="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )
    x = X.transpose(0, 2, 3, 1).astype("float32")
    labels = {layer: sx.plan(model, x, "grad_cam", last_conv=layer).notes[1] for layer in ("one", "two", "relu")}
    assert labels == {
        "one": "activation of: one (relu)",
        "two": "activation of: two (conv2d)",
        "relu": "activation of: relu (relu)",
    }
    assert sx.plan(model, x, "grad_cam").notes[1] == "activation of: two (conv2d) with relu (relu)"


def test_the_reference_takes_the_same_layers():
    rng = np.random.default_rng(0)
    network = net.Network(
        [
            net.Conv(name="conv", weight=rng.normal(size=(4, 2, 3, 3))),
            net.Activation(name="relu", inputs="conv"),
            net.GlobalAvgPool(name="pool", inputs="relu"),
            net.Dense(name="logits", inputs="pool", weight=rng.normal(size=(3, 4))),
        ],
        (2, 8, 8),
    )
    maps = {}
    for layer in (None, "conv", "relu"):
        given = {} if layer is None else {"last_conv": layer}
        ours = sx.explain(network, X, "grad_cam", 1, backend="numpy", **given)
        maps[layer] = reference.explain(network, X, ours.spec, 1).relevance
        np.testing.assert_allclose(ours.relevance, maps[layer], rtol=1e-9, atol=1e-14)
    np.testing.assert_array_equal(maps[None], maps["relu"])
    assert not np.allclose(maps["conv"], maps["relu"])
