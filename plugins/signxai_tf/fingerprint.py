"""Whether a model is still the one that was traced.

Weights may change freely: a trace reads them anew each time. What a trace has frozen is the
model's Python state (an exchanged activation, another layer in a list, a closure's variable).
A fingerprint holds the identities of these objects and the values of plain numbers and texts; a
model with another fingerprint is traced again.

Taking a fingerprint means to decide for every object what of it matters. Whether a fingerprint is
still true needs no decision: the same objects are read in the same order, and are to hold the same.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import attrs
import keras
import tensorflow as tf

_PLAIN = (bool, int, float, complex, str, bytes, type(None), tf.dtypes.DType)
_FOLLOWED = (tf.Module, keras.layers.Layer)
_FRAMEWORKS = frozenset({"tensorflow", "keras", "tf_keras", "builtins", "numpy", "torch", "functools"})
#: Attributes of layers and modules that a call itself may touch, or that do not influence what is computed at
#: inference: what Keras and TensorFlow note about training, saving, attributes, and a layer's
#: arguments when it is made.
_IGNORED = frozenset(
    {"_losses", "_loss_ids", "_called", "_saved_model_inputs_spec", "_saved_model_arg_spec", "_parent_path"}
    | {"train_function", "test_function", "predict_function", "optimizer", "history", "stop_training", "_inbound_nodes"}
    | {"_outbound_nodes", "_metrics", "_tracker", "_obj_reference_counts_dict", "_object_ids", "_compile_config"}
    | {"_losses_override", "_build_shapes_dict", "_self_unconditional_checkpoint_dependencies"}
    | {"_self_unconditional_dependency_names", "_self_unconditional_deferred_dependencies"}
    | {"_self_name_based_restores", "_self_saveable_object_factories", "_self_update_uid", "_self_setattr_tracking"}
    | {"_tracked", "_trainable_variables", "_non_trainable_variables", "_seed_generators", "_auto_config", "_lock"}
    | {"_operations_by_depth", "_call_signature", "call_signature_parameters", "_call_context_args"}
    | {"_call_has_context_arg"}
)

#: Returns what a trace of an object may depend on, in a fixed order; ``None`` if the object is not what it was.
Reader = Callable[[Any], Iterable[Any] | None]


#: An object that was read: its place among all that was read before, its type, what reads it, and how much
#: has been read with it.
_Visit = tuple[int, type, Reader, int]


@attrs.frozen(cache_hash=True)
class Fingerprint:
    """A value that changes when the model's Python state does.

    Parameters
    ----------
    facts
        What was read: plain values as they are, all others by identity. Nothing else of the model
        is kept alive.
    """

    facts: tuple[Hashable, ...]
    _visits: tuple[_Visit, ...] = attrs.field(eq=False, repr=False)
    _identities: list[int] = attrs.field(eq=False, repr=False)

    def holds(self, model: Any) -> bool:
        """Return whether every object still holds the same; if not, another fingerprint may still be equal."""
        found = [model]
        for place, kind, read, end in self._visits:
            value = found[place]
            if type(value) is not kind:  # another object may have got the identity of one that is gone
                return False
            parts = read(value)
            if parts is None:
                return False
            found += parts
            if len(found) != end:
                return False
        return [*map(id, found)] == self._identities


def fingerprint(model: Any) -> Fingerprint:
    """Return the fingerprint of a model."""
    facts: list[Hashable] = []
    found = [model]  # keeps objects alive, so that their ids stay theirs
    waiting: list[tuple[int, Reader]] = []
    visits: list[_Visit] = []
    seen: dict[int, int] = {}
    start = 0
    while True:
        facts.append(len(found) - start)
        for place, part in enumerate(found[start:], start):
            if _is_plain(part):
                facts.append(part)
                continue
            read = _reader(part)
            if read is not None and id(part) not in seen:
                waiting.append((place, read))
                seen[id(part)] = len(waiting)
            facts.append(seen[id(part)] if read in _BY_CONTENT else id(part))
        if len(visits) == len(waiting):
            return Fingerprint(tuple(facts), tuple(visits), [*map(id, found)])
        place, read = waiting[len(visits)]
        start = len(found)
        found += read(found[place]) or ()
        visits.append((place, type(found[place]), read, len(found)))
        if isinstance(read, _Attributes):
            facts.append(read.names)


def _is_plain(value: Any) -> bool:
    """Return whether a value cannot change, and is compared as it is."""
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(isinstance(item, _PLAIN) for item in value))


def _reader(value: Any) -> Reader | None:
    """Return what reads an object; ``None`` for those that matter by their identity alone."""
    if isinstance(value, (list, tuple)):
        return list
    if isinstance(value, Mapping):
        return _items
    if isinstance(value, types.FunctionType) and _package(value) not in _FRAMEWORKS:
        return _function
    if isinstance(value, types.MethodType):
        return _method
    if isinstance(value, functools.partial):
        return _partial
    return _Attributes.of(value) if isinstance(value, _FOLLOWED) or _is_own(value) else None


def _items(value: Any) -> list[Any]:
    return [*value, *value.values()]


def _function(value: Any) -> list[Any]:
    known = value.__globals__
    names = [name for name in value.__code__.co_names if name in known]
    cells = [_content(cell) for cell in value.__closure__ or ()]
    return [value.__code__, value.__defaults__, *cells, *names, *(known[name] for name in names)]


def _method(value: Any) -> list[Any]:
    return [value.__func__, value.__self__]


def _partial(value: Any) -> list[Any]:
    return [value.func, value.args, value.keywords]


#: Readers of what matters by its content alone.
_BY_CONTENT = frozenset({list, _items})


@attrs.frozen(eq=False)
class _Attributes:
    """Reads those attributes of an object that matter.

    Parameters
    ----------
    all_names, names
        Of all the attributes that the object has, and of those that matter.
    """

    all_names: list[str]
    names: tuple[str, ...]

    @classmethod
    def of(cls, value: Any) -> _Attributes:
        """Return what reads an object."""
        ignored = _IGNORED if isinstance(value, _FOLLOWED) else frozenset()
        return cls([*vars(value)], tuple(name for name in vars(value) if name not in ignored))

    def __call__(self, value: Any) -> list[Any] | None:
        held = vars(value)
        return [held[name] for name in self.names] if [*held] == self.all_names else None


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
