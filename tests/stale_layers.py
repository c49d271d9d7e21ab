"""Things about Keras layers that may change between two calls; test_tf_stale.py goes through them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from stale_data import WIDTH

L = keras.layers
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def dense(units=WIDTH, **options):
    return L.Dense(units, dtype="float64", **options)


def sequential(*layers):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((WIDTH,), dtype="float64"), *layers])


class Net(keras.Model):
    def __init__(self):
        super().__init__(dtype="float64")
        self.parts = [dense(activation="tanh"), dense(activation="tanh")]
        self.last = dense()

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return self.last(x)


def net():
    keras.utils.set_random_seed(0)
    model = Net()
    model(np.zeros((1, WIDTH)))
    return model


def other(units=WIDTH, **options):
    made = dense(units, kernel_initializer=keras.initializers.RandomNormal(seed=5), **options)
    made(np.zeros((1, WIDTH)))
    return made


@case
def weight_that_is_assigned():
    model = sequential(dense(activation="tanh"), dense())
    return model, lambda: model.layers[0].kernel.assign(tf.ones((WIDTH, WIDTH), "float64") / 3)


@case
def all_weights():
    model = sequential(dense(activation="tanh"), dense())
    return model, lambda: model.set_weights([weight + 0.5 for weight in model.get_weights()])


@case
def step_of_training():
    model = sequential(dense(activation="tanh"), dense())
    model.compile("sgd", "mse")
    return model, lambda: model.train_on_batch(np.ones((2, WIDTH)), 9 * np.ones((2, WIDTH)))


@case
def statistics_of_a_normalisation():
    model = sequential(L.BatchNormalization(dtype="float64"), dense())
    return model, lambda: model.layers[0].moving_variance.assign([4.0] * WIDTH)


@case
def low_rank_adaptation():
    model = sequential(dense(), dense())

    def change():
        model.layers[0].enable_lora(2)
        for variable in model.layers[0].trainable_variables:
            variable.assign(tf.ones(variable.shape, "float64") / 2)

    return model, change


@case
def layer_that_is_frozen():
    class Frozen(keras.layers.Layer):
        def call(self, x):
            return x if self.trainable else 2 * x

    layer = Frozen(dtype="float64")
    return sequential(layer), lambda: setattr(layer, "trainable", False)


@case
def activation_of_a_layer():
    model = sequential(dense(activation="tanh"), dense())
    return model, lambda: setattr(model.layers[0], "activation", tf.math.sin)


@case
def activation_in_a_subclass():
    model = net()
    return model, lambda: setattr(model.parts[0], "activation", keras.activations.relu)


@case
def slope_of_an_activation():
    model = sequential(L.LeakyReLU(negative_slope=0.1, dtype="float64"))
    return model, lambda: setattr(model.layers[0], "negative_slope", 0.7)


@case
def slope_that_is_a_weight():
    model = sequential(L.PReLU(dtype="float64"))
    return model, lambda: model.layers[0].alpha.assign([0.5] * WIDTH)


@case
def operation_of_a_functional_model():
    inputs = keras.Input((WIDTH,), dtype="float64")
    model = keras.Model(inputs, keras.ops.leaky_relu(inputs, 0.1))
    operation = next(found for found in model.operations if hasattr(found, "negative_slope"))
    return model, lambda: setattr(operation, "negative_slope", 0.7)


@case
def function_of_a_lambda():
    model = sequential(L.Lambda(lambda x: x, dtype="float64"))
    return model, lambda: setattr(model.layers[0], "function", tf.sin)


@case
def layer_that_is_added():
    model = sequential(dense(activation="tanh"))
    return model, lambda: model.add(dense())


@case
def layer_that_is_removed():
    model = sequential(dense(activation="tanh"), dense())
    return model, model.pop


@case
def layer_in_a_list():
    model = net()
    return model, lambda: model.parts.__setitem__(0, other())


@case
def order_of_layers():
    model = net()
    return model, model.parts.reverse


@case
def layer_of_a_subclass():
    model = net()
    model._tracker.unlock()
    return model, lambda: setattr(model, "last", other())


@case
def epsilon_of_a_normalisation():
    model = sequential(L.BatchNormalization(dtype="float64"))
    return model, lambda: setattr(model.layers[0], "epsilon", 1.0)


@case
def stride():
    model = sequential(L.Reshape((WIDTH, 1)), L.Conv1D(1, 2, 1, dtype="float64", padding="same"), L.Flatten())
    return model, lambda: setattr(model.layers[1], "strides", (2,))


@case
def number_format():
    model = sequential(dense())

    def change():
        model.layers[0].dtype_policy = keras.DTypePolicy("float32")
        model.layers[0]._dtype_policy = keras.DTypePolicy("mixed_float16")

    return model, change


@case
def method_of_a_keras_class():
    model = sequential(dense(activation="tanh"))
    before = L.Dense.call
    changed = lambda self, x, training=None: 2 * before(self, x)  # noqa: E731
    return model, lambda: setattr(L.Dense, "call", changed), lambda: setattr(L.Dense, "call", before)


@case
def global_settings_of_keras():
    class Fuzzy(keras.layers.Layer):
        def call(self, x):
            return x * keras.config.epsilon()

    before = keras.config.epsilon()
    return (
        sequential(Fuzzy(dtype="float64")),
        lambda: keras.config.set_epsilon(0.5),
        lambda: keras.config.set_epsilon(before),
    )


@case
def data_format():
    class Flat(keras.layers.Layer):
        def call(self, x):
            return x * (2.0 if keras.config.image_data_format() == "channels_first" else 1.0)

    return (
        sequential(Flat(dtype="float64")),
        lambda: keras.config.set_image_data_format("channels_first"),
        lambda: keras.config.set_image_data_format("channels_last"),
    )


@case
def private_name_that_keras_has_for_models():
    class Remembering(keras.layers.Layer):
        def call(self, x):
            return x * self.history

    layer = Remembering(dtype="float64")
    layer.history = 1.0
    return sequential(layer), lambda: setattr(layer, "history", 2.0)
