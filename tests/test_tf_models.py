"""The TensorFlow backend on every kind of model, and on models that cannot be explained."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import InputShapeError, InputTypeError, ModelError, OutputError

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
from tf_nets import relative, subclassed  # noqa: E402

from signxai_tf import arrays, trace  # noqa: E402

L = keras.layers
RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(2, 6, 4)).astype(np.float32)
IMAGES = RNG.normal(size=(2, 8, 8, 3)).astype(np.float32)


def gradient(model, x):
    point = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = tf.reduce_sum(tf.reduce_max(model(point), axis=1))
    return tape.gradient(value, point).numpy()


def small():
    """A float32 image model with a softmax."""
    keras.utils.set_random_seed(0)
    layers = [L.Conv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def weights_of(model):
    return [variable.numpy().tobytes() for variable in model.variables]


def test_lrp_z_is_gradient_times_input_on_a_subclassed_model():
    model, x = subclassed()
    before = weights_of(model)
    result = sx.explain(model, x, "lrp_z")
    assert relative(result.relevance, gradient(model, x) * x) < 1e-12
    assert np.abs(result.conservation.gap).max() < 1e-12
    labels = [row.operation for row in result.plan.rows]
    assert labels.count("shared (conv2d)") == 2
    assert "double (concat)" in labels
    assert "add" in labels
    assert weights_of(model) == before


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, x = subclassed(bias=True)
    folder = str(tmp_path_factory.mktemp("model"))
    model.export(folder, verbose=False)
    return model, x, folder


METHODS = ["lrp_z", "lrp_epsilon_0_1", "lrpsign_alpha_2_beta_1", "guided_backprop", "smoothgrad"]


def test_a_saved_model_has_the_same_maps(exported):
    model, x, folder = exported
    ours, theirs = (sx.explain_many(m, x, METHODS) for m in (tf.saved_model.load(folder), model))
    for name in METHODS:
        assert relative(ours[name].relevance, theirs[name].relevance) < 1e-12, name


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, on saving
def test_other_ways_to_hold_a_saved_model(tmp_path):
    model = small()
    wanted = sx.explain(model, IMAGES, "lrp_epsilon_0_1").relevance
    model.export(str(tmp_path / "folder"), verbose=False)
    model.save(tmp_path / "model.keras")
    loaded = tf.saved_model.load(str(tmp_path / "folder"))
    held = [
        loaded.signatures["serving_default"],
        keras.layers.TFSMLayer(str(tmp_path / "folder"), call_endpoint="serve"),
        keras.layers.TFSMLayer(str(tmp_path / "folder"), call_endpoint="serving_default"),
        keras.models.load_model(tmp_path / "model.keras", safe_mode=True),
    ]
    for other in held:
        np.testing.assert_allclose(sx.explain(other, IMAGES, "lrp_epsilon_0_1").relevance, wanted, rtol=1e-6)


class Module(tf.Module):
    """A ``tf.Module`` with a branch and a loop that depend on its input."""

    def __init__(self):
        super().__init__()
        self.first = [tf.Variable(RNG.normal(size=(4, 5)))]
        self.second = tf.Variable(RNG.normal(size=(5, 3)))

    @tf.function
    def __call__(self, x):
        y = tf.nn.relu(x @ self.first[0])
        y = y @ self.second if tf.reduce_sum(x) > 1e9 else 2.0 * (y @ self.second)
        for _ in tf.range(2):
            y = y + tf.nn.relu(y)
        return y


def test_a_module_with_control_flow(tmp_path):
    model, x = Module(), RNG.normal(size=(3, 4))
    result = sx.explain(model, x, "lrp_z")
    assert relative(result.relevance, gradient(model, x) * x) < 1e-12
    labels = [row.operation for row in result.plan.rows]
    assert labels[:2] == ["first (linear)", "relu"]
    assert sum("add" in label for label in labels) == 2
    served = model.__call__.get_concrete_function(tf.TensorSpec([None, 4], tf.float64))
    tf.saved_model.save(model, str(tmp_path), served)
    again = sx.explain(tf.saved_model.load(str(tmp_path)), x, "lrp_z").relevance
    assert relative(again, result.relevance) < 1e-12


def test_a_function_around_a_model():
    model = small()
    inner = sx.explain(model, IMAGES, "lrp_epsilon_0_1")
    outer = sx.explain(lambda x: tf.identity(model(x)), IMAGES, "lrp_epsilon_0_1", backend="tensorflow")
    assert inner.plan.rows[0] == outer.plan.rows[0]
    assert sx.explain(model.call, IMAGES, "lrp_epsilon_0_1", backend="tensorflow").plan.rows == inner.plan.rows


@pytest.mark.parametrize("layer", [L.LSTM, L.GRU, L.SimpleRNN])
def test_gradients_of_recurrent_networks(layer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 4)), L.Bidirectional(layer(3)), L.Dense(2)])
    assert relative(sx.explain(model, SERIES, "gradient").relevance, gradient(model, SERIES)) < 1e-5


def attention():
    given = keras.Input((6, 4))
    hidden = L.LayerNormalization()(L.MultiHeadAttention(2, 3)(given, given) + given)
    return keras.Model(given, L.Dense(2)(L.GlobalMaxPooling1D()(hidden)))


def test_attention_has_gradients_and_rules():
    keras.utils.set_random_seed(0)
    model = attention()
    assert relative(sx.explain(model, SERIES, "gradient").relevance, gradient(model, SERIES)) < 1e-5
    result = sx.explain(model, SERIES, "lrp_z")
    assert np.isfinite(result.relevance).all()
    assert not result.plan.warnings


def test_channels_first():
    keras.utils.set_random_seed(0)
    first = {"data_format": "channels_first"}
    layers = [L.Conv2D(4, 3, activation="relu", **first), L.BatchNormalization(axis=1), L.MaxPooling2D(2, **first)]
    last = [L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling2D(2)]
    head = [L.Flatten(**first), L.Dense(3)]
    model = keras.Sequential([keras.Input((3, 8, 8)), *layers, *head])
    same = keras.Sequential([keras.Input((8, 8, 3))])
    for layer in (*last, L.Flatten(), L.Dense(3)):
        same.add(layer)
    same.set_weights(model.get_weights())
    names = ["lrp_epsilon_0_1", "flatlrp_z", "grad_cam", "gradient"]
    maps = sx.explain_many(model, np.moveaxis(IMAGES, -1, 1), names, 1)
    for name, result in sx.explain_many(same, IMAGES, names, 1).items():
        assert relative(np.moveaxis(maps[name].relevance, 1, -1), result.relevance) < 1e-4, name


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16", "float16"])
def test_floating_types(policy):
    layers = [L.Conv2D(4, 3, activation="relu", dtype=policy), L.Flatten(dtype=policy), L.Dense(3, dtype=policy)]
    model = keras.Sequential([keras.Input((8, 8, 3), dtype=keras.DTypePolicy(policy).variable_dtype), *layers])
    result = sx.explain(model, IMAGES.astype(np.float64), "lrp_epsilon_0_1")
    assert result.relevance.dtype == np.dtype("float32" if "16" in policy else policy)
    assert np.isfinite(result.relevance).all()


def test_maps_follow_the_weights_and_the_layers():
    model = small()
    first = sx.explain(model, IMAGES, "lrp_epsilon_0_1")
    model.layers[0].kernel.assign(2 * model.layers[0].kernel)
    second = sx.explain(model, IMAGES, "lrp_epsilon_0_1")
    assert relative(second.output, first.output) > 0.1
    model.layers[-1].activation = keras.activations.relu
    third = sx.explain(model, IMAGES, "lrp_epsilon_0_1")
    assert third.plan.rows[-1].operation == "dense (relu)" or third.plan.rows[-1].operation.endswith("(relu)")


@pytest.mark.parametrize("count", [1, 64, 2**20])
def test_numbers_go_through_unchanged_and_unshared(count):
    given = np.zeros((1, count), np.float32)
    tensor = arrays.to_tensor(tf.identity, given)
    constant = arrays.asarray(given, tensor)
    given[:] = 1
    assert not np.any(tensor.numpy())
    assert not np.any(constant.numpy())
    seen = arrays.prepare(tensor, None)
    with pytest.raises(ValueError, match="read-only"):
        seen[:] = 1
    variable = tf.Variable(np.zeros((1, count), np.float32))
    copied = arrays.prepare(variable, None)
    variable.assign(given)
    assert not np.any(copied)


def test_a_trace_goes_with_its_model():
    model = small()
    sx.explain(model, IMAGES, "gradient")
    for size in range(1, 4):
        sx.explain(model, IMAGES[:size], "gradient")
    assert len(trace._kept[id(model)].traces) == 1
    gone, identity = weakref.ref(model), id(model)
    del model
    gc.collect()
    assert gone() is None
    assert identity not in trace._kept


def test_the_model_is_left_as_it_was():
    model = small()
    model.layers[0].activity_regularizer = keras.regularizers.L2(0.1)
    before, spec = weights_of(model), model.layers[0]._saved_model_inputs_spec
    sx.explain(model, IMAGES, "lrp_epsilon_0_1")
    assert weights_of(model) == before
    assert model.layers[0]._saved_model_inputs_spec is spec
    model(IMAGES)
    assert all(not hasattr(loss, "graph") for loss in model.losses)


class Pair(keras.Model):
    """A model with two outputs."""

    def call(self, x):
        return x, x


def broken(x):
    raise RuntimeError("on purpose")


def test_errors():
    model, method = small(), "lrp_epsilon_0_1"
    with pytest.raises(InputTypeError, match="int64"):
        sx.explain(model, IMAGES.astype(np.int64), method)
    with pytest.raises(InputShapeError, match="batch axis is missing"):
        sx.explain(model, IMAGES[0], method)
    with pytest.raises(InputShapeError, match=f"in layer '{model.layers[0].name}'.*expected axis -1"):
        sx.explain(model, IMAGES[..., :2], method)
    pair = Pair()
    pair(IMAGES)
    with pytest.raises(OutputError, match="tuple with 2 tensors"):
        sx.explain(pair, IMAGES, method)
    with pytest.raises(ModelError, match="not been built"):
        sx.explain(keras.Sequential([L.Dense(3)]), IMAGES, method)
    for function, text in (
        (tf.stop_gradient, "does not depend"),
        (lambda x: tf.cast(tf.argmax(x, -1), tf.float32), "does not depend"),
        (broken, "RuntimeError: on purpose"),
        (lambda x: x @ tf.Variable(tf.ones((3, 2))), "creates its weights"),
    ):
        with pytest.raises(ModelError, match=text):
            sx.explain(function, IMAGES, method, backend="tensorflow")
    with pytest.raises(InputShapeError, match="first axis"):
        sx.explain(lambda x: tf.reduce_sum(x, 0), IMAGES, method, backend="tensorflow")


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "DenseNet121"])
def test_applications(name):
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=5)
    before = weights_of(model)
    x = RNG.normal(size=(1, 32, 32, 3)).astype(np.float32)
    names = ["lrp_epsilon_0_1", "lrp_sequential_composite_a", "lrpsign_z", "guided_backprop", "grad_cam"]
    for method, result in sx.explain_many(model, x, names).items():
        assert np.isfinite(result.relevance).all(), method
    assert weights_of(model) == before
