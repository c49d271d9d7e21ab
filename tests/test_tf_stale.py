"""A model that was changed between two calls is explained as it is: every map against a ``tf.GradientTape``."""

from __future__ import annotations

import numpy as np
import pytest

import signxai_core as sx

keras = pytest.importorskip("keras")
import stale_code  # noqa: E402
import stale_data  # noqa: E402
import stale_layers  # noqa: E402
import tensorflow as tf  # noqa: E402

from signxai_tf import trace  # noqa: E402

CASES = {**stale_data.CASES, **stale_code.CASES, **stale_layers.CASES}
X = np.random.default_rng(0).normal(size=(2, stale_data.WIDTH))


def by_tape(model):
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = tf.cast(model(x), tf.float64)[:, 1]
    return tape.gradient(output, x).numpy()


def explained(model):
    return sx.explain(model, X, "gradient", 1, backend="tensorflow").relevance


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", CASES)
def test_the_map_is_that_of_the_model_as_it_is(name, compiled, monkeypatch):
    monkeypatch.setattr(trace, "WORTH_COMPILING", 0 if compiled else 2**30)
    monkeypatch.delenv("SIGNXAI_TEST_SCALE", raising=False)
    monkeypatch.setenv("SIGNXAI_TEST_SCALE", "1")
    model, change, *restore = CASES[name]()
    tolerance = 1e-2 if name == "number_format" else 1e-12
    try:
        for _ in range(2):
            before = explained(model)
            np.testing.assert_allclose(before, by_tape(model), rtol=tolerance, atol=1e-14)
        change()
        after = explained(model)
        truth = by_tape(model)
    finally:
        for undo in restore:
            undo()
    np.testing.assert_allclose(after, truth, rtol=tolerance, atol=1e-14)
    if name != "numbers_of_a_generator":
        # A half type is walked in float32, so that its map differs from float64's by rounding alone.
        least = 1e-10 if name == "number_format" else 1e-6
        assert np.abs(after - before).max() > least, "the change matters"


def test_there_are_enough_of_them():
    assert len(CASES) >= 60
