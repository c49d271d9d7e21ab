"""The backend's array functions, against NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from signxai_core.engine.backend import Backend
from signxai_core.testing.conformance.probes import PROBES
from signxai_core.testing.conformance.subject import Subject, require, same
from signxai_core.testing.nodes import Array

_RANDOM: Final = np.random.default_rng(3)
A: Final = np.array([[1.5, -2.0, 0.0, 3.0, -0.5], [0.25, 0.0, -1.0, -4.0, 2.0]])
B: Final = np.array([[0.5, -3.0, 1.0, 3.0, -1.5], [-0.25, 0.5, -2.0, 4.0, 1.0]])
_Function = Callable[[Backend, Any, Any], Any]

#: By name: what the backend does with two native arrays, and what NumPy says.
FUNCTIONS: Final[Mapping[str, tuple[_Function, Array]]] = MappingProxyType(
    {
        "where": (lambda b, x, y: b.where(x > y, x, y), np.where(A > B, A, B)),
        "where-number": (
            lambda b, x, y: b.where(x >= 0, 1.5, b.where(x < y, x, 0.0)),
            np.where(A >= 0, 1.5, np.where(A < B, A, 0)),
        ),
        "maximum": (lambda b, x, y: b.maximum(x, y), np.maximum(A, B)),
        "maximum-number": (lambda b, x, _: b.maximum(x, 0.0), np.maximum(A, 0.0)),
        "minimum": (lambda b, x, y: b.minimum(x, y), np.minimum(A, B)),
        "minimum-number": (lambda b, x, _: b.minimum(x, 0.0), np.minimum(A, 0.0)),
        "abs": (lambda b, x, _: b.abs(x), np.abs(A)),
        "copysign": (lambda b, x, y: b.copysign(y, x), np.where(A >= 0, np.abs(B), -np.abs(B))),
        "copysign-zeros": (lambda b, x, y: b.copysign(y, x * 0.0), np.abs(B)),
        "quotient": (lambda b, x, y: b.quotient(x, y, 0.25), A / (B + np.where(B >= 0, 0.25, -0.25))),
        "quotient-at-zero": (lambda b, x, y: b.quotient(y, x * 0.0, 0.25), B / 0.25),
        "quotient-no-epsilon": (lambda b, x, y: b.quotient(y, x, 0.0), np.divide(B, A, out=A * 0, where=A != 0)),
        "full_like": (lambda b, x, _: b.full_like(x, -2.5), np.full_like(A, -2.5)),
        "broadcast_to": (lambda b, x, _: b.broadcast_to(x[:, :1], (2, 5)), np.broadcast_to(A[:, :1], (2, 5))),
        "broadcast_to-row": (lambda b, x, _: b.broadcast_to(x[0], (3, 5)), np.broadcast_to(A[0], (3, 5))),
        "reshape": (lambda b, x, _: b.reshape(x, (5, 2)), A.reshape(5, 2)),
        "reshape-rows": (lambda b, x, _: b.reshape(x, (1, -1)), A.reshape(1, -1)),
        "std": (lambda b, x, _: b.std(x, 1), A.std(axis=1, keepdims=True)),
        "std-axis-0": (lambda b, x, _: b.std(x, 0), A.std(axis=0, keepdims=True)),
        "largest": (lambda b, x, _: b.largest(x, 1), np.abs(A).max(axis=1, keepdims=True)),
        "largest-axis-0": (lambda b, x, _: b.largest(x, 0), np.abs(A).max(axis=0, keepdims=True)),
        "operators": (lambda _, x, y: -x + 2 * y - x * y / (y + 10) + 1, -A + 2 * B - A * B / (B + 10) + 1),
        "operators-broadcast": (lambda _, x, y: x * y[:, :1] + y[0], A * B[:, :1] + B[0]),
        "comparisons": (
            lambda b, x, y: b.where(x == y, x, b.where(x <= y, y, 0.0)) + b.where(x < 0, x, b.where(y > 0, y, 0.0)),
            np.where(A == B, A, np.where(A <= B, B, 0)) + np.where(A < 0, A, np.where(B > 0, B, 0)),
        ),
    }
)


def _like(subject: Subject) -> Any:
    recording = subject.record(PROBES["dense"])
    return recording.values[recording.input]


def check_function(subject: Subject, name: str) -> None:
    """Compare one array function with NumPy's."""
    function, expected = FUNCTIONS[name]
    like = _like(subject)
    a, b = subject.native(A, like), subject.native(B, like)
    same(name, subject.numpy(function(subject.backend, a, b)), expected, 1e-15)
    same(f"the first argument of {name}, afterwards", subject.numpy(a), A, 0.0)
    same(f"the second argument of {name}, afterwards", subject.numpy(b), B, 0.0)


def check_round_trip(subject: Subject) -> None:
    """NumPy to native and back is the same, of the same type, and shares no memory."""
    like = _like(subject)
    for array in (A, A[:, ::2].T, np.asarray(2.5), np.zeros((0, 3)), np.float32(A)):
        given = np.array(array)
        native = subject.native(given, like)
        require(tuple(native.shape) == array.shape, f"asarray changes the shape {array.shape} to {tuple(native.shape)}")
        back = subject.numpy(native)
        require(back.dtype == np.float64, f"asarray is to give the type of 'like' (float64), got {back.dtype}")
        given[...] = 7.0
        same("asarray and to_numpy, after the given array was overwritten", subject.numpy(native), array, 0.0)


def check_select(subject: Subject) -> None:
    """``select`` returns a function of the outputs per sample, and its gradient."""
    output = subject.native(A, _like(subject))
    values, gradient = subject.backend.select(output, lambda y: y[:, 0] * y[:, 3] - 2 * y[:, 1])
    expected = np.zeros_like(A)
    expected[:, 0], expected[:, 3], expected[:, 1] = A[:, 3], A[:, 0], -2.0
    same("the values of select", subject.numpy(values), A[:, 0] * A[:, 3] - 2 * A[:, 1], 1e-15)
    same("the gradient of select", subject.numpy(gradient), expected, 1e-15)
