"""Things about a TensorFlow model's code that may change between two calls; test_tf_stale.py goes through them."""

from __future__ import annotations

import copy
import functools
import os
import sys
import types

import keras
import numpy as np
import tensorflow as tf
from stale_data import WIDTH

L = keras.layers
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def notebook(source, **names):
    """Run a cell; return its names, where another cell can be run."""
    module = types.ModuleType("notebook_of_the_tests")
    vars(module).update(copy.deepcopy(names), keras=keras, tf=tf, np=np, functools=functools, os=os)
    sys.modules[module.__name__] = module
    exec(source, vars(module))  # noqa: S102 - what a notebook does
    return module


def cells(name, first, second, model="model", **names):
    """Register a case: a cell is run, then another one."""

    def build():
        module = notebook(first, **names)
        return getattr(module, model), lambda: exec(second, vars(module))  # noqa: S102 - as above

    build.__name__ = name
    case(build)


LAYER = """
class Net(keras.layers.Layer):
    {attributes}

    def call(self, x):
        {call}

{rest}
model = Net(dtype="float64")
model.built = True
"""


def layer(name, call, second, attributes="pass", rest="", **names):
    """Register a case: a layer whose ``call`` uses something that another cell changes."""
    cells(name, LAYER.format(call=call, attributes=attributes, rest=rest), second, **names)


layer("global_number", "return SCALE * x", "SCALE = 2.0", SCALE=1.0)
layer("global_numpy_number", "return SCALE * x", "SCALE = np.float32(8)", SCALE=np.float32(7))
layer("global_function", "return act(x)", "def act(x): return tf.sin(x)", rest="def act(x): return tf.cos(x)")
layer("global_of_a_global_function", "return act(x)", "K = 2.0", rest="K = 1.0\ndef act(x): return K * x")
layer("global_in_a_lambda", "return (lambda y: (lambda z: SCALE * z)(y))(x)", "SCALE = 2.0", SCALE=1.0)
layer("global_in_a_comprehension", "return sum([SCALE * x for _ in range(2)])", "SCALE = 2.0", SCALE=1.0)
layer("global_that_hides_a_builtin", "return x * abs(-2.0)", "abs = lambda number: 7.0")
layer("global_by_a_text", "return globals()['SCALE'] * x", "SCALE = 2.0", SCALE=1.0)
layer("global_mapping", "return CONFIG['k'] * x", "CONFIG['k'] = 2.0", CONFIG={"k": 1.0})
layer("global_array_in_place", "return A * x", "A *= 3", A=np.ones(WIDTH))
layer(
    "global_class",
    "return Scaler()(x)",
    "class Scaler:\n  def __call__(self, x): return 2 * x",
    rest="class Scaler:\n  def __call__(self, x): return x",
)
layer(
    "global_in_a_constructor",
    "return Scaler().k * x",
    "K = 2.0",
    rest="K = 1.0\nclass Scaler:\n  def __init__(self): self.k = K",
)
layer("global_object", "return C.k * x", "C.k = 2.0", rest="class C: pass\nC = C()\nC.k = 1.0")
layer(
    "global_flag_for_training",
    "return self.other(x, training=FLAG)",
    "FLAG = True",
    FLAG=False,
    rest="class Two(keras.layers.Layer):\n  def call(self, x, training=False): return 2 * x if training else x\n"
    "Net.other = Two()",
)
layer("call_of_the_class", "return x", "Net.call = lambda self, x: 2 * x")
layer(
    "method_of_the_class",
    "return self.scaled(x)",
    "Net.scaled = lambda self, x: 2 * x",
    "def scaled(self, x): return x",
)
layer(
    "method_of_a_base_class",
    "return self.scaled(x)",
    "Base.scaled = lambda self, x: 2 * x",
    rest="class Base:\n  def scaled(self, x): return x\nclass Net(Net, Base): pass",
)
layer(
    "method_by_a_text",
    "return getattr(self, 'sca' + 'led')(x)",
    "Net.scaled = lambda self, x: 2 * x",
    "def scaled(self, x): return x",
)
layer("attribute_of_the_class", "return self.k * x", "Net.k = 2.0", "k = 1.0")
layer("mapping_of_the_class", "return self.k[0] * x", "Net.k[0] = 2.0", "k = {0: 1.0}")
layer(
    "property_of_the_class", "return self.k * x", "Net.k = property(lambda self: 2.0)", "k = property(lambda self: 1.0)"
)
layer("global_of_a_property", "return self.k * x", "K = 2.0", "k = property(lambda self: K)", K=1.0)
layer("static_method", "return self.f(x)", "Net.f = staticmethod(lambda x: 2 * x)", "f = staticmethod(lambda x: x)")
layer("class_method", "return self.f(x)", "K = 2.0", "f = classmethod(lambda cls, x: K * x)", K=1.0)
layer(
    "descriptor",
    "return self.k * x",
    "Net.__dict__['k'].k = 2.0",
    "class D:\n      k = 1.0\n      def __get__(self, *_): return self.k\n    k = D()",
)
layer("default_argument", "return self.f(x)", "Net.f.__defaults__ = (2.0,)", "def f(self, x, k=1.0): return k * x")
layer(
    "default_keyword", "return self.f(x)", "Net.f.__kwdefaults__['k'] = 2.0", "def f(self, x, *, k=1.0): return k * x"
)
layer(
    "code_of_a_method",
    "return self.f(x)",
    "Net.f.__code__ = (lambda self, x: 2 * x).__code__",
    "def f(self, x): return x",
)
layer("attribute_of_a_function", "return f.k * x", "f.k = 2.0", rest="def f(): pass\nf.k = 1.0")
layer(
    "cached_function",
    "return f() * x",
    "K = 2.0; f.cache_clear()",
    rest="K = 1.0\n@functools.lru_cache\ndef f(): return K",
)
layer(
    "wrapped_function",
    "return f(x)",
    "K = 2.0",
    rest="K = 1.0\ndef g(x): return K * x\n@functools.wraps(g)\ndef f(x, g=g): return g(x)",
)
layer(
    "environment",
    "return float(os.environ.get('SIGNXAI_TEST_SCALE', '1')) * x",
    "os.environ['SIGNXAI_TEST_SCALE'] = '2'",
)
layer("numbers_of_a_generator", "return next(COUNT) * x * x", "pass", rest="COUNT = iter([1.0] * 20)")
layer("method_of_the_object", "return x", "import types\nmodel.call = types.MethodType(lambda self, x: 2 * x, model)")

