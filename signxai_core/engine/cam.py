"""Class-activation maps from an activation and its gradient (Selvaraju et al. 2017), in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.engine.backend import Operation, Recording
from signxai_core.engine.structure import Structure
from signxai_core.errors import PlanError
from signxai_core.specs.methods import Cam, Preset
from signxai_core.specs.operations import kind

FloatArray = npt.NDArray[Any]


def activation(structure: Structure, cam: Cam, preset: Preset | None) -> tuple[int, str]:
    """Return the id of the tensor that the map is made of, and what it is, in words.

    A layer that is named is taken literally: the tensor is what that layer returns. The last
    convolution, and the layer of a preset, come with their activation.

    Raises
    ------
    PlanError
        Without a convolution, or without the layer that ``last_conv`` names.
    """
    operations = [operation for group in structure.groups for operation in group.operations]
    operations.sort(key=lambda operation: operation.index)
    if cam.last_conv is not None:
        named = _layer(operations, cam.last_conv)
        if named is not None:
            return named.outputs[0], named.label
        paths = ", ".join(dict.fromkeys(operation.path for operation in operations if operation.path))
        raise PlanError(
            f"last_conv = {cam.last_conv!r} names no layer that ran; layers that ran: {paths or '(unnamed)'}"
        )
    chosen = None
    if preset is not None and preset.last_conv is not None:
        # The name is one framework's; the layer is the last convolution in every framework.
        chosen = _layer(operations, preset.last_conv)
    if chosen is None:
        convolutions = [operation for operation in operations if operation.kind == "convolution"]
        if not convolutions:
            raise PlanError(
                "class-activation maps need a convolution, but none was recorded between input and output; "
                "give last_conv='layer' to use another layer with spatial axes"
            )
        chosen = convolutions[-1]
    behind = _to_activation(structure, chosen)
    if not behind:
        return chosen.outputs[0], chosen.label
    return behind[-1].outputs[0], f"{chosen.label} with {', '.join(operation.label for operation in behind)}"


def _layer(operations: list[Operation], path: str) -> Operation | None:
    """Return the last operation that ran in a layer or in the layers inside it."""
    inside = [op for op in operations if op.path == path or op.path.startswith(f"{path}.")]
    return inside[-1] if inside else None


def _to_activation(structure: Structure, operation: Operation) -> list[Operation]:
    """Return the operations behind one, up to its activation, if there is one."""
    behind: list[Operation] = []
    tensor = operation.outputs[0]
    while len(structure.consumers.get(tensor, ())) == 1 and tensor != structure.recording.output:
        behind.append(structure.consumers[tensor][0])
        if kind(behind[-1].kind).elementwise:
            return behind
        if behind[-1].kind != "dropout" and not kind(behind[-1].kind).affine:
            break
        tensor = behind[-1].outputs[0]
    return []


def class_activation_map(
    recording: Recording, tensor: FloatArray, gradient: FloatArray, x: FloatArray, cam: Cam
) -> FloatArray:
    """Return ``max(0, Σ_k w_k A_k)``, interpolated and broadcast to the input's shape.

    Parameters
    ----------
    recording
        For its channel axis.
    tensor, gradient
        A and ∂logit/∂A, shape ``(N, channels, *spatial)`` or ``(N, *spatial, channels)``.
    x
        The input.
    cam
        Number of spatial axes, interpolation, normalisation.
    """
    spatial = x.ndim - 2
    if tensor.ndim != x.ndim or spatial < 1:
        raise PlanError(
            f"a class-activation map needs an activation with as many axes as the input, but the layer's output "
            f"has shape {tensor.shape} and the input {x.shape}; choose another layer with last_conv"
        )
    if cam.series and spatial != 1:
        raise PlanError(
            f"grad_cam_timeseries is for inputs with one spatial axis, got shape {x.shape} with {spatial}; use grad_cam"
        )
    first = recording.channel_axis == 1
    a, g = (v if first else np.moveaxis(v, -1, 1) for v in (tensor, gradient))
    weights = g.mean(axis=tuple(range(2, g.ndim)), keepdims=True)
    heat = np.maximum((weights * a).sum(axis=1), 0)
    if cam.normalise:
        peak = heat.max(axis=tuple(range(1, heat.ndim)), keepdims=True)
        heat = np.divide(heat, peak, out=np.zeros_like(heat), where=peak > 0)
    sizes = x.shape[2:] if first else x.shape[1:-1]
    for axis, size in enumerate(sizes, start=1):
        heat = interpolate(heat, axis, size, align=cam.align)
    channels = np.expand_dims(heat, 1 if first else -1)
    return np.broadcast_to(channels, x.shape).astype(tensor.dtype)


def interpolate(values: FloatArray, axis: int, size: int, *, align: bool) -> FloatArray:
    """Interpolate linearly along one axis to a new length.

    ``align`` puts the first and last points of both lengths on each other; otherwise points are the
    centres of cells of equal width, and the ends are held constant.
    """
    length = values.shape[axis]
    if align:
        places = np.linspace(0, length - 1, size) if size > 1 else np.zeros(1)
    else:
        places = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
    low = np.minimum(np.floor(places).astype(int), length - 1)
    high = np.minimum(low + 1, length - 1)
    share = (places - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return np.asarray(np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share)
