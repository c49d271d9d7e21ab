"""The backend under test, as the checks see it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

import signxai_core.api as sx
from signxai_core.engine.backend import Backend, Operation, Recording
from signxai_core.errors import BackendError
from signxai_core.registry import registry
from signxai_core.registry.entries import load
from signxai_core.specs.methods import MethodSpec
from signxai_core.testing.conformance.probes import PROBES, Probe
from signxai_core.testing.network import Network
from signxai_core.testing.nodes import Array, Node


class DisagreementError(AssertionError):
    """The backend does something else than the contract says."""


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - the condition is what is asserted
    """Raise :class:`DisagreementError` unless the condition holds."""
    if not condition:
        raise DisagreementError(message)


def same(what: str, got: Any, expected: npt.ArrayLike, tolerance: float, *, scale: float = 0.0) -> None:
    """Raise :class:`DisagreementError` unless two arrays agree.

    Parameters
    ----------
    what
        For the message.
    got, expected
        Arrays.
    tolerance
        Largest difference allowed, relative to the largest expected number.
    scale
        Counts instead of the largest expected number where it is larger.
    """
    left, right = np.asarray(got), np.asarray(expected)
    require(left.shape == right.shape, f"{what}: shape {left.shape}, expected {right.shape}")
    if not right.size:
        return
    require(bool(np.isfinite(left).all()), f"{what}: holds NaN or infinite numbers")
    largest = max(float(np.abs(right).max()), scale)
    difference = np.abs(left - right)
    worst = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    require(
        float(difference.max()) <= tolerance * largest,
        f"{what}: differs by {difference.max():.2e} (largest number {largest:.2e}), at {worst}: "
        f"{left[worst]:.6g}, expected {right[worst]:.6g}",
    )


@attrs.define(eq=False)
class Subject:
    """A registered backend with its builder; models and recordings of probes are made once.

    Parameters
    ----------
    name
        As registered.
    backend
        The instance that checks of the contract talk to.
    build
        Makes a float64 model from a :class:`~signxai_core.testing.network.Network`. Layers are
        named by the nodes' layers, so that an operation's path is the name. Where it has an
        attribute ``channels_last`` that is true, the model takes (batch, ..., channels). Where it has
        an attribute ``absent``, that returns for a network what the framework has no operation for,
        or ``None``.
    """

    name: str
    backend: Backend
    build: Callable[[Network], Any]
    _models: dict[str, Any] = attrs.field(factory=dict, init=False)
    _recordings: dict[tuple[str, bool], Recording] = attrs.field(factory=dict, init=False)

    @property
    def channels_last(self) -> bool:
        """Whether the models take channels last."""
        return bool(getattr(self.build, "channels_last", False))

    def absent(self, place: str) -> str | None:
        """Return why the framework cannot run the probe of that name, or ``None`` where it can."""
        reason = getattr(self.build, "absent", None)
        return None if reason is None or place not in PROBES else reason(PROBES[place].network)

    def model(self, probe: Probe) -> Any:
        """Return the model of a probe."""
        if probe.name not in self._models:
            self._models[probe.name] = self.build(probe.network)
        return self._models[probe.name]

    def record(self, probe: Probe, *, generic: bool = False) -> Recording:
        """Return the recording of a probe on its input, or on its generic input."""
        key = (probe.name, generic)
        if key not in self._recordings:
            x = probe.generic if generic else probe.x
            self._recordings[key] = self.backend.record(self.model(probe), self.given(x))
        return self._recordings[key]

    def given(self, array: Array) -> Array:
        """Return a channels-first batch in the layout of the models."""
        swap = self.channels_last and array.ndim > 2
        return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if swap else array

    def neutral(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a batch in the layout of the models with channels first."""
        return np.moveaxis(array, -1, 1) if self.channels_last and array.ndim > 2 else array

    def numpy(self, array: Any) -> npt.NDArray[Any]:
        """Return a native array as NumPy's."""
        return self.backend.to_numpy(array)

    def native(self, array: Array, like: Any) -> Any:
        """Return an array as the backend's own."""
        return self.backend.asarray(array, like)

    def relevance(self, probe: Probe, x: Array, spec: MethodSpec, target: Any = None) -> Array:
        """Explain with the public function; channels first."""
        explanation = sx.explain(self.model(probe), self.given(x), spec, target, backend=self.name)
        return np.asarray(self.neutral(explanation.relevance))

    def of_node(self, recording: Recording, network: Network, node: Node) -> tuple[Operation, ...]:
        """Return the operations of a node, in order.

        Branches may have been recorded in any order, one between the other. A layer that several
        nodes share ran once for each of them: every call is a run of operations without a break.
        """
        calls = [other.name for other in network.nodes if other.layer == node.layer]
        if len(calls) == 1:
            return tuple(operation for operation in recording.operations if operation.path == node.layer)
        runs = itertools.groupby(recording.operations, key=lambda operation: operation.path)
        own = [tuple(run) for path, run in runs if path == node.layer]
        index = calls.index(node.name)
        return own[index] if index < len(own) else ()

    def core(self, recording: Recording, network: Network, node: Node) -> Operation:
        """Return the operation of a node's kind; where shape operations stand beside it, without them."""
        found = [operation for operation in self.of_node(recording, network, node) if operation.kind == node.kind]
        ran = ", ".join(f"{op.label}: {op.kind}" for op in recording.operations)
        require(bool(found), f"no operation of kind {node.kind!r} ran in layer {node.layer!r}; recorded: {ran}")
        return found[-1]


def load_subject(name: str) -> Subject:
    """Return the registered backend of that name.

    Raises
    ------
    BackendError
        It names no builder, or is an engine of its own.
    PluginError
        Its framework cannot be imported.
    """
    owned = registry().backend(name)
    if owned.entry.executor:
        raise BackendError(
            f"backend {name!r} carries out whole methods with an engine of its own; the suite is for backends that "
            "the engine of this library walks. Compare its maps with another backend's: signxai_core.compare"
        )
    if owned.entry.builder is None:
        raise BackendError(
            f"backend {name!r} names no builder; give BackendEntry(builder='package.module:build'), a function that "
            "makes a model from a signxai_core.testing.Network"
        )
    return Subject(name, owned.make(), load(owned.entry.builder, owned.owner))


def inputs_of(recording: Recording, operation: Operation) -> Sequence[Any]:
    """Return the recorded inputs of an operation."""
    return [recording.values[tensor] for tensor in operation.inputs]
