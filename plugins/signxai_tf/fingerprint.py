"""Whether a model is still the one that was traced.

Weights may change freely: a trace reads them anew each time. What a trace has frozen is the
model's Python state (an exchanged activation, another layer in a list, a closure's variable).
A fingerprint holds the identities of these objects and the values of plain numbers and texts; a
model with another fingerprint is traced again.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

_PLAIN = (bool, int, float, complex, str, bytes, type(None), tf.dtypes.DType)
_PLAIN_TYPES = frozenset(_PLAIN)
_FOLLOWED = (tf.Module, keras.layers.Layer)
_FRAMEWORKS = frozenset({"tensorflow", "keras", "tf_keras", "builtins", "numpy", "torch", "functools"})
#: State that a call itself may touch, or that does not influence what is computed at inference.
_IGNORED = frozenset(
    {"_losses", "_loss_ids", "_called", "_saved_model_inputs_spec", "_saved_model_arg_spec", "_parent_path"}
    | {"train_function", "test_function", "predict_function", "optimizer", "history", "stop_training", "_inbound_nodes"}
    | {"_outbound_nodes", "_metrics", "_tracker", "_obj_reference_counts_dict", "_object_ids", "_compile_config"}
)


def fingerprint(model: Any) -> Hashable:
    """Return a value that changes when the model's Python state does."""
    found: list[Hashable] = []
    _add_facts(found, model, {})
    return tuple(found)


def _add_facts(found: list[Hashable], value: Any, seen: dict[int, Any]) -> None:
    """Add what is compared to ``found``; ``seen`` keeps objects alive so that their ids stay theirs."""
    if isinstance(value, _PLAIN):
        found.append(value)
        return
    if not isinstance(value, (list, tuple, Mapping)):
        found.append(id(value))
    if id(value) in seen:
        return
    seen[id(value)] = value
    for key, item in _parts(value):
        found.append(key)
        if type(item) in _PLAIN_TYPES:  # most are, and a call for each would take most of the time
            found.append(item)
        else:
            _add_facts(found, item, seen)


def _parts(value: Any) -> Iterator[tuple[Hashable, Any]]:
    """Yield what a trace of ``value`` may depend on."""
    if isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif isinstance(value, Mapping):
        yield from ((key if isinstance(key, _PLAIN) else id(key), item) for key, item in value.items())
    elif isinstance(value, types.FunctionType) and _package(value) not in _FRAMEWORKS:
        yield "code", id(value.__code__)
        yield "defaults", value.__defaults__
        yield "closure", [_content(cell) for cell in value.__closure__ or ()]
        yield "globals", {n: value.__globals__[n] for n in value.__code__.co_names if n in value.__globals__}
    elif isinstance(value, types.MethodType):
        yield "function", value.__func__
        yield "self", value.__self__
    elif isinstance(value, functools.partial):
        yield from enumerate((value.func, value.args, value.keywords))
    elif isinstance(value, _FOLLOWED) or _is_own(value):
        yield from ((k, v) for k, v in vars(value).items() if k not in _IGNORED)


def _is_own(value: Any) -> bool:
    """Return whether an object is a user's: neither a framework's, nor a module or class."""
    return _package(type(value)) not in _FRAMEWORKS and hasattr(value, "__dict__")


def _package(value: Any) -> str:
    return str(value.__module__).partition(".")[0]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell: a name that is not bound yet
        return None
