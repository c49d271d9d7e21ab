"""What TensorFlow's operations are recorded as, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.specs.operations import activations

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
from signxai_tf import trace  # noqa: E402
from signxai_tf.backend import TensorFlowBackend  # noqa: E402
from signxai_tf.run import run_model  # noqa: E402

RNG = np.random.default_rng(3)
X = RNG.uniform(0.2, 0.8, size=(2, 3, 4))
SIGNED = RNG.normal(size=(2, 3, 4))
C = tf.constant(RNG.uniform(0.5, 1.5, size=(3, 4)))
BACKEND = TensorFlowBackend()


def record(function, x=X):
    return run_model(function, tf.constant(x))


def rows(function, x=X):
    """Return kind, function and attributes of every operation; what scalings say of their numbers aside."""
    operations = record(function, x).operations
    return [(op.kind, op.function, {} if op.kind == "scaling" else dict(op.attributes)) for op in operations]


def check(function, x=X):
    """Compare values and derivatives with TensorFlow's own, operation by operation and as a whole."""
    recording = record(function, x)
    np.testing.assert_allclose(recording.values[recording.output], function(tf.constant(x)), rtol=1e-12, atol=1e-13)
    for op in recording.operations:
        inputs = [tf.constant(recording.values[number].numpy()) for number in op.inputs]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = BACKEND.apply(op, inputs)
            cotangents = [tf.constant(RNG.normal(size=y.shape)) for y in outputs]
            total = tf.add_n([tf.reduce_sum(y * c) for y, c in zip(outputs, cotangents, strict=True)])
        for output, number in zip(outputs, op.outputs, strict=True):
            np.testing.assert_allclose(output, recording.values[number], rtol=1e-12, atol=1e-13)
        wanted = tape.gradient(total, inputs, unconnected_gradients="zero")
        for ours, theirs in zip(BACKEND.vjp(op, cotangents), wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=op.label)


def gradient(function, x):
    point = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = tf.reduce_sum(tf.reduce_max(tf.reshape(function(point), [len(x), -1]), axis=1))
    return tape.gradient(value, point, unconnected_gradients="zero").numpy()


#: Functions that are one activation, by neutral name.
ELEMENTWISE = {
    "exp": tf.exp,
    "expm1": tf.math.expm1,
    "log": tf.math.log,
    "log1p": tf.math.log1p,
    "sqrt": tf.sqrt,
    "rsqrt": tf.math.rsqrt,
    "square": tf.square,
    "abs": tf.abs,
    "reciprocal": tf.math.reciprocal,
    "sin": tf.sin,
    "cos": tf.cos,
    "tan": tf.tan,
    "asin": tf.asin,
    "acos": tf.acos,
    "atan": tf.atan,
    "sinh": tf.sinh,
    "cosh": tf.cosh,
    "asinh": tf.asinh,
    "acosh": lambda x: tf.acosh(x + 2.0),
    "atanh": tf.atanh,
    "erf": tf.math.erf,
    "erfc": tf.math.erfc,
    "softsign": tf.nn.softsign,
    "softplus": tf.nn.softplus,
    "sigmoid": tf.sigmoid,
    "logsigmoid": tf.math.log_sigmoid,
    "tanh": tf.tanh,
    "selu": tf.nn.selu,
    "elu": tf.nn.elu,
    "silu": tf.nn.silu,
    "gelu": tf.nn.gelu,
    "mish": keras.activations.mish,
}