cells("function_with_a_global", "K = 1.0\ndef model(x): return K * x", "K = 2.0")
cells("function_around_a_function", "K = 1.0\ndef f(x): return K * x\nmodel = lambda x: f(x)", "K = 2.0")
cells(
    "partial",
    "def f(x, k): return k * x\nk = [1.0]\nmodel = functools.partial(lambda x, k: k[0] * x, k=k)",
    "k[0] = 2.0",
)
cells(
    "callable_object", "class C:\n  def __call__(self, x): return x\nmodel = C()", "C.__call__ = lambda self, x: 2 * x"
)
cells("bound_method", "class C:\n  k = 1.0\n  def f(self, x): return self.k * x\nc = C()\nmodel = c.f", "c.k = 2.0")
cells(
    "closure",
    "def make():\n  k = 1.0\n  def f(x): return k * x\n  def to(v):\n    nonlocal k\n    k = v\n"
    "  return f, to\nmodel, to = make()",
    "to(2.0)",
)
cells("array_in_a_closure", "def make(a):\n  return lambda x: a * x\na = np.ones(4)\nmodel = make(a)", "a[1] = 3")
cells(
    "module_of_variables",
    "class M(tf.Module):\n  def __init__(self): self.w = tf.Variable(1.0, dtype=tf.float64)\n"
    "  def __call__(self, x): return self.w * x\nmodel = M()",
    "model.w.assign(2.0)",
)
cells(
    "variable_that_is_replaced",
    "class M(tf.Module):\n  def __init__(self): self.w = tf.Variable(1.0, dtype=tf.float64)\n"
    "  def __call__(self, x): return self.w * x\nmodel = M()",
    "model.w = tf.Variable(2.0, dtype=tf.float64)",
)


def module(name, source):
    made = types.ModuleType(name)
    exec(source, vars(made))  # noqa: S102 - a module of the user's
    sys.modules[name] = made
    return made


@case
def attribute_of_a_module():
    helper = module("helper_of_the_tests", "SCALE = 1.0")
    made = notebook("def model(x): return helper.SCALE * x")
    made.helper = helper
    return made.model, lambda: setattr(helper, "SCALE", 2.0)


@case
def function_of_a_module():
    helper = module("helper_of_the_tests", "K = 1.0\ndef f(x): return K * x")
    made = notebook("def model(x): return helper.f(x)")
    made.helper = helper
    return made.model, lambda: setattr(helper, "K", 2.0)


@case
def module_in_a_module():
    helper = module("helper_of_the_tests", "")
    helper.inner = module("helper_of_the_tests.inner", "K = 1.0")
    made = notebook("def model(x): return helper.inner.K * x")
    made.helper = helper
    return made.model, lambda: setattr(helper.inner, "K", 2.0)


@case
def module_that_is_imported_in_the_function():
    helper = module("helper_of_the_tests", "K = 1.0")
    made = notebook("def model(x):\n  from helper_of_the_tests import K\n  return K * x")
    return made.model, lambda: setattr(helper, "K", 2.0)


@case
def module_as_an_attribute():
    helper = module("helper_of_the_tests", "K = 1.0")
    made = notebook("class C:\n  def __call__(self, x): return self.m.K * x\nmodel = C()")
    made.model.m = helper
    return made.model, lambda: setattr(helper, "K", 2.0)
