"""Tensors and operations of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from signxai_tf import operations
from signxai_tf.layer_groups import NOWHERE, Origin

#: How a tensor depends on the model's input: not at all, with a derivative, without one.
FREE, TRACKED, TAINTED = range(3)


class NotCompilableError(Exception):
    """A model's operations depend on its numbers, or are not known before they run."""


@attrs.define(eq=False)
class Value:
    """A tensor of the run.

    Parameters
    ----------
    array
        The tensor; a list of values for tensor lists.
    state
        ``FREE``, ``TRACKED`` or ``TAINTED``.
    step, place
        What computed it, and the number of the output.
    owner
        Path of the layer that owns it, for variables.
    batch
        The batch's axis, where it is known.
    """

    array: Any
    state: int = FREE
    step: Step | None = None
    place: int = 0
    owner: str | None = None
    batch: int | None = None


@attrs.define(eq=False)
class Step:
    """An operation that ran.

    Parameters
    ----------
    op, attributes
        What ran.
    arguments
        Values, or tuples of values for arguments that are lists.
    outputs
        Values, flat.
    origin
        Path and group of the layer.
    without_bias
        Of an operation that splits a product with a bias: the outputs without it, and those of the bias.
    """

    op: str
    attributes: Mapping[str, Any]
    arguments: tuple[Any, ...]
    outputs: tuple[Value, ...] = ()
    origin: Origin = NOWHERE
    without_bias: tuple[tuple[Value, ...], ...] = ()

    @property
    def path(self) -> str:
        """Path of the layer."""
        return self.origin.path

    @property
    def group(self) -> str:
        """Name of the layer's group; empty where it is none."""
        return self.origin.group[0] if self.origin.group is not None else ""

    @property
    def inputs(self) -> list[Value]:
        """The arguments, flat."""
        return operations.flatten(self.arguments)

    @property
    def tracked(self) -> list[Value]:
        """The arguments with a derivative, flat."""
        return [value for value in self.inputs if value.state == TRACKED]
