"""The networks for data with known truth in both frameworks: same weights, same maps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import signxai_core as sx
from signxai_core import data
from signxai_core.data.recipes import RECIPES
from signxai_core.errors import ModelError
from signxai_tf import example_models as in_keras
from signxai_tf.porting import copy_weights
from signxai_torch import example_models as in_torch


@pytest.fixture(scope="module", params=[*RECIPES])
def pair(request):
    """A trained network in both frameworks, and two samples with a mask."""
    truth = RECIPES[request.param].test(3, seed=5)[1:]
    return request.param, in_torch.trained(request.param), in_keras.trained(request.param), truth


def logits(model, x):
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def test_outputs_are_equal(pair):
    name, module, model, truth = pair
    expected = logits(module, truth.x)
    last = data.channels_last(truth.x)
    np.testing.assert_allclose(model(last, training=False).numpy(), expected, rtol=1e-4, atol=1e-4)
    ported = in_keras.port(name, module)
    np.testing.assert_allclose(ported(last, training=False).numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(in_keras.predict(model, last), in_torch.predict(module, truth.x))


@pytest.mark.parametrize("method", ["gradient_x_input", "guided_backprop", "lrp_epsilon_0_1", "lrpsign_alpha_1_beta_0"])
def test_maps_are_equal(pair, method):
    name, module, model, truth = pair
    if name == "ecg_lstm" and method != "gradient_x_input":
        pytest.skip("recurrence has rules of its own")
    first = sx.explain(module, truth.x, method, truth.labels).relevance
    second = data.channels_first(sx.explain(model, data.channels_last(truth.x), method, truth.labels).relevance)
    assert np.abs(first - second).max() <= 1e-4 * np.abs(first).max()


def test_training_with_keras_is_seeded():
    truth = RECIPES["shapes_cnn"].make(32, seed=0)
    x = data.channels_last(truth.x)
    one, same = (in_keras.train("shapes_cnn", x, truth.labels, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.get_layer("head").kernel.numpy(), same.get_layer("head").kernel.numpy())


# LSTM


def networks(**options):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.LSTM(3, 4, batch_first=True, **options))
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4, return_sequences=True)])
    return module, model


def test_lstm_both_ways():
    module, model = networks()
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    copy_weights(module, model)
    expected = module[0](torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_allclose(model(x).numpy(), expected, atol=1e-6)  # both biases arrived
    back, _ = networks()
    with torch.no_grad():
        back[0].bias_hh_l0.fill_(7)
    copy_weights(model, back)
    np.testing.assert_allclose(back[0](torch.from_numpy(x))[0].detach().numpy(), expected, atol=1e-6)


def test_lstm_without_bias():
    module, model = networks(bias=False)
    copy_weights(module, model)
    assert not np.any(model.layers[0].cell.bias.numpy())
    model.layers[0].cell.bias.assign(np.ones(16))
    with pytest.raises(ModelError, match=r"the destination has no bias"):
        copy_weights(model, module)
    plain = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4, use_bias=False, return_sequences=True)])
    with pytest.raises(ModelError, match=r"the destination has no bias"):
        copy_weights(networks()[0], plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 2}, r"the PyTorch layer has num_layers = 2"),
        ({"bidirectional": True}, r"the PyTorch layer has bidirectional = True"),
        ({"proj_size": 2}, r"the PyTorch layer has proj_size = 2"),
    ],
)
def test_lstm_that_keras_does_not_have(options, message):
    module, model = networks(**options)
    with pytest.raises(ModelError, match=message):
        copy_weights(module, model)


def test_lstm_with_other_activations():
    module, _ = networks()
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4, activation="relu")])
    with pytest.raises(ModelError, match=r"the Keras layer has activation = 'relu', PyTorch's is tanh"):
        copy_weights(module, model)
