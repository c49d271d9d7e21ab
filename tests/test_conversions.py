"""Objects of other libraries as methods: through a hook, so that the core names none of those libraries."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import signxai_core as sx
import signxai_core.api
from signxai_core.errors import ParameterError, PluginError
from signxai_core.registry import Conversion, build, hookimpl, registry


class Theirs:
    """Another library's way to say epsilon."""

    def __init__(self, epsilon):
        self.epsilon = epsilon


def convert(*, given):
    return sx.parse(f"lrp_epsilon_0_{given.epsilon}")


def convert_to_nothing(*, given):
    return None


def plugin(factory):
    @hookimpl
    def signxai_conversions():
        return [Conversion(name="theirs", factory=f"test_conversions:{factory}", packages=(__name__,))]

    return type("plugin", (), {"signxai_conversions": staticmethod(signxai_conversions)})


@pytest.fixture
def convertible(monkeypatch):
    def register(factory):
        found = build({"third": plugin(factory)})
        assert found.problems == ()
        more = attrs.evolve(registry(), conversions=found.conversions)
        monkeypatch.setattr(signxai_core.api, "registry", lambda: more)

    return register


def test_an_object_is_a_method(convertible, branching):
    model, x = branching
    convertible("convert")
    found = sx.explain(model, x, Theirs(1))
    np.testing.assert_array_equal(found.relevance, sx.explain(model, x, "lrp_epsilon_0_1").relevance)
    assert found.method == "lrp_epsilon_0_1"
    assert sx.plan(model, x, Theirs(1)).rows == found.plan.rows
    maps = sx.explain_many(model, x, ["lrp_z", Theirs(1), Theirs(2)])
    assert list(maps) == ["lrp_z", "lrp_epsilon_0_1", "lrp_epsilon_0_2"]
    with pytest.raises(ParameterError, match="methods must be several names, got one: <test_conversions.Theirs"):
        sx.explain_many(model, x, Theirs(1))


class OfTheUser(Theirs):
    """A class that inherits from theirs is theirs."""

    __module__ = "somewhere_else"


def test_classes_made_from_theirs_are_theirs(convertible, branching):
    convertible("convert")
    assert sx.explain(*branching, OfTheUser(1)).method == "lrp_epsilon_0_1"


def test_what_nobody_converts_is_refused(convertible, branching):
    given = attrs.make_class("Unknown", [])()
    type(given).__module__ = "somewhere_else"
    text = r"a method is a name or a MethodSpec{}; got Unknown\(\) of type Unknown"
    with pytest.raises(ParameterError, match=text.format("(, or an object of zennit)?")):
        sx.explain(*branching, given)
    convertible("convert")
    with pytest.raises(ParameterError, match=text.format(", or an object of theirs")):
        sx.explain(*branching, given)


def test_a_conversion_that_returns_something_else_is_named(convertible, branching):
    convertible("convert_to_nothing")
    text = "plugin 'third': 'test_conversions:convert_to_nothing' must return a MethodSpec, got NoneType"
    with pytest.raises(PluginError, match=text):
        sx.explain(*branching, Theirs(1))