#: Neutral name, and another way to write it.
SAME = {
    "x * x": ("square", lambda x: x * x),
    "c / x": ("reciprocal", lambda x: C / x),
    "1 / x": ("reciprocal", lambda x: 1.0 / x),
    "xdivy": ("reciprocal", lambda x: tf.math.xdivy(C, x)),
    "2 ** x": ("exp2", lambda x: 2.0**x),
    "3 ** x": ("exp", lambda x: 3.0**x),
    "clip": ("clamp", lambda x: tf.raw_ops.ClipByValue(t=x, clip_value_min=0.3, clip_value_max=0.6)),
    "clip at 0 and 6": ("relu6", lambda x: tf.raw_ops.ClipByValue(t=x, clip_value_min=0.0, clip_value_max=6.0)),
    "where relu": ("relu", lambda x: tf.where(x > 0, x, 0.0)),
    "where relu with zeros": ("relu", lambda x: tf.where(x > 0, x, tf.zeros_like(x))),
    "relu as a mask": ("relu", lambda x: x * tf.cast(x > 0, x.dtype)),
    "where leaky relu": ("leaky_relu", lambda x: tf.where(x > 0, x, 0.1 * x)),
    "where elu": ("elu", lambda x: tf.where(x > 0, x, tf.exp(x) - 1)),
    "where elu with a factor": ("elu", lambda x: tf.where(x > 0, x, 0.7 * tf.math.expm1(x))),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_functions(name):
    found = rows(ELEMENTWISE[name])
    assert found[-1] == ("activation", name, {})
    assert name in activations()
    check(ELEMENTWISE[name])


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("x", [X, SIGNED], ids=["positive", "signed"])
def test_elementwise_functions_that_are_written_out(name, x):
    function, written = SAME[name]
    ((kind, found, _),) = rows(written, x)
    assert (kind, found) == ("activation", function)
    check(written, x)


@pytest.mark.parametrize("exponent", [2.0, 0.5, -1.5, 3.0])
def test_powers_say_their_exponent(exponent):
    assert rows(lambda x: x**exponent) == [("activation", "pow", {"exponent": exponent})]
    assert rows(lambda x: tf.pow(x, exponent * tf.ones_like(x))) == [("activation", "pow", {"exponent": exponent})]
    check(lambda x: x**exponent)


OPERATIONS = {
    "mean": (lambda x: tf.reduce_mean(x, -1), [("average_pooling", "mean", {"axes": (2,), "keepdims": False})]),
    "mean of two axes": (
        lambda x: tf.reduce_mean(x, [-1, 1], keepdims=True),
        [("average_pooling", "mean", {"axes": (1, 2), "keepdims": True})],
    ),
    "sum": (lambda x: tf.reduce_sum(x, 1), [("average_pooling", "sum", {"axes": (1,), "keepdims": False})]),
    "max": (lambda x: tf.reduce_max(x, -1), [("max_pooling", "amax", {"axes": (2,), "keepdims": False})]),
    "min": (
        lambda x: tf.reduce_min(x, 2, keepdims=True),
        [("selection", "amin", {"axes": (2,), "keepdims": True})],
    ),
    "softmax": (tf.nn.softmax, [("softmax", "softmax", {"axis": 2})]),
    "log_softmax": (tf.nn.log_softmax, [("softmax", "log_softmax", {"axis": 2})]),
    "transpose": (lambda x: tf.transpose(x, [0, 2, 1]), [("shape", "permute", {"order": (0, 2, 1)})]),
    "concat": (lambda x: tf.concat([x, C[None] * tf.ones_like(x)], -1), [("shape", "concat", {"axis": 2})]),
    "stack": (lambda x: tf.stack([x, x], -1), [("shape", "stack", {"axis": 3})]),
    "einsum as a permutation": (
        lambda x: tf.einsum("abc->acb", x),
        [("shape", "permute", {"order": (0, 2, 1)})],
    ),
    "einsum as a sum": (
        lambda x: tf.einsum("abc->ac", x),
        [("average_pooling", "sum", {"axes": (1,), "keepdims": False})],
    ),
    "squared difference": (
        lambda x: tf.math.squared_difference(x, x[:, :1]),
        [("shape", "index", {}), ("sum", "sub", {}), ("activation", "square", {})],
    ),
    "squared difference of a constant": (
        lambda x: tf.math.squared_difference(x, C),
        [("scaling", "sub", {}), ("activation", "square", {})],
    ),
    "variance": (
        lambda x: tf.nn.moments(x, [2], keepdims=True)[1],
        [
            ("average_pooling", "mean", {"axes": (2,), "keepdims": True}),
            ("sum", "sub", {}),
            ("activation", "square", {}),
            ("average_pooling", "mean", {"axes": (2,), "keepdims": True}),
        ],
    ),
    "product": (lambda x: x * x[:, :1], [("shape", "index", {}), ("product", "mul", {})]),
    "quotient": (lambda x: x / x[:, :1], [("shape", "index", {}), ("quotient", "div", {})]),
    "safe quotient": (
        lambda x: tf.math.divide_no_nan(x, x[:, :1]),
        [("shape", "index", {}), ("quotient", "div", {})],
    ),
    "quotient by a constant": (lambda x: tf.math.divide_no_nan(x, C), [("scaling", "div", {})]),
    "matmul": (lambda x: x @ tf.transpose(tf.sin(x), [0, 2, 1]), None),
    "matmul transposed": (lambda x: tf.matmul(x, tf.sin(x), transpose_b=True), None),
    "stretched by a constant": (
        lambda x: x[:, :, :1] * C,
        [("shape", "index", {}), ("shape", "expand", {}), ("scaling", "mul", {})],
    ),
    "where": (
        lambda x: tf.where(C > 1, x, -1e9),
        [("selection", "where", {})],
    ),
    "where of two": (
        lambda x: tf.where(x > 0.5, x, x[:, :1]),
        [("shape", "index", {}), ("selection", "where", {})],
    ),
    "mask": (lambda x: x * tf.cast(x > 0.5, x.dtype), [("selection", "where", {})]),
    "number of a mask": (
        lambda x: x / (1.0 + tf.reduce_sum(tf.cast(x > 0.5, x.dtype), 1, keepdims=True)),
        [("scaling", "div", {})],
    ),
    "maximum": (lambda x: tf.maximum(x, x[:, :1]), [("shape", "index", {}), ("selection", "maximum", {})]),
    "minimum": (lambda x: tf.minimum(x, x[:, :1]), [("shape", "index", {}), ("selection", "minimum", {})]),
    "top k": (lambda x: tf.math.top_k(x, 2)[0], [("selection", "topk", {})]),
    "gather": (lambda x: tf.gather(x, [2, 0, 0], axis=2), [("shape", "gather", {})]),
    "gather at a place that depends on the input": (
        lambda x: tf.gather(x, tf.argmax(x, 2), axis=2, batch_dims=2),
        [("selection", "gather", {})],
    ),
    "sort": (lambda x: tf.sort(x, axis=2), None),
    "split": (lambda x: tf.split(x, 2, 2)[1], [("shape", "split", {})]),
    "split into parts": (lambda x: tf.split(x, [1, 3], 2)[1], [("shape", "split", {})]),
    "unstack": (lambda x: tf.unstack(x, axis=1)[2], [("shape", "unbind", {})]),
    "reverse": (lambda x: tf.reverse(x, [1]), [("shape", "flip", {})]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    function, wanted = OPERATIONS[name]
    assert wanted is None or rows(function) == wanted
    assert "other" not in {kind for kind, *_ in rows(function)}
    check(function)


@pytest.mark.parametrize("function", [tf.sign, tf.floor, tf.math.ceil, tf.round, tf.math.rint])
def test_steps_are_constant(function):
    assert [kind for kind, *_ in rows(lambda x: x + function(3 * x))] == ["scaling", "step", "sum"]
    check(lambda x: x + function(3 * x))


EINSUMS = {
    "bij,bjk->bik": "matrix_product",
    "bij,bij->b": "matrix_product",
    "bij,bij->bij": "product",
    "bij,bjk->bijk": "product",
    "bi,bj->bij": "product",
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_products_of_two_tensors(equation):
    left, right = equation.partition("->")[0].split(",")

    def product(x):
        a = x if len(left) == 3 else x[:, 0]
        b = tf.sin(x if right == "bij" else tf.transpose(x, [0, 2, 1]) if len(right) == 3 else x[:, :, 0])
        return tf.raw_ops.Einsum(inputs=[a, b], equation=equation)

    kind, function, attributes = rows(product)[-1]
    assert (kind, attributes) == (EINSUMS[equation], {"equation": equation})
    assert function == ("mul" if kind == "product" else "einsum")
    check(product)


def test_a_matrix_product_of_two_tensors():
    assert rows(OPERATIONS["matmul"][0])[-1] == ("matrix_product", "matmul", {})
    assert rows(lambda x: tf.matmul(x, x, transpose_b=True)) == [("matrix_product", "matmul", {})]


def test_what_is_on_no_list_has_no_kind():
    for function in (tf.math.lgamma, tf.math.digamma, lambda x: tf.pow(x, tf.sin(x)), lambda x: tf.math.mod(x, 0.3)):
        kind, *_ = rows(function)[-1]
        assert kind == "other"
    detached = record(lambda x: x * tf.stop_gradient(x)).operations[-1]
    assert detached.kind == "other"
    assert "in a way that has no derivative" in detached.note


def test_equal_numbers_go_to_the_first():
    ones = np.ones((2, 3, 4))
    for function in (tf.reduce_min, tf.reduce_max):
        (op,) = record(lambda x, function=function: function(x, 2), ones).operations
        (pulled,) = BACKEND.vjp(op, [tf.ones((2, 3), tf.float64)])
        np.testing.assert_array_equal(pulled, ones * [1, 0, 0, 0])


def test_numbers_in_the_code_of_a_model_are_attributes():
    variable = tf.Variable(2.0, dtype=tf.float64)
    cases = [
        (lambda x: 3 * x, {"scale": 3.0, "shift": 0.0, "increasing": True}),
        (lambda x: x / 4, {"scale": 0.25, "shift": 0.0, "increasing": True}),
        (lambda x: x - 4, {"scale": 1.0, "shift": -4.0, "increasing": True}),
        (lambda x: 4 - x, {"scale": -1.0, "shift": 4.0}),
        (lambda x: -x, {"scale": -1.0, "shift": 0.0}),
        (lambda x: x * variable, {"shift": 0.0}),
        (lambda x: x + C, {"scale": 1.0}),
        (lambda x: tf.maximum(x, 0.25), {"low": 0.25}),
        (lambda x: tf.clip_by_value(x, 0.25, 0.5), {"low": 0.25, "high": 0.5}),
        (lambda x: tf.clip_by_value(x, 0.0, 1.0), {"low": 0.0, "high": 1.0}),
    ]
    for function, wanted in cases:
        (operation,) = record(function).operations
        assert dict(operation.attributes) == wanted


def sequence_first(function):
    """Return a function that works on the first axis of a sequence."""
    return lambda x: tf.transpose(function(tf.transpose(x, [1, 0, 2])), [1, 0, 2])


PLACED = {
    "lower triangle": (lambda x: tf.linalg.band_part(x, -1, 0), ("selection", "tril")),
    "upper triangle": (lambda x: tf.linalg.band_part(x, 0, -1), ("selection", "triu")),
    "keras.ops.triu": (lambda x: keras.ops.triu(x, k=1), ("selection", "where")),
    "cumulative sum": (lambda x: tf.cumsum(x, 1), ("average_pooling", "cumsum")),
    "reversed": (lambda x: tf.cumsum(x, 2, exclusive=True, reverse=True), ("average_pooling", "cumsum")),
    "segments": (
        sequence_first(lambda x: tf.math.segment_sum(x, tf.constant([0, 0, 1]))),
        ("average_pooling", "segment_sum"),
    ),
    "keras.ops segments": (
        sequence_first(lambda x: keras.ops.segment_sum(x, tf.constant([1, 0, 1]), 2)),
        ("average_pooling", "segment_sum"),
    ),
    "means of segments": (
        sequence_first(lambda x: tf.math.segment_mean(x, tf.constant([0, 0, 1]))),
        ("average_pooling", "segment_mean"),
    ),
    "largest of segments": (
        sequence_first(lambda x: tf.math.segment_max(x, tf.constant([0, 0, 1]))),
        ("selection", "segment_max"),
    ),
    "scatter": (
        sequence_first(lambda x: tf.scatter_nd([[1], [0], [1]], x, [4, 2, 4])),
        ("average_pooling", "scatter_add"),
    ),
    "constants added": (
        lambda x: tf.tensor_scatter_nd_add(x, [[0, 0, 0], [1, 2, 3]], tf.constant([1.0, 2.0], tf.float64)),
        ("scaling", "add"),
    ),
    "numbers added": (
        lambda x: tf.tensor_scatter_nd_add(x, [[0, 0, 0], [1, 2, 3]], x[:, 0, 0]),
        ("sum", "scatter_add"),
    ),
    "numbers subtracted": (
        lambda x: tf.tensor_scatter_nd_sub(x, [[0, 0, 0], [1, 2, 3]], x[:, 0, 0]),
        ("sum", "scatter_add"),
    ),
    "numbers put": (
        lambda x: tf.tensor_scatter_nd_update(x, [[0, 0, 0], [1, 2, 3]], x[:, 0, 0]),
        ("shape", "scatter"),
    ),
    "diagonal": (tf.linalg.diag, ("shape", "diagonal_embed")),
    "diagonal put": (lambda x: tf.linalg.set_diag(x[:, :, :3], x[:, :, 3]), ("shape", "diagonal_scatter")),
    "log of sums": (lambda x: tf.reduce_logsumexp(x, 2), ("logsumexp", "logsumexp")),
    "keras.ops.logsumexp": (lambda x: keras.ops.logsumexp(x, axis=1, keepdims=True), ("logsumexp", "logsumexp")),
    "of a stack": (lambda x: tf.reduce_max(tf.stack([x, 0.5 * x]), 0), ("max_pooling", "amax")),
    "sequence first": (lambda x: tf.reduce_mean(tf.transpose(x, [1, 0, 2]), 0), ("average_pooling", "mean")),
    "of heads": (
        lambda x: tf.reduce_sum(tf.transpose(tf.reshape(x, [2, 3, 2, 2]), [2, 0, 1, 3]), 0),
        ("average_pooling", "sum"),
    ),
    "bicubic": (
        lambda x: tf.cast(tf.image.resize(tf.reshape(x, [2, 3, 2, 2]), (5, 4), "bicubic"), x.dtype),
        ("interpolation", "interpolate"),
    ),
}


@pytest.mark.parametrize("name", PLACED)
def test_sums_and_choices_at_constant_places(name):
    function, wanted = PLACED[name]
    assert wanted in [(kind, other) for kind, other, _ in rows(function)]
    assert "other" not in {kind for kind, *_ in rows(function)}
    if name != "bicubic":  # in single precision
        check(function)


@pytest.mark.parametrize("keepdims", [False, True])
def test_a_logsumexp_says_its_axes(keepdims):
    *_, last = rows(lambda x: keras.ops.logsumexp(x, axis=-1, keepdims=keepdims))
    assert last == ("logsumexp", "logsumexp", {"axes": (2,), "keepdims": keepdims})


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - tf.reduce_mean(x, 0),
        lambda x: x + tf.reduce_max(tf.transpose(x, [1, 0, 2]), 1)[None],
        lambda x: tf.cumsum(x, 0),
        lambda x: x + tf.reduce_sum(tf.reshape(x, [2, 12]), 0)[0],
        lambda x: x + tf.reduce_sum(tf.reshape(x, [6, 4]), 0),
        lambda x: x + tf.transpose(tf.math.segment_sum(x, tf.constant([0, 0])), [0, 1, 2]),
    ],
)
def test_sums_over_samples_have_no_kind(function):
    assert "other" in {kind for kind, *_ in rows(function)}


@pytest.mark.parametrize("name", [*OPERATIONS, *(name for name in PLACED if name != "bicubic")])
def test_compiled_derivatives(name, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0)
    function, _ = (OPERATIONS | PLACED)[name]

    def model(x):
        return tf.square(tf.reshape(function(x), [tf.shape(x)[0], -1]))  # of no head

    found = sx.explain(model, X, "gradient", backend="tensorflow").relevance
    np.testing.assert_allclose(found, gradient(model, X), rtol=1e-12, atol=1e-12)
