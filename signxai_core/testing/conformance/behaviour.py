"""What a backend does for its users: models stay as they are, samples are independent, bad input is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

import signxai_core.api as sx
from signxai_core.engine.backend import Backend
from signxai_core.errors import InputShapeError, InputTypeError, InputValueError, OutputError, SignxaiError, TargetError
from signxai_core.registry import registry
from signxai_core.registry.entries import load
from signxai_core.specs.cells import KEEP
from signxai_core.specs.composites import Composite, Entry, Where
from signxai_core.specs.methods import Integrate, MethodSpec, Smooth
from signxai_core.specs.nonlinear import Exact
from signxai_core.specs.rules import Rule, Share, Stabiliser, Term
from signxai_core.testing import network as net
from signxai_core.testing.conformance.probes import PROBES, Probe
from signxai_core.testing.conformance.rules import method
from signxai_core.testing.conformance.subject import DisagreementError, Subject, require, same

_GRADIENT: Final = MethodSpec(family="gradient", composite=Composite((Entry(Where(), Exact()),)))
_STD: Final = Rule((Share((Term(KEEP, KEEP, KEEP),)),), Stabiliser(0.5, "std"))
#: Both sides run the same operations; a framework may split a batch's sums otherwise.
_BATCHES: Final = 1e-11


def _state(subject: Subject, probe: Probe) -> dict[str, bytes]:
    """Return the bits of a model, as far as the contract shows them: parameters and every value."""
    recording = subject.backend.record(subject.model(probe), subject.given(probe.x))
    found = {f"tensor {tensor}": subject.numpy(value).tobytes() for tensor, value in recording.values.items()}
    for operation in recording.operations:
        for name, value in operation.parameters.items():
            found[f"{name} of {operation.label}"] = subject.numpy(value).tobytes()
    return found


def check_model(subject: Subject, probe: Probe) -> None:
    """Recording and explaining leave model and input bit-identical."""
    x = subject.given(probe.x).copy()
    before = _state(subject, probe)
    for spec in (_GRADIENT, method(_STD, probe) if probe.kind in ("dense", "convolution") else _GRADIENT):
        sx.explain(subject.model(probe), x, spec, backend=subject.name)
    after = _state(subject, probe)
    changed = [name for name in before if after.get(name) != before[name]]
    require(not changed and len(before) == len(after), f"explaining changed the model: {changed}")
    same("the given input, afterwards", x, subject.given(probe.x), 0.0)


def check_batch(subject: Subject, probe: Probe) -> None:
    """A batch gives what its samples give alone."""
    at_probe = _STD if probe.kind in ("dense", "convolution", "average_pooling", "normalisation") else Exact()
    for spec in (method(at_probe, probe), _GRADIENT):
        together = subject.relevance(probe, probe.x, spec)
        alone = np.concatenate([subject.relevance(probe, probe.x[i : i + 1], spec) for i in range(len(probe.x))])
        same("relevance of a batch, against its samples alone", together, alone, _BATCHES)


def check_plugin(subject: Subject, name: str) -> None:
    """A plugin's own network has the relevance that its oracle says."""
    owned = registry().probes[name]
    built = load(owned.entry.build, owned.owner)(subject.name)
    if built is None:
        return
    model, x, method = built
    found = sx.explain(model, x, method, backend=subject.name)
    expected = load(owned.entry.oracle, owned.owner)(x, found.target)
    same(f"relevance, against plugin {owned.owner!r}", found.relevance, expected, owned.entry.tolerance)


def check_sampling(subject: Subject) -> None:
    """A batch gives what its samples give alone where the input is varied."""
    probe = PROBES["conv2d-behind-relu"]
    for sampling in (Smooth(statistic="variance", samples=3), Integrate(steps=3)):
        spec = MethodSpec(family="gradient", composite=_GRADIENT.composite, sampling=sampling)
        together = subject.relevance(probe, probe.x, spec)
        alone = np.concatenate([subject.relevance(probe, probe.x[i : i + 1], spec) for i in range(len(probe.x))])
        same("relevance of a batch, against its samples alone", together, alone, _BATCHES)


def check_repeated(subject: Subject) -> None:
    """The same call twice gives the same bits."""
    probe = PROBES["conv2d-padding"]
    first, second = (subject.relevance(probe, probe.x, method(_STD, probe)) for _ in range(2))
    same("the second of two equal calls", second, first, 0.0)


