"""One TensorFlow operation: its attributes, and how to run it anywhere, eagerly or in a trace."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import tensorflow as tf

from signxai_core.errors import ModelError
from signxai_tf import private


@attrs.frozen
class Signature:
    """How an operation is called.

    Parameters
    ----------
    inputs
        Name of each input, and the attribute that holds its number of tensors, if it is a list.
    outputs
        The same of the outputs.
    attributes
        Attributes that are given, and their names in Python; the others follow from the inputs.
    function
        Runs it.
    """

    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    attributes: Mapping[str, str]
    function: Callable[..., Any]


@functools.cache
def signature(name: str) -> Signature:
    """Return the signature of an operation.

    Raises
    ------
    ModelError
        For operations that TensorFlow does not offer to Python (custom operations, old graphs).
    """
    definition, function = private.op_def(name), getattr(tf.raw_ops, name, None)
    if definition is None or function is None:
        raise ModelError(f"the model runs the operation {name!r}, which tf.raw_ops does not have")
    known = [key for key in inspect.signature(function).parameters if key != "name"]
    defined = [arg.name for arg in definition.input_arg]
    inferred = {attr for arg in definition.input_arg for attr in (arg.number_attr, arg.type_attr, arg.type_list_attr)}
    attributes = [attr.name for attr in definition.attr if attr.name not in inferred]
    # Some arguments have another name in Python (reduction_indices, axis); their order is the same.
    renamed = iter([key for key in known if key not in attributes and key not in defined])
    names = [key if key in known else next(renamed) for key in defined]
    lists = [arg.number_attr or arg.type_list_attr for arg in definition.input_arg]
    return Signature(
        inputs=tuple(zip(names, lists, strict=True)),
        outputs=tuple((arg.name, arg.number_attr or arg.type_list_attr) for arg in definition.output_arg),
        attributes={key: key if key in known else next(renamed) for key in attributes},
        function=function,
    )


@functools.cache
def is_stateful(name: str) -> bool:
    """Return whether an operation may give another result when it runs again."""
    definition = private.op_def(name)
    return definition is None or bool(definition.is_stateful)


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as Python values; those that are none (functions, tensors) as they are."""
    return {name: _plain(value) for name, value in attributes.items() if not name.startswith("_")}


def _plain(value: Any) -> Any:
    field = value.WhichOneof("value")
    if field == "list":
        for name in ("s", "i", "f", "b"):
            if getattr(value.list, name):
                return list(getattr(value.list, name))
        if value.list.type:
            return [tf.dtypes.as_dtype(item) for item in value.list.type]
        return [tf.TensorShape(item) for item in value.list.shape]
    if field == "type":
        return tf.dtypes.as_dtype(value.type)
    if field == "shape":
        return tf.TensorShape(value.shape)
    return getattr(value, field) if field else None


def arrange(name: str, attributes: Mapping[str, Any], flat: Sequence[Any]) -> tuple[Any, ...]:
    """Return flat inputs as the operation's arguments: lists where it takes lists."""
    arguments: list[Any] = []
    place = 0
    for _, length in signature(name).inputs:
        if not length:
            arguments.append(flat[place])
            place += 1
            continue
        given = attributes[length]
        count = given if isinstance(given, int) else len(given)
        arguments.append(tuple(flat[place : place + count]))
        place += count
    return tuple(arguments)


def run(name: str, attributes: Mapping[str, Any], arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Run an operation; return its outputs, each a tensor or a list of tensors."""
    how = signature(name)
    named = {how.attributes[key]: value for key, value in attributes.items() if key in how.attributes}
    for (key, length), value in zip(how.inputs, arguments, strict=True):
        named[key] = list(value) if length else value
    result = how.function(**named)
    if len(how.outputs) == 1:
        return (result,)
    return tuple(result) if how.outputs else ()


def flatten(values: Sequence[Any]) -> list[Any]:
    """Return the items of arguments or outputs without their lists."""
    flat: list[Any] = []
    for value in values:
        flat += list(value) if isinstance(value, (list, tuple)) else [value]
    return flat
