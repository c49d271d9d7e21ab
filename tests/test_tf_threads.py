"""Several threads explain the same models at once with the TensorFlow backend."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import signxai_core as sx

pytest.importorskip("tensorflow")
from test_tf_models import IMAGES, RNG, SERIES, Module, attention, small, weights_of
from tf_nets import subclassed

from signxai_tf import trace


def test_threads():
    models = [small(), subclassed()[0], attention(), Module()]
    before = [weights_of(model) for model in models]
    inputs = [IMAGES, subclassed()[1], SERIES, RNG.normal(size=(3, 4))]
    names = ["gradient", "guided_backprop", "smoothgrad", "lrp_epsilon_0_1", "lrpsign_alpha_2_beta_1"]
    options = {"strict": False}  # attention has products, which are linearised
    serial = [sx.explain_many(m, x, names, **options) for m, x in zip(models, inputs, strict=True)]
    trace._kept.clear()  # so that models are traced at once, too
    failures, finished = [], []

    def work(number):
        place = number % len(models)
        for _ in range(3):
            results = sx.explain_many(models[place], inputs[place], names, **options)
            failures.extend(
                (place, name)
                for name in names
                if not np.array_equal(results[name].relevance, serial[place][name].relevance)
            )
        finished.append(number)  # an exception would end the thread without a word

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(finished) == list(range(8))
    assert [weights_of(model) for model in models] == before