_Bad = Callable[[Subject], Any]


def _explain(subject: Subject, name: str, x: Any, target: Any = None) -> Any:
    return sx.explain(subject.model(PROBES[name]), x, _GRADIENT, target, backend=subject.name)


def _x(subject: Subject, name: str = "conv2d") -> Any:
    return subject.given(PROBES[name].x).copy()


def _with_nan(subject: Subject) -> Any:
    x = _x(subject)
    x[0, 1, 1, 1] = np.nan
    return x


def _wrong_channels(subject: Subject) -> Any:
    x = PROBES["conv2d"].x
    return subject.given(np.concatenate([x, x[:, :1]], axis=1))


def _overflow(subject: Subject) -> Any:
    weight = np.full((2, 5), 1e308)
    network = net.Network([net.Dense(name="out", weight=weight)], (5,))
    return sx.explain(subject.build(network), np.ones((1, 5)), _GRADIENT, backend=subject.name)


ERRORS: Final[Mapping[str, tuple[_Bad, type[SignxaiError]]]] = MappingProxyType(
    {
        "integers": (lambda s: _explain(s, "conv2d", _x(s).astype(np.int64)), InputTypeError),
        "booleans": (lambda s: _explain(s, "conv2d", _x(s) > 0), InputTypeError),
        "no-batch-axis": (lambda s: _explain(s, "conv2d", _x(s)[0]), InputShapeError),
        "no-batch-axis-of-a-vector": (lambda s: _explain(s, "dense", _x(s, "dense")[0]), InputShapeError),
        "no-axis": (lambda s: _explain(s, "dense", 1.0), InputShapeError),
        "empty-batch": (lambda s: _explain(s, "conv2d", _x(s)[:0]), InputShapeError),
        "wrong-channels": (lambda s: _explain(s, "conv2d", _wrong_channels(s)), InputShapeError),
        "wrong-length": (lambda s: _explain(s, "dense", _x(s, "dense")[:, :3]), InputShapeError),
        "nan": (lambda s: _explain(s, "conv2d", _with_nan(s)), InputValueError),
        "infinite": (lambda s: _explain(s, "conv2d", _with_nan(s) + np.inf), InputValueError),
        "overflow": (_overflow, OutputError),
        "target-out-of-range": (lambda s: _explain(s, "conv2d", _x(s), 3), TargetError),
        "target-too-long": (lambda s: _explain(s, "conv2d", _x(s), [0, 1, 2]), TargetError),
        "target-no-function": (lambda s: _explain(s, "conv2d", _x(s), lambda _: 1.0), TargetError),
        "target-of-all": (lambda s: _explain(s, "conv2d", _x(s), lambda y: y), TargetError),
    }
)


def check_error(subject: Subject, name: str) -> None:
    """Bad input is refused with the exception of the library that names the problem."""
    bad, expected = ERRORS[name]
    try:
        bad(subject)
    except expected as error:
        require(len(str(error)) > 20 and "  " not in str(error), f"the text says too little: {error}")
        return
    except Exception as error:
        raise DisagreementError(f"expected {expected.__name__}, got {type(error).__name__}: {error}") from error
    raise DisagreementError(f"expected {expected.__name__}, but it was accepted")


def check_complete(subject: Subject) -> None:
    """The backend has every entry of the contract."""
    contract = [name for name in {**Backend.__annotations__, **vars(Backend)} if not name.startswith("_")]
    lacking = [name for name in contract if not hasattr(subject.backend, name)]
    require(not lacking, f"{type(subject.backend).__qualname__} lacks {', '.join(lacking)}")


def check_prepare(subject: Subject) -> None:
    """``prepare`` returns a NumPy array of the model's type, whatever floating type comes in."""
    model = subject.model(PROBES["dense"])
    for given in (_x(subject, "dense").astype(np.float32), _x(subject, "dense").tolist()):
        prepared = subject.backend.prepare(model, given)
        require(isinstance(prepared, np.ndarray), f"prepare returns {type(prepared).__name__}, not a NumPy array")
        require(prepared.dtype == np.float64, f"prepare returns {prepared.dtype} for a float64 model")
        same("what prepare returns", prepared, np.asarray(given, dtype=np.float64), 0.0)
