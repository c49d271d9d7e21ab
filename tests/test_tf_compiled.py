"""Compiled forward passes and walks: the same maps as operation by operation, and never stale."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import InputShapeError
from signxai_core.specs import Composite, Entry, FunctionRule, MethodSpec, Where

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from tf_nets import golden, relative, subclassed  # noqa: E402

from signxai_tf import forward, parts, trace  # noqa: E402
from signxai_tf.backend import TensorFlowBackend  # noqa: E402

L = keras.layers
METHODS = [
    "gradient",
    "guided_grad_cam",
    "deconvnet",
    "smoothgrad",
    "integrated_gradients",
    "lrp_epsilon_0_1",
    "lrpsign_epsilon_0_25_std_x",
    "lrp_alpha_2_beta_1",
    "lrp_gamma_0_25",
    "zblrp_epsilon_0_1",
    "w2lrp_sequential_composite_a",
]
OPTIONS = {"low": -5.0, "high": 5.0}


def layered(*layers, shape=(8, 8, 4)):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape, dtype="float64"), *layers, L.Flatten(), L.Dense(3, dtype="float64")])
    return model, np.random.default_rng(0).normal(size=(2, *shape))


def layer(name, *arguments, **options):
    return getattr(L, name)(*arguments, dtype="float64", **options)


MODELS = {
    "golden": lambda: golden("cnn_digits")[:2],
    "subclassed": lambda: subclassed(bias=True),
    "grouped": lambda: layered(layer("Conv2D", 4, 3, groups=2, activation="gelu")),
    "dilated": lambda: layered(layer("Conv2D", 4, 3, dilation_rate=2), layer("BatchNormalization"), layer("ReLU")),
    "transposed": lambda: layered(layer("Conv2DTranspose", 4, 3, strides=2, activation="silu")),
    "depthwise": lambda: layered(layer("DepthwiseConv2D", 3, activation="elu"), layer("AveragePooling2D", 2)),
    "series": lambda: layered(
        layer("Conv1D", 4, 3, activation="relu"), layer("MaxPooling1D", 2), layer("LSTM", 4), shape=(9, 2)
    ),
}


def compiled(model, x):
    return TensorFlowBackend().outline(model, x, None).compiled is not None


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0)


@pytest.mark.parametrize("name", MODELS)
def test_same_maps_as_operation_by_operation(name, monkeypatch):
    model, x = MODELS[name]()
    methods = [method for method in METHODS if name != "series" or "lrp" not in method]
    methods = [method for method in methods if name == "golden" or "cam" not in method]
    options = OPTIONS if any("zblrp" in method for method in methods) else {}
    monkeypatch.setattr(trace, "WORTH_COMPILING", 2**30)
    plain = sx.explain_many(model, x, methods, samples=3, steps=3, **options)
    assert not compiled(model, x)
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    found = sx.explain_many(model, x, methods, samples=3, steps=3, **options)
    assert compiled(model, x)
    for method in methods:
        assert relative(found[method].relevance, plain[method].relevance) < 1e-12, method
        assert found[method].plan == plain[method].plan


@pytest.mark.usefixtures("always")
def test_every_call_gives_the_same_numbers():
    model, x = subclassed(bias=True)
    one = sx.explain(model, x, "lrp_epsilon_0_1").relevance
    many = sx.explain_many(model, x, ["lrp_epsilon_0_1", "lrp_z", "gradient"])["lrp_epsilon_0_1"].relevance
    found = {}

    def call(number):
        found[number] = sx.explain(model, x, "lrp_epsilon_0_1").relevance

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for again in found.values():
        np.testing.assert_array_equal(again, one)
    assert relative(many, one) < 1e-14  # another graph, in which TensorFlow may have merged other operations


@pytest.mark.usefixtures("always")
def test_weights_are_read_in_every_run():
    model, x = MODELS["dilated"]()
    before = sx.explain(model, x, "lrp_alpha_2_beta_1").relevance
    weights = [np.random.default_rng(3).uniform(0.1, 1, weight.shape) for weight in model.get_weights()]
    model.set_weights(weights)
    after = sx.explain(model, x, "lrp_alpha_2_beta_1").relevance
    fresh = MODELS["dilated"]()[0]
    fresh.set_weights(weights)
    np.testing.assert_array_equal(after, sx.explain(fresh, x, "lrp_alpha_2_beta_1").relevance)
    assert relative(before, after) > 0.1


@pytest.mark.usefixtures("always")
def test_a_walk_is_the_same_in_few_and_in_many_stages(monkeypatch):
    model, x = subclassed(bias=True)
    methods = ["gradient", "lrp_z", "lrp_alpha_2_beta_1", "lrpsign_z"]
    few = sx.explain_many(model, x, methods)
    monkeypatch.setattr("signxai_core.engine.stages._VISITS", 1)
    steps = []
    other, _ = subclassed(bias=True)
    many = sx.explain_many(other, x, methods, progress=lambda done, total: steps.append((done, total)))
    for method in methods:
        assert relative(many[method].relevance, few[method].relevance) < 1e-14
    assert len(steps) > 5
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.usefixtures("always")
def test_large_dense_weights_are_mapped_in_parts(monkeypatch):
    model, x = layered()
    whole = sx.explain(model, x, "lrp_alpha_2_beta_1").relevance
    monkeypatch.setattr(parts, "PART", 100)
    same, _ = layered()
    assert relative(sx.explain(same, x, "lrp_alpha_2_beta_1").relevance, whole) < 1e-12


def test_a_quotient_by_a_factor_needs_no_signs():
    backend, b, f = (
        TensorFlowBackend(),
        tf.constant([2.0, -2.0, 0.0, -0.0], tf.float64),
        tf.constant([1.0] * 4, tf.float64),
    )

    def traced(product):
        concrete = tf.function(lambda f: backend.quotient(product(b, f), b, 0.5)).get_concrete_function(f)
        return concrete(f).numpy(), {operation.type for operation in concrete.graph.get_operations()}

    for product in (lambda b, f: b * f, lambda b, f: f * b):
        found, operations = traced(product)
        np.testing.assert_array_equal(found, [0.8, 0.8, 0.0, 0.0])
        assert "SelectV2" not in operations
    for other in (lambda b, f: f * f, lambda b, f: b * b, lambda b, f: b + f, lambda b, f: b * f[0]):
        found, operations = traced(other)
        np.testing.assert_array_equal(found, backend.quotient(other(b, f), b, 0.5).numpy())
        assert "SelectV2" in operations


@pytest.mark.usefixtures("always")
def test_later_runs_give_what_was_asked_for(monkeypatch):
    model, x = MODELS["golden"]()
    names = ["gradient", "lrp_epsilon_0_1", "grad_cam", "lrp_alpha_2_beta_1"]
    first = {name: sx.explain(model, x, name).relevance for name in names}
    backend, given = TensorFlowBackend(), []
    run = forward.Forward.run

    def spy(self, *arguments):
        found = run(self, *arguments)
        given.append(len(found))
        return found

    monkeypatch.setattr(forward.Forward, "run", spy)
    fresh = keras.models.clone_model(model)
    fresh.set_weights(model.get_weights())
    for name in (*names, *reversed(names)):
        for _ in range(4):
            assert relative(sx.explain(fresh, x, name).relevance, first[name]) < 1e-12
    assert given[3] == given[2] == given[1] < given[0]
    whole = [number for number, count in enumerate(given) if count == given[0]]
    assert len(whole) == len(names), "once for each method"
    before = backend.outline(fresh, x, "this test")
    backend.to_numpy(before.values[max(before.values)])
    recording = backend.outline(fresh, x, "this test")  # asked for more than the one before
    for tensor, value in backend.record(fresh, x).values.items():
        found = recording.values[tensor]
        assert tuple(found.shape) == tuple(value.shape)
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(value), rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("always")
def test_max_pooling_with_ties_is_the_same_in_float32(monkeypatch):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((9, 9, 3)), L.ReLU(), L.MaxPooling2D(3, 2), L.Flatten(), L.Dense(2)])
    x = np.round(np.random.default_rng(0).normal(size=(2, 9, 9, 3))).astype("float32")
    found = sx.explain(model, x, "gradient").relevance
    monkeypatch.setattr(trace, "WORTH_COMPILING", 2**30)
    assert relative(found, sx.explain(model, x, "gradient").relevance) < 1e-6


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("heavy", [0, 10**9])
def test_streams_go_together_or_apart(monkeypatch, heavy, memory):
    monkeypatch.setattr("signxai_core.engine.structure._HEAVY", heavy)
    methods = [
        "lrp_epsilon_0_1",
        "lrp_epsilon_0_5",
        "lrpsign_epsilon_0_1",
        "lrp_alpha_2_beta_1",
        "lrp_gamma_0_25",
        "gradient",
    ]
    model, x = MODELS["golden"]()
    steps = []
    many = sx.explain_many(model, x, methods, max_memory=memory, progress=lambda *at: steps.append(at))
    for method in methods:
        assert relative(many[method].relevance, sx.explain(model, x, method).relevance) < 1e-12
    assert steps[-1][0] == steps[-1][1]
    assert (len(steps) > 1) == (memory is not None), "each trunk has stages of its own"


def test_a_weight_on_the_left_is_pulled_once_for_each_stream(monkeypatch):
    """The batch is not its first axis, so that several arrays cannot be stacked there."""
    monkeypatch.setattr("signxai_core.engine.structure._HEAVY", 0)
    weight, x = tf.constant(np.arange(12.0).reshape(3, 4) - 5), np.random.default_rng(0).normal(size=(2, 4))

    def model(x):
        return tf.transpose(tf.matmul(weight, tf.transpose(x)))

    names = ["lrp_epsilon_0_1", "lrp_epsilon_0_5"]
    many = sx.explain_many(model, x, names, backend="tensorflow")
    for name in names:
        alone = sx.explain(model, x, name, backend="tensorflow").relevance
        assert relative(many[name].relevance, alone) < 1e-12


def test_a_model_that_computes_nothing_has_its_output_for_relevance():
    inputs = keras.Input((trace.WORTH_COMPILING,))
    x = np.random.default_rng(0).normal(size=(2, trace.WORTH_COMPILING)).astype("float32")
    found = sx.explain_many(keras.Model(inputs, inputs), x, ["gradient", "lrp_z"])
    for name, expected in (("gradient", np.ones(2)), ("lrp_z", x.max(axis=1))):
        np.testing.assert_array_equal(found[name].relevance.sum(axis=1), expected)


@pytest.mark.usefixtures("always")
def test_rules_that_are_functions_are_called_with_numbers():
    model, x = layered()
    rule = FunctionRule(f"{__name__}:numbers")
    spec = MethodSpec(family="lrp", composite=Composite((Entry(Where(kinds={"dense"}), rule),)), seed="logit")
    SEEN.clear()
    sx.explain(model, x, spec)
    assert SEEN == [True]


SEEN: list[bool] = []


def numbers(context):
    SEEN.append(tf.is_tensor(context.relevance) and not tf.is_symbolic_tensor(context.relevance))
    (pulled,) = context.pull(context.arrays.divide(context.relevance, context.z))
    return context.x[0] * pulled


@pytest.mark.usefixtures("always")
def test_a_model_whose_operations_depend_on_its_numbers_is_not_compiled():
    weight = tf.Variable(np.eye(3))

    @tf.function
    def model(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ weight, lambda: 2 * x @ weight)

    x = np.ones((2, 3))
    assert not compiled(model, x)
    np.testing.assert_allclose(sx.explain(model, x, "gradient", 1, backend="tensorflow").relevance[:, 1], 1)
    np.testing.assert_allclose(sx.explain(model, -x, "gradient", 1, backend="tensorflow").relevance[:, 1], 2)


@pytest.mark.usefixtures("always")
def test_faults_of_ours_are_not_taken_for_models_that_cannot_be_compiled(monkeypatch):
    def broken(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(trace, "compile_model", broken)
    model, x = layered()
    with pytest.raises(RuntimeError, match="a fault of ours"):
        sx.explain(model, x, "gradient")


@pytest.mark.usefixtures("always")
def test_operations_that_do_not_fit_the_input_are_named():
    weight = tf.Variable(np.ones((4, 2)))
    model = tf.function(lambda x: tf.reshape(x, [-1, 4]) @ weight)
    with pytest.raises(InputShapeError, match="failed on an input of shape"):
        sx.explain(model, np.ones((1, 3)), "gradient", backend="tensorflow")


@pytest.mark.usefixtures("always")
def test_an_array_of_a_length_that_depends_on_the_numbers_is_not_compiled():
    def model(x):
        kept = tf.where(x[0] > 0)[:, 0]
        return tf.gather(x, kept, axis=1) @ tf.ones((tf.shape(kept)[0], 2), x.dtype)

    x = np.array([[1.0, -1.0, 2.0]])
    assert not compiled(model, x)
    found = sx.explain(model, x, "gradient", 0, backend="tensorflow").relevance
    np.testing.assert_array_equal(found, [[1, 0, 1]])
