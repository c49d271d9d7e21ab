"""The PyTorch backend: records a model's operations and differentiates them one by one.

Importing this package does not import PyTorch; the registry does so when the backend is first used.
"""

from __future__ import annotations

from signxai_core.registry import BackendEntry, hookimpl

__all__ = ["signxai_backends"]


@hookimpl
def signxai_backends() -> list[BackendEntry]:
    """Register the backend."""
    return [
        BackendEntry(
            name="torch",
            factory="signxai_torch.backend:TorchBackend",
            builder="signxai_torch.network:build",
            packages=("torch",),
        )
    ]
