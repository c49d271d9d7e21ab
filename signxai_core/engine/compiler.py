"""What a backend has besides, if its framework compiles functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, runtime_checkable

from signxai_core.engine.backend import Array, Recording

#: A stage of a walk: takes a recording and arrays, returns arrays and what they are.
Stage = Callable[[Recording, Sequence[Array]], tuple[Sequence[Array], Any]]


@runtime_checkable
class Compiler(Protocol):
    """What a backend has besides, if its framework compiles functions; the engine then uses both."""

    def outline(self, model: Any, x: Any, purpose: Hashable) -> Recording:
        """Return what ``record`` returns, from a compiled run.

        Its values are native arrays; its operations serve :meth:`run` and nothing else. Where the
        model cannot be compiled, the recording has no ``compiled`` handle and is an ordinary one.

        Parameters
        ----------
        model, x
            What ``record`` takes.
        purpose
            Recordings with equal purposes are asked for the same values, as a rule.
        """

    def run(
        self, recording: Recording, key: Hashable, stage: Stage, arrays: Sequence[Array]
    ) -> tuple[list[Array], Any]:
        """Return ``stage(recording, arrays)``, compiled when a key is seen for the first time.

        Parameters
        ----------
        recording
            One with a ``compiled`` handle. The stage gets it with arrays that stand for those of any
            run of the same model on inputs of the same shape; what the model's weights are is read
            in every run.
        key
            Stages that do the same have equal keys.
        stage, arrays
            A function of the backend's arrays, and what it is called with.
        """


@runtime_checkable
class Keeper(Protocol):
    """What a backend has besides, if it keeps something of a model from one call to the next."""

    def drop(self, model: Any) -> None:
        """Drop what is kept of a model."""
