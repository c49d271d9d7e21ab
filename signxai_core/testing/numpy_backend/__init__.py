"""Backends without a framework: what a backend is made of, to read and to copy.

Two are registered, both for the neutral networks of :mod:`signxai_core.testing`:

``numpy``
    An ordinary backend: the contract of :mod:`signxai_core.engine.backend` in NumPy and nothing
    else. The engine walks it like PyTorch or TensorFlow, and it passes the whole conformance suite.
    ``docs/backends.md`` goes through it.
``reference``
    The slow reference (:mod:`signxai_core.testing.reference`), which computes every rule from the
    explicit matrix of its operation. It shares no formula with the engine, so it is not a backend
    that the engine could walk: it is an :class:`~signxai_core.engine.executor.Executor`, which is
    handed the whole method. The conformance suite compares backends *with* it.

    sx.explain(network, x, "lrp_epsilon_0_1")                            # backend="numpy"
    sx.explain(network, x, "lrp_epsilon_0_1", backend="reference")
"""

from __future__ import annotations

from signxai_core.registry import BackendEntry, hookimpl

__all__ = ["signxai_backends"]


@hookimpl
def signxai_backends() -> list[BackendEntry]:
    """Register both; only ``numpy`` claims networks."""
    return [
        BackendEntry(
            name="numpy",
            factory="signxai_core.testing.numpy_backend.backend:NumpyBackend",
            builder="signxai_core.testing.numpy_backend.backend:build",
            packages=("signxai_core",),
        ),
        BackendEntry(
            name="reference",
            factory="signxai_core.testing.numpy_backend.oracle:ReferenceExecutor",
            packages=(),
            executor=True,
        ),
    ]
