"""The TensorFlow / Keras 3 backend: traces a model and differentiates its operations one by one.

Importing this package does not import TensorFlow; the registry does so when the backend is first
used.
"""

from __future__ import annotations

from signxai_core.registry import BackendEntry, hookimpl

__all__ = ["signxai_backends"]


@hookimpl
def signxai_backends() -> list[BackendEntry]:
    """Register the backend."""
    return [
        BackendEntry(
            name="tensorflow",
            factory="signxai_tf.backend:TensorFlowBackend",
            builder="signxai_tf.network:build",
            packages=("keras", "tensorflow", "tf_keras"),
        )
    ]
