"""Everything that TensorFlow and Keras do not offer publicly, in one place.

:data:`TRIED` lists the versions that passed the tests. Each function says what happens where a
version lacks what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import op_def_registry

#: TensorFlow, Keras and Python that were tried together.
TRIED: Final = (
    ("2.16.2", "3.12.4", "3.10"),
    ("2.18.1", "3.15.1", "3.12"),
    ("2.19.1", "3.15.1", "3.11"),
    ("2.20.0", "3.15.1", "3.13"),
    ("2.21.0", "3.15.1", "3.11"),
)

#: What TensorFlow derives objects from that hold variables: tf.Module, Keras layers, loaded SavedModels. Without it
#: the last are followed by their identity alone.
AutoTrackable: Any = getattr(getattr(tf.__internal__, "tracking", None), "AutoTrackable", tf.Module)

#: Attributes of a Keras layer that its first call sets, for the sake of saving it later.
_FIRST_CALL = ("_saved_model_inputs_spec", "_saved_model_arg_spec")


def op_def(name: str) -> Any:
    """Return the definition of an operation: names of its inputs, outputs and attributes."""
    return op_def_registry.get(name)


def takes_resource(name: str) -> bool:
    """Return whether an operation takes a handle, of a variable for example."""
    definition = op_def(name)
    return definition is not None and any(arg.type == types_pb2.DT_RESOURCE for arg in definition.input_arg)


def running_calls() -> list[tuple[Any, Any]]:
    """Return scope and layer of the calls of Keras layers in progress in this thread, outermost first.

    Keras keeps them on a stack of name scopes. Without that stack none is known, and paths are taken
    from the names of the operations.
    """
    stack = global_state.get_global_attribute("name_scope_stack") or []
    return [(scope, scope.caller) for scope in stack if getattr(scope, "caller", None) is not None]


def running_layers() -> list[Any]:
    """Return the Keras layers that are being called in this thread, outermost first."""
    return [layer for _, layer in running_calls()]


def is_training() -> bool:
    """Return whether the Keras layer that is being called is called for training; ``False`` where unknown."""
    return bool(getattr(global_state.get_global_attribute("current_call_ctx"), "training", False))


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator] # TensorFlow is untyped
def observe(graph: Any, created: Callable[[str], None]) -> None:
    """Call ``created`` with the name of every operation that is added to ``graph``.

    ``graph`` is one that we are tracing; the method is replaced on that object alone. Without the
    method nothing is observed.
    """
    create = getattr(graph, "_create_op_internal", None)
    if create is None:
        return

    def observed(*args: Any, **kwargs: Any) -> Any:
        operation = create(*args, **kwargs)
        created(operation.name)
        return operation

    graph._create_op_internal = observed  # noqa: SLF001


def sublayers(layer: Any) -> list[Any]:
    """Return the layers directly inside a Keras layer."""
    return list(getattr(layer, "_layers", ()))


def first_call_state(layers: list[Any]) -> list[tuple[Any, str]]:
    """Return what a first call would set on layers that have never been called."""
    return [(layer, name) for layer in layers for name in _FIRST_CALL if getattr(layer, name, 0) is None]


def forget_first_call(state: list[tuple[Any, str]]) -> None:
    """Undo what our call set, so that saving the model later sees the user's first call."""
    for layer, name in state:
        object.__setattr__(layer, name, None)


def restored_argument_names(function: Any) -> tuple[str, ...]:
    """Return the argument names of a function loaded from a SavedModel; none where unknown."""
    spec = getattr(function, "function_spec", None) or getattr(function, "_function_spec", None)
    names = getattr(getattr(spec, "fullargspec", None), "args", None)
    return tuple(names or ())


def call_flat(function: Any, inputs: Sequence[Any]) -> list[Any]:
    """Call a concrete function with all inputs of its graph, those that it captured included.

    Without the entry for that the operation that calls functions does it, which TensorFlow keeps
    for longer than the function.
    """
    types = [tensor.dtype for tensor in function.outputs]
    if not types:
        return []
    inner = getattr(function, "inference_fn", None)
    if inner is None:
        return list(tf.raw_ops.PartitionedCall(args=list(inputs), Tout=types, f=function))
    return list(inner.call_flat(*inputs))


def make_tensor(proto: Any) -> Any:
    """Return the tensor of a constant's attribute."""
    return tf.constant(tf.make_ndarray(proto), dtype=tf.dtypes.as_dtype(proto.dtype))
