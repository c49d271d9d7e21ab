"""Things about a TensorFlow model's data that may change between two calls; test_tf_stale.py goes through them."""

from __future__ import annotations

import array
import enum
import functools
import math
import types
from collections import ChainMap, OrderedDict, UserDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction

import attrs
import keras
import numpy as np
import tensorflow as tf

L = keras.layers
CASES = {}
WIDTH = 4


def case(function):
    """Register a function that returns a model, what changes it, and (optionally) what changes that back."""
    CASES[function.__name__] = function
    return function


class Held(tf.Module):
    """Multiplies by a number that is read out of whatever it holds."""

    def __init__(self, held, read=float):
        super().__init__()
        self.held = held
        self.read = read

    def __call__(self, x):
        return x * tf.sin(x) * self.read(self.held)


def rebound(name, before, after, read=float):
    """Register a case: the attribute is bound to something else."""

    def change():
        model = Held(before, read)
        return model, functools.partial(setattr, model, "held", after)

    change.__name__ = name
    case(change)


def inside(name, held, read, change):
    """Register a case: what the attribute is bound to is changed in place."""

    def build():
        made = held()
        model = Held(None, read)
        model.held = made
        return model, lambda: change(model.held)

    build.__name__ = name
    case(build)


class Mode(enum.Enum):
    LOW = 1.0
    HIGH = 2.0


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Own:
    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Both(Slotted):
    __slots__ = ("__dict__", "__weakref__")


class Numbers(list):
    scale = 1.0


@attrs.frozen
class Frozen:
    value: float


Pair = namedtuple("Pair", "low high")  # noqa: PYI024 - the older form is one of the cases


def value(held):
    return held.value


def first(held):
    return next(iter(held))


rebound("float", 2.0, 3.0)
rebound("int", 2, 3)
rebound("int_of_another_type", 1, True, lambda held: 5.0 if isinstance(held, bool) else 1.0)
rebound("float_for_int", 1, 1.0, lambda held: 5.0 if isinstance(held, float) else 1.0)
rebound("sign_of_zero", 0.0, -0.0, lambda held: math.copysign(1, held))
rebound("sign_of_a_complex_zero", 1j, complex(-0.0, 1), lambda held: math.copysign(1, held.real))
rebound("text", "a", "b", lambda held: {"a": 1.0, "b": 2.0}[held])
rebound("bytes", b"\x01", b"\x02", first)
rebound("none", None, 3.0, lambda held: 1.0 if held is None else held)
rebound("numpy_float32", np.float32(7), np.float32(8))
rebound("numpy_int64", np.int64(7), np.int64(8))
rebound("numpy_type", np.float32(1), np.float64(1), lambda held: float(held.dtype.itemsize))
rebound("numpy_array_of_no_axis", np.array(7.0), np.array(8.0))
rebound("numpy_array", np.full(WIDTH, 2.0), np.full(WIDTH, 3.0), np.asarray)
rebound("tensor", tf.constant(2.0, tf.float64), tf.constant(3.0, tf.float64), tf.identity)
rebound("variable", tf.Variable(2.0, dtype=tf.float64), tf.Variable(3.0, dtype=tf.float64), tf.identity)
rebound("keras_variable", keras.Variable(2.0, dtype="float64"), keras.Variable(3.0, dtype="float64"), lambda v: v.value)
rebound("fraction", Fraction(1, 2), Fraction(1, 3))
rebound("decimal", Decimal("0.5"), Decimal("0.25"))
rebound("range", range(1, 3), range(2, 3), first)
rebound("slice", slice(1, 3), slice(2, 3), lambda held: float(held.start))
rebound("enum", Mode.LOW, Mode.HIGH, value)
rebound("int_enum", Level.LOW, Level.HIGH)
rebound("tuple", (1.0, (2.0,)), (1.0, (3.0,)), lambda held: held[1][0])
rebound("tuple_for_list", (1.0,), [1.0], lambda held: 5.0 if isinstance(held, list) else 1.0)
rebound("named_tuple", Pair(1.0, 2.0), Pair(1.0, 3.0), lambda held: held.high)
rebound("frozenset", frozenset({1.0}), frozenset({2.0}), first)
rebound("frozen_object", Frozen(1.0), Frozen(2.0), value)
rebound("object_of_another_class", Own(1.0), Slotted(1.0), lambda held: 5.0 if isinstance(held, Slotted) else 1.0)
rebound("type", tf.float64, tf.float32, lambda held: float(held.size))

