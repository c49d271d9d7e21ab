"""What is used of TensorFlow and Keras without being public is there, and does what it is used for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import tensorflow as tf

from signxai_core.testing import network as net
from signxai_tf import lacking, private

FOLDER = Path(private.__file__).parent
TRIED = f"TensorFlow {tf.__version__}, Keras {keras.__version__}: tried were {private.TRIED}"


def test_the_lowest_version_that_we_ask_for_was_tried():
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    (lowest,) = re.findall(r'tensorflow = \["tensorflow>=([\d.]+)"', project)
    versions = [tuple(map(int, version.split(".")[:2])) for version, *_ in private.TRIED]
    assert min(versions) == tuple(map(int, lowest.split(".")))
    assert {python for *_, python in private.TRIED} == {"3.10", "3.11", "3.12", "3.13"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_private_modules_are_imported_in_one_place(path):
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    hidden = [name for name in imported if name.startswith(("keras.src", "tensorflow.python", "tensorflow.core"))]
    assert bool(hidden) == (path.stem == "private"), hidden


def test_definitions_of_operations():
    found = private.op_def("Conv2D")
    assert [argument.name for argument in found.input_arg] == ["input", "filter"], TRIED
    assert private.op_def("NoSuchOperation") is None, TRIED


class Inner(keras.layers.Layer):
    def call(self, x):
        self.seen = [layer.name for layer in private.running_layers()]
        return x + 1


class Outer(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="outer")
        self.inner = Inner(name="inner")

    def call(self, x):
        return self.inner(x)


def test_layers_that_run_and_layers_inside():
    layer = Outer()
    layer(np.ones((1, 2)))
    assert layer.inner.seen == ["outer", "inner"], TRIED
    assert private.running_layers() == [], TRIED
    assert private.sublayers(layer) == [layer.inner], TRIED


def test_operations_are_observed_while_they_are_made():
    names = []

    def traced(x):
        private.observe(tf.compat.v1.get_default_graph(), names.append)
        return tf.nn.relu(x, name="here")

    graph = tf.function(traced).get_concrete_function(tf.TensorSpec([2])).graph
    assert "here" in names, TRIED
    assert set(names) <= {operation.name for operation in graph.get_operations()}


def test_what_a_first_call_sets_is_forgotten():
    layer = keras.layers.Dense(2)
    state = private.first_call_state([layer])
    assert [name for _, name in state] == list(private._FIRST_CALL), TRIED
    for _, name in state:
        setattr(layer, name, {"anything": 1})
    assert private.first_call_state([layer]) == []
    private.forget_first_call(state)
    assert private.first_call_state([layer]) == state, TRIED


class Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec([], tf.bool)])
    def __call__(self, x, training=None):
        return tf.where(training, 0.0, x)


def test_argument_names_of_restored_functions(tmp_path):
    tf.saved_model.save(Module(), str(tmp_path))
    restored = tf.saved_model.load(str(tmp_path))
    assert "training" in private.restored_argument_names(restored.__call__), TRIED


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32", "string"])
def test_constants_of_graphs(dtype):
    values = np.array([b"a", b"b"]) if dtype == "string" else np.array([1, 2])
    given = tf.cast(tf.constant(values), dtype) if dtype != "string" else tf.constant(values)
    definition = tf.function(lambda: tf.constant(given.numpy())).get_concrete_function().graph.as_graph_def()
    proto = next(node.attr["value"].tensor for node in definition.node if node.op == "Const")
    found = private.make_tensor(proto)
    assert found.dtype == given.dtype, TRIED
    assert (found.numpy() == given.numpy()).all(), TRIED


@pytest.mark.parametrize("size", [(4, 3), (3, 4, 3)], ids=["2d", "3d"])
def test_a_convolution_that_tensorflow_gets_wrong(size):
    """Once this fails, drawn networks may have such a convolution: delete signxai_tf.lacking._wrong_conv."""
    random = np.random.default_rng(0)
    axes = len(size)
    x = random.normal(size=(2, *size, 1)).astype("float32")
    weight = random.normal(size=(*(1,) * (axes - 1), 2, 1, 2)).astype("float32")
    strides = (*(1,) * (axes - 1), 2)

    def output(dtype):
        return tf.nn.convolution(x.astype(dtype), weight.astype(dtype), strides).numpy()

    # What it reads outside the input may be anything, NaN too.
    assert not np.allclose(output("float32"), output("float64"), atol=0.1)
    node = net.Conv(name="conv", weight=np.moveaxis(weight, (-1, -2), (0, 1)), stride=strides)
    network = net.Network([node], (1, *size))
    assert "is wrong on a CPU" in lacking.absent(network, "float32")
    assert lacking.absent(network, "float64") is None
