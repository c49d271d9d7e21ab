"""Which changes of a model make it another one to be traced."""

from __future__ import annotations

import functools

import pytest

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402

from signxai_tf.fingerprint import fingerprint  # noqa: E402


def one(x):
    return x


def two(x):
    return -x


SCALE = [1.0]


def scaled(x):
    return SCALE[0] * x


def above(limit):
    return lambda x: x + limit


class Settings:
    def __init__(self):
        self.rates = {"low": 0.1, "high": (0.5, [2])}
        self.pair = ([one, two], [one])
        self.history = [one]  # what Keras calls so is another thing
        self.kept = []


class Net(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, activation=one)
        self.steps = [one, [one, one]]
        self.settings = Settings()
        self.part = functools.partial(one, slope=1)
        self.method = self.settings.__init__
        self.closed = above(3)


def _change(net, value):
    net.closed.__closure__[0].cell_contents = value


CHANGES = {
    "activation": lambda net: setattr(net.dense, "activation", two),
    "list": lambda net: net.steps[1].append(one),
    "item": lambda net: net.steps.__setitem__(0, two),
    "order": lambda net: net.steps.reverse(),
    "mapping": lambda net: net.settings.rates.update(low=0.2),
    "key": lambda net: net.settings.rates.update(new=1),
    "nested": lambda net: net.settings.rates["high"][1].append(3),
    "number": lambda net: setattr(net.dense, "units", 3),
    "boundary": lambda net: net.settings.pair[1].insert(0, net.settings.pair[0].pop()),
    "attribute": lambda net: setattr(net.settings, "more", None),
    "name": lambda net: vars(net.settings).update(spare=vars(net.settings).pop("kept")),
    "history": lambda net: net.settings.history.append(two),
    "closure": lambda net: _change(net, 4),
    "partial": lambda net: setattr(net, "part", functools.partial(two, slope=1)),
    "defaults": lambda net: setattr(net.closed, "__defaults__", (1,)),
    "code": lambda net: setattr(two, "__code__", two.__code__.replace(co_name="other")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_noticed(name):
    net = Net()
    net.steps.append(two)
    before = fingerprint(net)
    assert before.holds(net)
    assert before == fingerprint(net)
    CHANGES[name](net)
    assert not before.holds(net)
    assert before != fingerprint(net)


def test_globals_of_functions_are_seen(monkeypatch):
    before = fingerprint(scaled)
    monkeypatch.setitem(globals(), "SCALE", [2.0])
    assert not before.holds(scaled)
    assert before != fingerprint(scaled)


def test_equal_values_that_took_the_place_of_others_are_the_same():
    net = Net()
    before = fingerprint(net)
    net.settings.rates = {"low": float("0.1"), "high": (0.5, [2])}
    after = fingerprint(net)
    assert before == after
    assert hash(before) == hash(after)
    assert after.holds(net)


def test_weights_and_losses_are_not_looked_at():
    net = Net()
    net.dense.build((None, 3))
    before = fingerprint(net)
    net.dense.kernel.assign(tf.ones((3, 2)))
    net.dense._losses.append(1)
    assert before.holds(net)
    net.dense._loss_ids = None
    assert before == fingerprint(net)
    model = keras.Sequential([net.dense])
    before = fingerprint(model)
    model.history = [1]
    assert before == fingerprint(model)


def test_what_refers_to_itself_ends():
    settings = Settings()
    settings.kept.append(settings.kept)
    settings.own = settings
    before = fingerprint(settings)
    assert before.holds(settings)
    settings.kept.append(1)
    assert not before.holds(settings)
