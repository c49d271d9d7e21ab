"""Copy the weights of a Keras model into its twin in PyTorch, or back.

    copy_weights(keras_model, torch_module)
    copy_weights(torch_module, keras_model)

The copy says nothing about the rest of the models (activations, padding, the order of branches):
compare their maps afterwards, with ``signxai_core.compare`` or ``signxai compare``.

PyTorch is not imported here: whoever has a module has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import keras
import numpy as np
import numpy.typing as npt

from signxai_core.errors import ModelError
from signxai_tf import private
from signxai_tf.porting_layers import check_channels, features, slots, width
from signxai_tf.porting_slots import Slot

FloatArray = npt.NDArray[Any]

#: Layers that give on as many features as they read; versions of Keras differ in which of them there are.
_NORMALISATIONS = tuple(
    getattr(keras.layers, name)
    for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
    if hasattr(keras.layers, name)
)
_TYPES = ("float16", "float32", "float64")


@attrs.frozen(eq=False)
class _Named:
    """A layer with weights of its own.

    Parameters
    ----------
    path, layer
        What it is.
    order
        Keras only: how its input features would be ordered in a model with channels first, where
        that is another order.
    """

    path: str
    layer: Any
    order: npt.NDArray[np.intp] | None = None


def copy_weights(
    source: Any,
    destination: Any,
    *,
    pairs: Mapping[str, str] | None = None,
    feature_maps: Mapping[str, Sequence[int]] | None = None,
) -> tuple[tuple[str, str], ...]:
    """Copy the weights of one model into the other; the destination changes only if all of them fit.

    Layers with weights are matched in the order in which the models define them (Keras: that of
    ``model.layers``; PyTorch: that of ``named_modules()``), and have to agree in type, shape, strides,
    dilation, groups and epsilon. A bias that the source lacks becomes 0, a factor 1. The momentum of
    a batch-normalisation and PyTorch's count of batches concern training alone and stay as they are.
    ``MultiHeadAttention`` is paired with ``nn.MultiheadAttention`` and ``Bidirectional`` with a
    bidirectional layer as a whole where the PyTorch model has these, else part by part.

    Parameters
    ----------
    source, destination
        A built ``keras.Model`` and a ``torch.nn.Module``, either way round.
    pairs
        Path of a layer in the source -> path in the destination, for all layers with weights, where
        the orders differ.
    feature_maps
        Path of a Keras layer -> shape ``(height, width, channels)`` of the feature map (channels
        last, without the batch) whose flattened values it reads. Needed where no ``Flatten`` layer
        tells. A shape of one length, ``(features,)``, says that both models have the same order.
        A convolution whose inputs seem to be reshaped outputs of a dense layer, and are not, is
        given its number of input channels, ``(channels,)``.

    Returns
    -------
    tuple
        The paths of the layers that were paired, source first.

    Raises
    ------
    ModelError
        Naming the layers, where a weight cannot be copied.
    """
    to_torch = _is_keras(source)
    if to_torch == _is_keras(destination) or not _is_torch(destination if to_torch else source):
        given = f"{type(source).__name__} and {type(destination).__name__}"
        raise ModelError(f"weights are copied between a keras.Model and a torch.nn.Module, got {given}")
    module = destination if to_torch else source
    whole = _kept_whole(module)
    keras_layers = _keras_layers(source if to_torch else destination, dict(feature_maps or {}), whole)
    torch_layers = _torch_layers(module)
    matched = _matched(*((keras_layers, torch_layers) if to_torch else (torch_layers, keras_layers)), pairs)
    writes: list[Callable[[], None]] = []
    for one, two in matched:
        of_keras, of_torch = (one, two) if to_torch else (two, one)
        names = f"{one.path!r} ({type(one.layer).__name__}) and {two.path!r} ({type(two.layer).__name__})"
        try:
            found = slots(of_keras.layer, of_torch.layer, of_keras.order)
            writes += [write for slot in found for write in _writes(slot, to_torch=to_torch)]
        except ModelError as error:
            raise ModelError(f"the weights of {names} cannot be copied: {error}. Nothing was changed") from error
    for write in writes:
        write()
    return tuple((one.path, two.path) for one, two in matched)


def _matched(
    source: Sequence[_Named], destination: Sequence[_Named], pairs: Mapping[str, str] | None
) -> list[tuple[_Named, _Named]]:
    if pairs is not None:
        return _given(source, destination, pairs)
    if len(source) == len(destination):
        return list(zip(source, destination, strict=True))
    longer, what = (source, "source") if len(source) > len(destination) else (destination, "destination")
    extra = longer[min(len(source), len(destination))]
    raise ModelError(
        f"the source has {len(source)} layers with weights, the destination {len(destination)}: {extra.path!r} "
        f"({type(extra.layer).__name__}) of the {what} is the first without a partner. Nothing was changed"
    )


def _given(
    source: Sequence[_Named], destination: Sequence[_Named], pairs: Mapping[str, str]
) -> list[tuple[_Named, _Named]]:
    by_source, by_destination = ({one.path: one for one in layers} for layers in (source, destination))
    wrong = [f"{path!r} of the source is not paired" for path in by_source if path not in pairs]
    wrong += [f"{path!r} of the destination is not paired" for path in by_destination if path not in pairs.values()]
    wrong += [f"the source has no layer with weights {path!r}" for path in pairs if path not in by_source]
    wrong += [
        f"the destination has no layer with weights {path!r}" for path in pairs.values() if path not in by_destination
    ]
    if wrong or len(set(pairs.values())) < len(pairs):
        raise ModelError(f"pairs does not fit the models: {'; '.join(wrong) or 'a layer of the destination is twice'}")
    return [(by_source[a], by_destination[b]) for a, b in pairs.items()]


def _writes(slot: Slot, *, to_torch: bool) -> Iterator[Callable[[], None]]:
    """Check one array, and yield what puts it in its place."""
    given, wanted = (slot.keras, slot.torch) if to_torch else (slot.torch, slot.keras)
    if wanted is None:
        if given is not None and not slot.is_counted and not np.all(_read(given, slot.name) == slot.neutral):
            raise ModelError(f"the destination has no {slot.name}")
        return
    dtype = _dtype(wanted, slot.name)
    if given is None:
        if slot.neutral is None:
            raise ModelError(f"the source has no {slot.name}")
        array = np.full(tuple(wanted.shape), slot.neutral, dtype)
    else:
        array = (slot.to_torch if to_torch else slot.to_keras)(_read(given, slot.name))
        if _dtype(given, slot.name) != dtype:
            raise ModelError(f"the {slot.name} is {_dtype(given, slot.name)} in the source and {dtype} in the other")
    if array.shape != tuple(wanted.shape):
        raise ModelError(f"the {slot.name} gives an array of shape {array.shape}, and {tuple(wanted.shape)} is needed")
    yield lambda: _write(wanted, array)


def _dtype(weight: Any, name: str) -> str:
    dtype = str(weight.dtype).removeprefix("torch.")
    if dtype not in _TYPES:
        raise ModelError(f"the {name} has the type {dtype}, and one of {', '.join(_TYPES)} is needed")
    return dtype


def _read(weight: Any, name: str) -> FloatArray:
    _dtype(weight, name)
    return np.array(weight.detach().cpu().numpy() if hasattr(weight, "detach") else weight.numpy())


def _write(weight: Any, array: FloatArray) -> None:
    if not hasattr(weight, "detach"):
        weight.assign(array)
        return
    torch = sys.modules["torch"]
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _is_keras(model: Any) -> bool:
    return isinstance(model, keras.Model)


def _is_torch(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _kept_whole(model: Any) -> tuple[type, ...]:
    """Return the Keras layers that have one twin for all their parts in a PyTorch model."""
    nn = sys.modules["torch"].nn
    modules = list(model.modules())
    found: list[type] = []
    if any(isinstance(module, nn.MultiheadAttention) for module in modules):
        found.append(keras.layers.MultiHeadAttention)
    if any(getattr(module, "bidirectional", False) for module in modules):
        found.append(keras.layers.Bidirectional)
    return tuple(found)


def _torch_layers(model: Any) -> list[_Named]:
    nn = sys.modules["torch"].nn
    found = []
    parts = {id(module.out_proj) for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    for path, module in model.named_modules():
        if id(module) in parts:
            continue  # of the attention that holds it
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        lazy = [name for name, tensor in own if type(tensor).__name__.startswith("Uninitialized")]
        if lazy:
            raise ModelError(f"{path!r} ({type(module).__name__}) has no {lazy[0]} yet: call the model once")
        if own:
            found.append(_Named(path, module))
    return found


def _keras_layers(model: Any, feature_maps: dict[str, Sequence[int]], whole: tuple[type, ...]) -> list[_Named]:
    """Return the layers with weights, and the order of features that arrive flattened."""
    if not model.built:
        raise ModelError(f"the model {model.name!r} has no weights yet: call it once on an example")
    found: list[_Named] = []
    order: npt.NDArray[np.intp] | None = None
    flatten, previous = None, None
    for path, layer in _walk(model, "", set(), whole):
        if isinstance(layer, keras.layers.Flatten):
            flatten = layer
        elif _own_weights(layer) or isinstance(layer, whole):
            check_channels(path, layer, found[-1].layer if found else None, feature_maps)
            if path in feature_maps or flatten is not None or width(layer) not in (None, previous):
                order = features(path, layer, flatten, previous, feature_maps.pop(path, None))
            keeps = isinstance(layer, keras.layers.BatchNormalization)
            found.append(_Named(path, layer, order))
            order, flatten, previous = (order if keeps else None), None, _outputs(layer, previous)
    if feature_maps:
        raise ModelError(f"feature_maps names {next(iter(feature_maps))!r}, which is no layer with weights")
    return found


def _walk(layer: Any, path: str, seen: set[int], whole: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yield all layers in the order of their definition, each once."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for inner in () if isinstance(layer, whole) else private.sublayers(layer):
        yield from _walk(inner, f"{path}.{inner.name}" if path else inner.name, seen, whole)


def _own_weights(layer: Any) -> list[Any]:
    inside = {id(weight) for inner in private.sublayers(layer) for weight in inner.weights}
    return [weight for weight in layer.weights if id(weight) not in inside]


def _outputs(layer: Any, previous: int | None) -> int | None:
    """Return how many channels or features a layer gives on."""
    if isinstance(layer, _NORMALISATIONS):
        return width(layer) or previous
    return next((getattr(layer, name) for name in ("units", "filters", "output_dim") if hasattr(layer, name)), None)
