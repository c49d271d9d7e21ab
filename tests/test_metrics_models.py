"""Metrics that ask a model: the same for every framework, and the model stays as it is."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

import signxai_core as sx
from signxai_core import metrics
from signxai_core.errors import BackendError, InputShapeError, ModelError, ParameterError
from signxai_tf.porting import copy_weights

X = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
L = keras.layers


def in_torch(*, softmax=False):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)]
    return nn.Sequential(*layers, *([nn.Softmax(dim=1)] if softmax else []))


def in_keras(model, **options):
    layers = [L.Conv2D(4, 3, activation="relu", name="conv"), L.Flatten(name="flat"), L.Dense(5, name="out", **options)]
    twin = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    copy_weights(model, twin)
    return twin


@pytest.fixture(scope="module")
def twins():
    model = in_torch()
    return model, in_keras(model)


def test_predictor(twins):
    model, twin = twins
    with torch.no_grad():
        logits = model(torch.from_numpy(X)).numpy().astype(np.float64)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.predictor(model)(X), wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(metrics.predictor(model, outputs="sigmoid")(X), 1 / (1 + np.exp(-logits)), atol=1e-12)
    np.testing.assert_array_equal(metrics.predictor(model, outputs="logits")(X), logits.astype(np.float32))
    last = np.moveaxis(X, 1, -1)
    np.testing.assert_allclose(metrics.predictor(twin)(last), wanted, atol=1e-6)
    with pytest.raises(ParameterError, match="outputs must be one of 'softmax', 'sigmoid', 'logits', got 'probs'"):
        metrics.predictor(model, outputs="probs")
    with pytest.raises(BackendError, match="no backend claims"):
        metrics.predictor(lambda x: x)


def test_predictor_skips_a_softmax_of_the_models_own(twins):
    probabilities = metrics.predictor(twins[0])(X)
    np.testing.assert_allclose(metrics.predictor(in_torch(softmax=True))(X), probabilities, atol=1e-12)
    ending = in_keras(twins[0], activation="softmax")
    np.testing.assert_allclose(metrics.predictor(ending)(np.moveaxis(X, 1, -1)), probabilities, atol=1e-6)


def test_predictor_leaves_the_model_alone():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.Dropout(0.5), nn.Linear(192, 2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict = metrics.predictor(model)
    np.testing.assert_array_equal(predict(X), predict(X))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frameworks_have_the_same_curves(twins):
    model, twin = twins
    last = np.moveaxis(X, 1, -1)
    one = metrics.morf(metrics.predictor(model), X, sx.explain(model, X, "lrpsign_z"), channel_axis=1)
    two = metrics.morf(metrics.predictor(twin), last, sx.explain(twin, last, "lrpsign_z"), channel_axis=-1)
    np.testing.assert_allclose(one.values, two.values, atol=1e-5)


# Randomisation


def shuffles(model, other):
    """Return, per parameter, whether it is the same, and check that it holds the same numbers."""
    found = []
    for one, two in zip(model, other, strict=True):
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(two.ravel()))
        found.append(bool((one == two).all()))
    return found


def weights(model):
    if isinstance(model, nn.Module):
        return [parameter.detach().numpy().copy() for parameter in model.parameters()]
    return [weight.numpy() for weight in model.trainable_weights]


@pytest.mark.parametrize("number", [0, 1], ids=["torch", "keras"])
def test_randomised_orders(twins, number):
    model = twins[number]
    if number:
        for weight in model.trainable_weights:
            if len(weight.shape) == 1:
                weight.assign(np.arange(weight.shape[0]))
    before = weights(model)
    changed = {
        order: [(path, shuffles(before, weights(other))) for path, other in metrics.randomised(model, order=order)]
        for order in ("top_down", "bottom_up", "independent")
    }
    first, second = ("0", "3") if number == 0 else ("conv", "out")
    assert changed["top_down"] == [(second, [True, True, False, False]), (first, [False] * 4)]
    assert changed["bottom_up"] == [(first, [False, False, True, True]), (second, [False] * 4)]
    assert changed["independent"] == [(first, [False, False, True, True]), (second, [True, True, False, False])]
    assert shuffles(before, weights(model)) == [True] * 4
    again = [weights(other) for _, other in metrics.randomised(model, random_state=1)]
    same = [weights(other) for _, other in metrics.randomised(model, random_state=1)]
    np.testing.assert_array_equal(again[-1][0], same[-1][0])


def test_randomisation_tells_maps_of_the_model_from_maps_of_the_input(twins):
    def explain(model, x):
        return sx.explain(model, x, "gradient", [0, 0]).relevance

    found = metrics.randomisation(explain, twins[0], X)
    assert found.layers == ("3", "0")
    wanted = [
        metrics.spearman(np.abs(explain(twins[0], X)), np.abs(explain(other, X)))
        for _, other in metrics.randomised(twins[0])
    ]
    np.testing.assert_array_equal(found.values, wanted)
    assert found.values[-1].max() < 0.5
    edges = metrics.randomisation(lambda model, x: x, twins[0], X, similarity="pearson", absolute=False)
    np.testing.assert_allclose(edges.values, 1)


def test_randomisation_of_models_of_ones_own():
    found = metrics.randomisation(lambda model, x: x * model, 2.0, X, models=[("a", 3.0), ("b", -X)], absolute=False)
    assert found.layers == ("a", "b")
    np.testing.assert_allclose(found.values[0], 1)
    np.testing.assert_array_equal(found.values[1], metrics.spearman(X, -X * X))


def test_errors_of_randomisation(twins):
    with pytest.raises(ParameterError, match="order must be one of 'top_down', 'bottom_up', 'independent', got 'up'"):
        metrics.randomised(twins[0], order="up")
    with pytest.raises(ModelError, match=r"only a torch.nn.Module has parameters to randomise, got function"):
        next(metrics.randomised(lambda x: x, backend="torch"))
    with pytest.raises(BackendError, match=r"models of the backend 'numpy' cannot be randomised: its package has no"):
        metrics.randomised(None, backend="numpy")
    with pytest.raises(ParameterError, match="similarity must be one of 'spearman', 'pearson', got 'ssim'"):
        metrics.randomisation(lambda model, x: x, None, X, similarity="ssim")
    with pytest.raises(ParameterError, match="there is no randomised model: models is empty"):
        metrics.randomisation(lambda model, x: x, None, X, models=[])
    with pytest.raises(InputShapeError, match="with 'a' randomised"):
        metrics.randomisation(lambda model, x: x[:model], 2, X, models=[("a", 1)])


def test_keras_models_that_cannot_be_copied():
    class Own(keras.Model):
        def __init__(self, size):
            super().__init__()
            self.dense = L.Dense(size)

        def call(self, x):
            return self.dense(x)

    model = Own(2)
    model(np.ones((1, 3), np.float32))
    with pytest.raises(
        ModelError,
        match=r"the model cannot be copied, because Keras cannot rebuild it .*; give models= of your own. ",
    ):
        next(metrics.randomised(model))
