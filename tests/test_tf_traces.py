"""Traces of TensorFlow models: when they are compared with the model, dropped, and freed."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import signxai_core as sx
from signxai_core.errors import ModelError

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from signxai_tf import content, trace  # noqa: E402
from signxai_tf.fingerprint import fingerprint  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 4))


class Scaled(tf.Module):
    def __init__(self, **held):
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value)

    def __call__(self, x):
        return self.read() * tf.sin(x)


def explained(model):
    return sx.explain(model, X, "gradient", 1, backend="tensorflow").relevance


@pytest.fixture
def traced(monkeypatch):
    """The number of traces so far."""
    made = []
    monkeypatch.setattr(trace, "_traced", lambda *given, before=trace._traced: made.append(1) or before(*given))
    return made


def test_a_model_that_has_not_changed_is_traced_once(traced):
    model = Scaled(numbers=np.ones(4), names=["k"], read=lambda: model.numbers)
    for _ in range(3):
        explained(model)
    assert len(traced) == 1
    model.numbers = np.ones(4)
    explained(model)
    assert len(traced) == 1, "an equal array is as good"


def test_what_was_forgotten_is_traced_again(traced):
    texts = {"a": "x", "b": "y"}
    scale = {"xy": 1.0}
    hidden = {"xy": scale}  # named by nothing that the model's code says

    class Model(Scaled):
        def read(self):
            return float(vars(np)["tset_iaxngis"[::-1]]["xy"]["xy"])

    np.signxai_test = hidden
    try:
        model = Model(texts=texts)
        before = explained(model)
        scale["xy"] = 2.0
        np.testing.assert_array_equal(explained(model), before)
        sx.forget(model)
        np.testing.assert_allclose(explained(model), 2 * before)
    finally:
        del np.signxai_test
    sx.forget(model)
    sx.forget(model)
    sx.forget(print)
    assert len(traced) == 2
    assert id(model) not in trace._kept


@pytest.mark.parametrize("most", ["MOST_BYTES", "MOST_ITEMS"])
def test_what_is_too_large_to_be_read_shows_in_the_output(monkeypatch, traced, most):
    monkeypatch.setattr(content, most, 8)
    held = {"MOST_BYTES": np.ones(4), "MOST_ITEMS": [1.0] * 20}[most]
    model = Scaled(held=held, read=lambda: np.array(model.held)[:4])
    assert len(fingerprint(model).doubts) == 1
    before = explained(model)
    np.testing.assert_array_equal(explained(model), before)
    assert len(traced) == 1
    model.held[1] = 5.0
    np.testing.assert_allclose(explained(model)[:, 1], 5 * before[:, 1])
    assert len(traced) == 2


def test_a_model_that_counts_its_calls_is_refused():
    def count():
        model.calls += 1.0
        return model.calls

    model = Scaled(calls=0.0, read=count)
    with pytest.raises(ModelError, match=r"gives another output when it is run again .* \(by 0\.\d+ of it\)"):
        explained(model)


def test_a_function_that_tensorflow_traced_before_is_explained_as_it_runs():
    """TensorFlow keeps the trace of a ``tf.function`` for each shape, whatever the globals are by now."""
    scale = {"k": 1.0}
    model = tf.function(lambda x: scale["k"] * tf.sin(x))
    model(tf.constant(X))
    scale["k"] = 2.0
    with tf.GradientTape() as tape:
        x = tf.constant(X)
        tape.watch(x)
        output = model(x)[:, 1]
    np.testing.assert_allclose(explained(model), tape.gradient(output, x))


def test_a_models_state_is_not_kept_alive():
    class Own:
        __slots__ = ("__weakref__", "model", "more")

    def made():
        model = Scaled(read=lambda: model.own.more * model.numbers)
        model.own, model.numbers, model.bound = Own(), np.ones(4), Own.__init__
        model.own.model, model.own.more = model, 2.0
        model.read_again = model.__call__
        explained(model)
        return weakref.ref(model), weakref.ref(model.own), weakref.ref(model.numbers)

    gone = made()
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3


def test_an_object_in_the_place_of_one_that_is_gone_is_another():
    """Python gives the identity of what is gone to what comes next."""

    class Own:
        def __call__(self):
            return self.scale()

    model = Scaled(read=Own())
    model.read.scale = lambda: 1.0
    before = fingerprint(model)
    identities = set()
    for _ in range(50):
        identities.add(id(model.read))
        model.read = None
        model.read = Own()
        model.read.scale = lambda: 1.0
        assert not before.holds(model)
        assert before != fingerprint(model)
    assert len(identities) < 50, "otherwise this shows nothing"