inside("item_of_a_list", lambda: [1.0, 2.0], lambda held: held[0], lambda held: held.__setitem__(0, 5.0))
inside("item_of_a_mapping", lambda: {"k": 1.0}, lambda held: held["k"], lambda held: held.update(k=5.0))
inside("order_of_a_mapping", lambda: {1.0: 0, 2.0: 0}, first, lambda held: held.update({1.0: held.pop(1.0)}))
inside(
    "ordered_mapping",
    lambda: OrderedDict(a=1.0, b=2.0),
    first_value := lambda held: next(iter(held.values())),
    lambda held: held.update(a=held.pop("a")),
)
inside("default_mapping", lambda: defaultdict(float, k=1.0), lambda held: held["k"], lambda held: held.update(k=5.0))
inside(
    "factory_of_a_mapping",
    lambda: defaultdict(lambda: 1.0),
    lambda held: held.default_factory(),
    lambda held: setattr(held, "default_factory", lambda: 5.0),
)
inside("chain_of_mappings", lambda: ChainMap({"k": 1.0}), lambda held: held["k"], lambda held: held.update(k=5.0))
inside("mapping_class", lambda: UserDict(k=1.0), lambda held: held["k"], lambda held: held.update(k=5.0))
inside("set", lambda: {1.0}, first, lambda held: (held.clear(), held.add(5.0)))
inside("deque", lambda: deque([1.0, 2.0]), first, lambda held: held.rotate())
inside(
    "list_with_attributes",
    lambda: Numbers([1.0]),
    lambda held: held[0] * held.scale,
    lambda held: setattr(held, "scale", 5.0),
)
inside("object", lambda: Own(1.0), value, lambda held: setattr(held, "value", 5.0))
inside("object_in_a_list", lambda: [Own(1.0)], lambda held: held[0].value, lambda held: setattr(held[0], "value", 5.0))
inside(
    "mapping_in_an_object",
    lambda: Own({"k": [1.0]}),
    lambda held: held.value["k"][0],
    lambda held: held.value.update(k=[5.0]),
)
inside("slots", lambda: Slotted(1.0), value, lambda held: setattr(held, "value", 5.0))
inside("slots_and_attributes", lambda: Both(1.0), value, lambda held: setattr(held, "value", 5.0))
inside(
    "attribute_that_comes",
    lambda: Own(1.0),
    lambda held: getattr(held, "more", 1.0),
    lambda held: setattr(held, "more", 5.0),
)
inside(
    "attribute_that_goes",
    lambda: Own(3.0),
    lambda held: getattr(held, "value", 1.0),
    lambda held: delattr(held, "value"),
)
inside("namespace", lambda: types.SimpleNamespace(value=1.0), value, lambda held: setattr(held, "value", 5.0))
inside(
    "class_of_an_object",
    lambda: Own(1.0),
    lambda held: 5.0 if isinstance(held, Other) else 1.0,
    lambda held: setattr(held, "__class__", Other),
)

ones = functools.partial(np.ones, WIDTH)
inside("array_in_place", ones, np.array, lambda held: held.fill(5.0))
inside("one_number_of_an_array", ones, np.array, lambda held: held.__setitem__(1, 5.0))
inside("array_in_a_mapping", lambda: {"k": ones()}, lambda held: np.array(held["k"]), lambda held: held["k"].fill(5.0))
inside(
    "array_that_is_seen_through_a_view",
    lambda: ones()[1:],
    lambda held: float(held[0]),
    lambda held: held.base.fill(5.0),
)
inside("every_other_number", lambda: np.ones(2 * WIDTH)[::2], np.array, lambda held: held.__setitem__(1, 5.0))
inside(
    "array_of_objects",
    lambda: np.array([Own(1.0), None]),
    lambda held: held[0].value,
    lambda held: setattr(held[0], "value", 5.0),
)
inside(
    "type_of_an_array",
    ones,
    lambda held: float(np.array(held)[0] != 1) + 1,
    lambda held: setattr(held, "dtype", "int64"),
)
inside(
    "shape_of_an_array",
    lambda: np.ones((1, WIDTH)),
    lambda held: float(held.ndim),
    lambda held: setattr(held, "shape", WIDTH),
)
inside("bytearray", lambda: bytearray(b"\x01"), first, lambda held: held.__setitem__(0, 5))
inside("array_of_the_standard_library", lambda: array.array("d", [1.0]), first, lambda held: held.__setitem__(0, 5.0))
inside(
    "masked_array",
    lambda: np.ma.array(ones(), mask=False),
    lambda held: held.filled(5.0),
    lambda held: held.__setitem__(1, np.ma.masked),
)


class Other(Own):
    pass
