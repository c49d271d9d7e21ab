"""Models that assign to variables when they are called: what is read afterwards is what was assigned."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import ModelError

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from signxai_tf import trace  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 3))


class Module(tf.Module):
    """A module with a number and a vector to assign to, and a function that does it."""

    def __init__(self, function):
        super().__init__()
        self.number = tf.Variable(2.0, dtype=tf.float64)
        self.vector = tf.Variable([1.0, 2.0, 3.0], dtype=tf.float64)
        self.function = function

    @tf.function
    def __call__(self, x):
        return self.function(self, x)


def case(function):
    CASES[function.__name__] = function
    return function


CASES = {}


@case
def assign(m, x):
    m.number.assign(5.0)
    return m.number * x


@case
def add(m, x):
    m.number.assign_add(1.0)
    m.number.assign_sub(4.0)
    return m.number * x


@case
def read_before_and_after(m, x):
    before = m.number * x
    m.number.assign(7.0)
    return before + m.number * x * x


@case
def assigned_twice(m, x):
    m.number.assign(7.0)
    first = m.number * x
    m.number.assign(3.0)
    return first * m.number


@case
def assigned_after_the_last_read(m, x):
    y = m.number * x
    m.number.assign(9.0)
    return y


@case
def result_of_the_assignment(m, x):
    return m.number.assign_add(3.0).read_value() * x


@case
def scattered(m, x):
    m.vector.scatter_update(tf.IndexedSlices(tf.constant([7.0], tf.float64), [1]))
    m.vector.scatter_add(tf.IndexedSlices(tf.constant([0.5, 1.5], tf.float64), [0, 2]))
    return m.vector * x


@case
def scattered_by_places(m, x):
    m.vector.scatter_nd_update([[2], [0]], tf.constant([7.0, 8.0], tf.float64))
    m.vector.scatter_nd_sub([[1]], tf.constant([1.0], tf.float64))
    return m.vector * x


@case
def slice_assigned(m, x):
    m.vector[1:].assign(tf.constant([8.0, 9.0], tf.float64))
    return m.vector * x


@case
def gathered(m, x):
    m.vector.assign([4.0, 5.0, 6.0])
    return tf.gather(m.vector, [2, 0, 1]) * m.vector.sparse_read([0, 1, 1]) * x


@case
def in_a_function(m, x):
    @tf.function
    def change():
        m.number.assign_add(1.0)

    @tf.function
    def use(x):
        return m.number * x

    change()
    return use(x)


@case
def in_a_branch(m, x):
    if tf.reduce_sum(m.vector) > 0:
        m.number.assign(6.0)
    else:
        m.number.assign(-6.0)
    return m.number * x


@case
def in_a_loop(m, x):
    y = x
    for _ in tf.range(3):
        m.number.assign_add(1.0)
        y = m.number * y
    return y


@case
def shape_of_what_was_assigned(m, x):
    m.vector.assign([4.0, 5.0, 6.0])
    return m.vector * x * tf.cast(tf.shape(m.vector)[0], tf.float64)


def state(model):
    held = model.variables if hasattr(model, "variables") else (model.number, model.vector)
    return [variable.numpy().tolist() for variable in held]


def by_tape(model):
    before = [variable.numpy() for variable in model.variables]
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = model(x)[:, 1]
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    return tape.gradient(output, x).numpy()


def explained(model):
    before = state(model)
    found = sx.explain(model, X, "gradient", 1, backend="tensorflow").relevance
    assert state(model) == before, "nothing is assigned to the user's variables"
    return found


@pytest.fixture(params=[False, True], ids=["eager", "compiled"], autouse=True)
def compiled(request, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0 if request.param else 2**30)


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_was_assigned(name):
    model = Module(CASES[name])
    np.testing.assert_allclose(explained(model), by_tape(model), rtol=1e-12)
    model.number.assign(11.0)
    model.vector.assign([3.0, 1.0, 2.0])
    np.testing.assert_allclose(explained(model), by_tape(model), rtol=1e-12)


def test_saved_models(tmp_path):
    model = Module(CASES["add"])
    tf.saved_model.save(
        model, str(tmp_path), signatures=model.__call__.get_concrete_function(tf.TensorSpec((2, 3), tf.float64))
    )
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(explained(loaded), np.broadcast_to([0, -1.0, 0], (2, 3)))


@pytest.mark.parametrize("kind", ["keras", "tensorflow"])
def test_keras_layers(kind):
    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="float64")
            make = keras.Variable if kind == "keras" else tf.Variable
            self.count = make(2.0, dtype="float64")

        def call(self, x):
            self.count.assign(self.count * 3)
            return x * self.count

    model = keras.Sequential([keras.Input((3,), dtype="float64"), Counting()])
    np.testing.assert_allclose(explained(model), np.broadcast_to([0, 6.0, 0], (2, 3)))
    assert float(model.layers[0].count.numpy()) == 2


def test_relevance_goes_through_a_variable_that_holds_the_input():
    """The output is x² however it is computed; a tape sees no derivative behind a variable."""

    def square(m, x):
        m.vector.assign(tf.reduce_sum(x, 0))
        return x * m.vector

    x = X[:1]
    found = sx.explain(Module(square), x, "gradient", 1, backend="tensorflow").relevance
    np.testing.assert_allclose(found, 2 * x * [0, 1, 0])


def test_what_cannot_be_carried_out_on_a_copy_is_refused():
    def multiply(m, x):
        m.vector.scatter_mul(tf.IndexedSlices(tf.constant([7.0], tf.float64), [1]))
        return m.vector * x

    with pytest.raises(ModelError, match=r"'ResourceScatterMul' .*would change the model"):
        explained(Module(multiply))


def test_the_state_of_a_generator_stays_as_it_is():
    def draw(generator):
        return generator.normal((), dtype=tf.float64) - generator.normal((), dtype=tf.float64)

    model = Module(lambda m, x: x * draw(m.generator))
    model.generator = tf.random.Generator.from_seed(1)
    before = model.generator.state.numpy()
    found = sx.explain(model, X, "gradient", 1, backend="tensorflow").relevance
    np.testing.assert_array_equal(model.generator.state, before)
    np.testing.assert_allclose(found[:, 1], draw(tf.random.Generator.from_seed(1)))
