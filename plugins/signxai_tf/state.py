"""What of a Python object a trace may depend on: the objects that it holds, and what is read as a number.

A reader lists the objects that another one holds, always in the same order. Objects of the user's, their
classes, functions and modules are read; so are Keras layers and modules of TensorFlow. Of other libraries only
what the model's own objects are made of is read, and of TensorFlow, Keras and NumPy nothing.
"""

from __future__ import annotations

import functools
import types
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import attrs
import keras
import numpy as np
import tensorflow as tf

from signxai_core.libraries import STANDARD_LIBRARY, is_library, package
from signxai_tf import private
from signxai_tf.code import ABSENT, Function
from signxai_tf.content import SEQUENCES

#: Returns what an object holds, in a fixed order; ``None`` if the object is not of the form it was.
Reader = Callable[[Any], "list[Any] | None"]

_FOLLOWED = (tf.Module, keras.Operation, private.AutoTrackable)
_FRAMEWORKS = frozenset({"tensorflow", "keras", "tf_keras", "builtins", "numpy", "torch"})
#: Modules of the standard library whose objects are containers of a user's.
_CONTAINERS = frozenset({"collections", "functools", "types", "os", "_frozen_importlib"})
#: Attributes of layers and modules that a call itself may touch, or that do not influence what is computed at
#: inference: what Keras and TensorFlow note about saving, attributes, and a layer's arguments when it is made.
_IGNORED = frozenset(
    {"_losses", "_loss_ids", "_called", "_saved_model_inputs_spec", "_saved_model_arg_spec", "_parent_path"}
    | {"_inbound_nodes", "_outbound_nodes", "_metrics", "_tracker", "_obj_reference_counts_dict", "_object_ids"}
    | {"_losses_override", "_build_shapes_dict", "_self_unconditional_checkpoint_dependencies"}
    | {"_self_unconditional_dependency_names", "_self_unconditional_deferred_dependencies"}
    | {"_self_name_based_restores", "_self_saveable_object_factories", "_self_update_uid", "_self_setattr_tracking"}
    | {"_tracked", "_trainable_variables", "_non_trainable_variables", "_seed_generators", "_auto_config", "_lock"}
    | {"_operations_by_depth", "_call_signature", "call_signature_parameters", "_call_context_args"}
    | {"_call_has_context_arg"}
)
#: The same of whole models, which Keras sets when they are trained.
_IGNORED_OF_MODELS = _IGNORED | {
    "train_function",
    "test_function",
    "predict_function",
    "optimizer",
    "history",
    "stop_training",
    "_compile_config",
}
#: Methods of classes that no inference runs.
_NOT_RUN = frozenset(
    {"train_step", "test_step", "predict_step", "fit", "evaluate", "predict", "compile", "get_config", "from_config"}
)


def settings() -> tuple[Hashable, ...]:
    """Return Keras's global settings, which any layer may read."""
    config = keras.config
    return config.floatx(), config.image_data_format(), config.epsilon(), config.dtype_policy().name


def reader(value: Any, inside: str) -> Reader | None:
    """Return what reads an object; ``None`` for those that matter by their identity alone.

    Parameters
    ----------
    value
        The object.
    inside
        The package of what holds it.
    """
    readers = [*_special(value, inside)]
    if _has_attributes(value):
        readers.append(_Attributes.of(value))
    if len(readers) < 2:
        return readers[0] if readers else None
    return _Several(tuple(readers))


def _special(value: Any, inside: str) -> Iterator[Reader]:
    """Yield what reads the content of an object that is more than its attributes."""
    if isinstance(value, (types.FunctionType, type, types.ModuleType)):
        found = _of_code(value, inside)
        if found is not None:
            yield found
        return
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            yield _flat
        return
    fields = next((fields for kind, fields in _FIELDS.items() if isinstance(value, kind)), None)
    if fields is not None:
        yield fields
    if isinstance(value, (*SEQUENCES, Mapping)) and not _is_attribute_mapping(value):
        yield _contents(value)


def _of_code(value: Any, inside: str) -> Reader | None:
    """Return what reads a function, class or module."""
    if isinstance(value, types.ModuleType):
        return None if is_library(package(value)) else _Module.of(value)
    if _is_own(value, inside):
        return Function.of(value) if isinstance(value, types.FunctionType) else _Class.of(value)
    return _calls if isinstance(value, type) and issubclass(value, _FOLLOWED) else None


def _contents(value: Any) -> Reader:
    """Return what reads the items of a container, even where its class says what they look like."""
    if is_library(package(type(value))) or not isinstance(value, (*SEQUENCES, dict)):
        return _items if isinstance(value, Mapping) else list
    if isinstance(value, dict):
        return lambda given: [*dict.keys(given), *dict.values(given)]
    base: Any = next(base for base in SEQUENCES if isinstance(value, base))
    return lambda given: [*base.__iter__(given)]


