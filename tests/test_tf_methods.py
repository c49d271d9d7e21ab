"""All published names on TensorFlow, on images and on series, in both conventions."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx

keras = pytest.importorskip("keras")

L = keras.layers
NAMES = sx.methods()


def image_network():
    given = keras.Input((12, 12, 3))
    hidden = L.MaxPooling2D(2)(L.Conv2D(4, 3, activation="relu", padding="same")(given))
    hidden = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(hidden)) + hidden)
    return keras.Model(given, L.Dense(3, activation="softmax")(L.Flatten()(hidden)))


def series_network():
    layers = [L.Conv1D(4, 3, activation="relu"), L.AveragePooling1D(2), L.Conv1D(4, 3, activation="relu")]
    return keras.Sequential([keras.Input((16, 2)), *layers, L.GlobalMaxPooling1D(), L.Dense(3, activation="softmax")])


def test_there_are_152():
    assert len(NAMES) == 152
    assert len(set(NAMES)) == 152


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
@pytest.mark.parametrize("build", [image_network, series_network])
def test_every_published_name(build, convention):
    keras.utils.set_random_seed(0)
    model = build()
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    names = [name for name in NAMES if build is series_network or "timeseries" not in name]
    results = sx.explain_many(model, x, names, convention=convention, mu=0.25)
    assert list(results) == names
    for name, result in results.items():
        assert result.backend == "tensorflow"
        assert result.relevance.shape == x.shape, name
        assert result.relevance.dtype == np.float32, name
        assert np.isfinite(result.relevance).all(), name
        assert result.relevance.any(), name
