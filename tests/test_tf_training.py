"""TensorFlow models that are called for training: explained at inference, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import UnsupportedOperationError

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from signxai_tf import trace  # noqa: E402

L = keras.layers
X = np.random.default_rng(0).normal(size=(3, 4, 6))


def attended(inputs):
    return L.MultiHeadAttention(2, 3, dropout=0.5, name="attention", dtype="float64")(inputs, inputs)


def layered(*layers):
    keras.utils.set_random_seed(0)
    inputs = outputs = keras.Input(X.shape[1:], dtype="float64")
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, L.Dense(3, dtype="float64", name="head")(L.Flatten()(outputs)))


def layer(kind, *arguments, **options):
    return getattr(L, kind)(*arguments, dtype="float64", **options)


class Monte(keras.layers.Layer):
    """Dropout whatever it is called for."""

    def call(self, x):
        return keras.random.dropout(x, 0.5, seed=3)


class Depth(keras.layers.Layer):
    """Stochastic depth."""

    def __init__(self):
        super().__init__(dtype="float64", name="depth")
        self.generator = keras.random.SeedGenerator(0)

    def call(self, x, training=None):
        if not training:
            return x
        shape = keras.ops.shape(x)[0], 1, 1
        return 2 * x * keras.ops.floor(0.5 + keras.random.uniform(shape, dtype="float64", seed=self.generator))


class Sampling(keras.layers.Layer):
    """Draws at inference, too."""

    def call(self, x):
        return x * tf.random.normal(tf.shape(x)[1:], dtype=x.dtype)


DROPPING = {
    "dropout": lambda: layered(layer("Dropout", 0.5)),
    "dropout of half numbers": lambda: layered(L.Dropout(0.3, dtype="float16"), layer("Activation", "tanh")),
    "spatial dropout": lambda: layered(layer("SpatialDropout1D", 0.3)),
    "attention": lambda: layered(attended),
    "recurrent dropout": lambda: layered(layer("LSTM", 4, dropout=0.5, recurrent_dropout=0.3)),
    "in a loop": lambda: layered(layer("GRU", 4, dropout=0.5, unroll=False, return_sequences=True)),
}


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def compiled(request, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0 if request.param else 2**30)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", DROPPING)
def test_dropout_does_nothing(name):
    model = DROPPING[name]()
    expected = sx.explain(model, X, "gradient", 1)
    state = [variable.numpy() for variable in model.non_trainable_variables]
    found = sx.explain(lambda x: model(x, training=True), X, "gradient", 1, backend="tensorflow")
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found.output, expected.output, rtol=1e-10)
    assert not found.warnings
    for before, variable in zip(state, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


class Always(keras.layers.Layer):
    """Calls a layer for training whatever it is called for itself."""

    def __init__(self, inner):
        super().__init__(dtype="float64")
        self.inner = inner

    def call(self, x):
        return self.inner(x, training=True)


@pytest.mark.parametrize("dropout", [Monte(dtype="float64"), Always(layer("Dropout", 0.5))])
def test_dropout_for_uncertainty_does_nothing(dropout):
    model, plain = layered(dropout), layered()
    plain.set_weights([weight for weight in model.get_weights() if weight.dtype == np.float64])
    for method in ("gradient", "lrp_epsilon_0_1"):
        found = sx.explain(model, X, method, 1)
        np.testing.assert_allclose(found.relevance, sx.explain(plain, X, method, 1).relevance)


def test_functions_of_tensorflow_and_saved_models(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float64)])
        def __call__(self, x):
            return tf.nn.dropout(2 * x, 0.25)

    tf.saved_model.save(Module(), str(tmp_path))
    for model in (Module(), tf.saved_model.load(str(tmp_path))):
        found = sx.explain(model, X[:, 0, :4], "gradient", 1).relevance
        np.testing.assert_array_equal(found, np.broadcast_to([0, 2.0, 0, 0], (3, 4)))


NOISY = {
    "stochastic depth": (Depth, "'depth'"),
    "noise": (lambda: layer("GaussianNoise", 0.1, name="noise"), "'noise'"),
    "noisy factors": (lambda: layer("GaussianDropout", 0.3, name="noise"), "'noise'"),
    "alpha dropout": (lambda: layer("AlphaDropout", 0.3, name="alpha"), "'alpha'"),
}


@pytest.mark.parametrize("name", NOISY)
def test_what_draws_for_training_is_refused(name):
    make, where = NOISY[name]
    model = layered(make())
    with pytest.raises(UnsupportedOperationError, match=rf"random numbers.*{where}.*training=False"):
        sx.explain(lambda x: model(x, training=True), X, "gradient", 1, backend="tensorflow")
    assert not sx.explain(model, X, "gradient", 1).warnings


@pytest.mark.parametrize("axis", [-1, 1])
def test_statistics_of_the_batch_are_refused(axis):
    model = layered(layer("BatchNormalization", axis=axis, name="norm"))
    with pytest.raises(
        UnsupportedOperationError, match=r"batch-normalisation in 'norm' .*other samples.*training=False"
    ):
        sx.explain(lambda x: model(x, training=True), X, "gradient", 1, backend="tensorflow")
    inner = layered(Always(model.get_layer("norm")))
    with pytest.raises(UnsupportedOperationError, match=r"batch-normalisation in '.*norm'"):
        sx.explain(inner, X, "gradient", 1)
    layer_norm = layered(layer("LayerNormalization"), layer("BatchNormalization"))
    layer_norm.layers[-3].trainable = False  # Keras's way to keep the statistics
    found = sx.explain(lambda x: layer_norm(x, training=True), X, "gradient", 1, backend="tensorflow")
    np.testing.assert_allclose(found.relevance, sx.explain(layer_norm, X, "gradient", 1).relevance)


@pytest.mark.usefixtures("compiled")
def test_what_draws_at_inference_says_so():
    model = layered(Sampling(name="sampling", dtype="float64"))
    found = sx.explain(model, X, "gradient", 1)
    assert len(found.warnings) == 1
    assert "random numbers (RandomStandardNormal in 'sampling')" in found.warnings[0]


def test_custom_gradients_are_named():
    """A straight-through network has the derivative 0 wherever it rounds."""

    @tf.custom_gradient
    def straight_through(x):
        return tf.round(x) + 0 * x, lambda upstream: upstream

    class Rounding(keras.layers.Layer):
        def call(self, x):
            return straight_through(x)

    model = layered(Rounding(dtype="float64", name="rounding"))
    for given in (model, lambda x: model(x)):  # noqa: PLW0108 - a function around it
        found = sx.explain(given, X, "gradient", 1, backend="tensorflow")
        assert len(found.warnings) == 1
        assert "'rounding' has a gradient of its own (tf.custom_gradient), which is not followed" in found.warnings[0]
        assert found.warnings[0] in str(found.plan)
    assert not sx.explain(layered(), X, "gradient", 1).warnings