def _is_attribute_mapping(value: Any) -> bool:
    """Return whether a mapping is written in Python, with a mapping among its attributes."""
    return isinstance(value, Mapping) and not isinstance(value, dict) and _has_attributes(value)


def _items(value: Any) -> list[Any]:
    return [*value, *value.values()]


def _flat(value: Any) -> list[Any]:
    return [*value.flat]


def _calls(value: Any) -> list[Any]:
    """Return what a class of a framework runs, which may have been replaced."""
    called = (vars(base)["__call__"] for base in value.__mro__ if "__call__" in vars(base))
    return [getattr(value, "call", None), next(called, None)]


def _fields(*names: str) -> Reader:
    return lambda value: [getattr(value, name) for name in names]


_FIELDS: dict[Any, Reader] = {
    types.MethodType: _fields("__func__", "__self__"),
    types.BuiltinMethodType: _fields("__self__"),
    functools.partial: _fields("func", "args", "keywords"),
    staticmethod: _fields("__func__"),
    classmethod: _fields("__func__"),
    property: _fields("fget", "fset", "fdel"),
    defaultdict: _fields("default_factory"),
}


def _is_own(value: Any, inside: str) -> bool:
    """Return whether a function or class is the user's, or of the library that holds it."""
    own = package(value)
    return own not in _FRAMEWORKS and (own == inside or not is_library(own))


def _has_attributes(value: Any) -> bool:
    """Return whether the attributes of an object are read."""
    if isinstance(value, (type, types.ModuleType, types.FunctionType)):
        return False
    if isinstance(value, _FOLLOWED):
        return True
    own = package(type(value))
    if own in _FRAMEWORKS or not (hasattr(value, "__dict__") or _slots(type(value))):
        return isinstance(value, np.ma.MaskedArray)
    return own in _CONTAINERS or own not in STANDARD_LIBRARY


def _slots(kind: type) -> tuple[str, ...]:
    """Return the names of the slots of a class's objects."""
    members = (vars(base).items() for base in kind.__mro__ if "__slots__" in vars(base))
    return tuple(name for found in members for name, m in found if isinstance(m, types.MemberDescriptorType))


@attrs.frozen(eq=False)
class _Several:
    """Several readers of one object, as one."""

    readers: tuple[Reader, ...]

    def __call__(self, value: Any) -> list[Any] | None:
        found: list[Any] = []
        for read in self.readers:
            parts = read(value)
            if parts is None:
                return None
            found += parts
        return found


@attrs.frozen(eq=False)
class _Attributes:
    """Reads those attributes of an object that matter, and its class.

    Parameters
    ----------
    all_names, names
        Of all the attributes that the object has, and of those that matter.
    slots
        Of those that have a place of their own in the object.
    """

    all_names: list[str]
    names: tuple[str, ...]
    slots: tuple[str, ...]

    @classmethod
    def of(cls, value: Any) -> _Attributes:
        """Return what reads an object."""
        ignored: frozenset[str] = _IGNORED if isinstance(value, _FOLLOWED) else frozenset()
        ignored = _IGNORED_OF_MODELS if isinstance(value, keras.Model) else ignored
        names = [*getattr(value, "__dict__", ())]
        return cls(names, tuple(name for name in names if name not in ignored), _slots(type(value)))

    def __call__(self, value: Any) -> list[Any] | None:
        held = getattr(value, "__dict__", {})
        if [*held] != self.all_names:
            return None
        slots = [getattr(value, name, ABSENT) for name in self.slots] if self.slots else ()
        return [type(value), *slots, *[held[name] for name in self.names]]


@attrs.frozen(eq=False)
class _Class:
    """Reads what a class defines, and the classes it is derived from."""

    all_names: list[str]
    names: tuple[str, ...]

    @classmethod
    def of(cls, value: Any) -> _Class:
        """Return what reads a class."""
        names = [*vars(value)]
        # What Python itself notes about a class begins and ends like its special methods, and is no function.
        return cls(names, tuple(name for name in names if name not in _NOT_RUN and _matters(name, vars(value)[name])))

    def __call__(self, value: Any) -> list[Any] | None:
        held = vars(value)
        if [*held] != self.all_names:
            return None
        return [value.__bases__, *[held[name] for name in self.names]]


def _matters(name: str, value: Any) -> bool:
    return not (name.startswith("__") and name.endswith("__")) or callable(value)


@attrs.frozen(eq=False)
class _Module:
    """Reads the names of a module."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, value: Any) -> _Module:
        """Return what reads a module."""
        return cls((*vars(value),))

    def __call__(self, value: Any) -> list[Any] | None:
        held = vars(value)
        return [held[name] for name in self.names if _matters(name, None)] if (*held,) == self.names else None
