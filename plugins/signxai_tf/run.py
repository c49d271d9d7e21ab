"""Run a model under a recording, and check what comes out."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import tensorflow as tf

from signxai_core.engine.backend import Operation, Recording
from signxai_core.errors import InputShapeError, ModelError, OutputError, SignxaiError
from signxai_tf.calls import Handle
from signxai_tf.classify import Single, units
from signxai_tf.interpret import Interpreter
from signxai_tf.trace import Trace, trace
from signxai_tf.traits import Net, Unit
from signxai_tf.values import TRACKED, Value
from signxai_tf.wide import wide

_TRAITS = (
    "kind",
    "function",
    "path",
    "parameters",
    "signs",
    "channel_axis",
    "padding",
    "constants",
    "attributes",
    "group",
    "note",
)
_LAYER = re.compile(r'layer "([^"]+)"|layer \'([^\']+)\'|\{\{node ([\w./-]+)')
_COLOURS = re.compile(r"\x1b\[\d*m")
_RAISED = re.compile(r"\w*(Error|Exception|Exit|Interrupt)\b.*: ")
#: What Keras and TensorFlow say where shapes do not fit.
_SHAPES = ("incompatible with the layer", "must be equal", "must match", "Dimensions", "shape", "rank")


def run_model(model: Any, x: Any) -> Recording:
    """Return the recording of ``model`` on ``x``, a tensor of our own."""
    traced = _traced(model, x)
    interpreter = Interpreter(traced.graph)
    try:
        return _record(traced, interpreter, wide(x))
    except SignxaiError:
        raise
    except Exception as error:
        op, path = interpreter.running
        raise _failure(model, x, error, f" in {path!r}, at {op}" if path else f" at {op}") from error


def run_compiled(model: Any, x: Any, purpose: Hashable) -> Recording:
    """Return the recording of a compiled run; that of :func:`run_model` where there is none or it fails."""
    traced = _traced(model, x)
    compiled = traced.compiled(wide(x), lambda start: _record(traced, Interpreter(traced.graph), start))
    if compiled is None:
        return run_model(model, x)
    try:
        return compiled.record(wide(x), purpose, lambda: run_model(model, x))
    except tf.errors.OpError:
        return run_model(model, x)  # says which operation failed


def _traced(model: Any, x: Any) -> Trace:
    try:
        return trace(model, x)
    except SignxaiError:
        raise
    except Exception as error:
        raise _failure(model, x, error) from error


def _record(traced: Trace, interpreter: Interpreter, x: Any) -> Recording:
    start = Value(x, TRACKED)
    captured = [Value(array, owner=traced.owners.get(place)) for place, array in enumerate(traced.captured)]
    results = interpreter.run(start, captured)
    output = _output(traced, results, tuple(x.shape))
    return _recording(Net(interpreter.steps, output), start, output, traced.warnings)


def _recording(net: Net, start: Value, output: Value, warnings: tuple[str, ...]) -> Recording:
    ids: dict[int, int] = {id(start): 0}
    values: dict[int, Any] = {0: start.array}

    def identity(value: Value) -> int:
        number = ids.setdefault(id(value), len(ids))
        values[number] = value.array
        return number

    operations = tuple(_operation(number, unit, identity) for number, unit in enumerate(units(net)))
    rank = len(start.array.shape)
    return Recording(
        operations=operations,
        values=values,
        input=0,
        output=identity(output),
        batch=int(start.array.shape[0]),
        channel_axis=_channel_axis(operations, rank),
        rounding=_rounding(start.array.dtype),
        warnings=warnings,
    )


def _rounding(dtype: Any) -> float:
    """Return the rounding error of products; that of TF32 wherever a GPU may use it."""
    coarse = tf.config.experimental.tensor_float_32_execution_enabled() and tf.config.list_physical_devices("GPU")
    return {tf.float64: 2.0**-53, tf.float32: 2.0**-11 if coarse else 2.0**-24}.get(dtype, math.inf)


def _operation(number: int, unit: Unit, identity: Any) -> Operation:
    inputs = unit.shown if isinstance(unit, Single) else unit.inputs
    return Operation(
        index=number,
        inputs=tuple(identity(value) for value in inputs),
        outputs=tuple(identity(value) for value in unit.outputs),
        call=Handle(unit.recorded, unit.linear, unit.layout),
        **{name: getattr(unit, name) for name in _TRAITS},
    )


def _channel_axis(operations: tuple[Operation, ...], rank: int) -> int:
    """Return the axis of the input's channels: the last, unless the first convolution has them first."""
    first = next((op for op in operations if op.kind == "convolution"), None)
    return 1 if first is not None and first.channel_axis == 1 and rank > 3 else rank - 1


def _output(traced: Trace, results: list[Value], shape: tuple[int, ...]) -> Value:
    """Return the output, checked."""
    if len(results) != 1 or _leaves(traced.structure) != 1:
        what = type(traced.structure).__name__ if traced.structure != "tensor" else "nothing"
        raise OutputError(
            f"the model returned {what} with {len(results)} tensors, and one tensor is needed: wrap it in a function "
            "that picks one, such as lambda x: model(x)[0], and give backend='tensorflow'"
        )
    (output,) = results
    if output.state != TRACKED or output.array is None:
        raise ModelError(
            "the model's output does not depend on its input through derivatives: it was detached "
            "(tf.stop_gradient), rounded to integers (argmax), or does not use the input at all"
        )
    got = tuple(output.array.shape)
    if not got or got[0] != shape[0]:
        raise InputShapeError(
            f"the model turned an input of shape {shape} into an output of shape {got}: the first axis of both must "
            f"be the batch; for one sample give x[None], shape {(1, *shape)}"
        )
    return output


def _leaves(structure: Any) -> int:
    return len(tf.nest.flatten(structure))


def _failure(model: Any, x: Any, error: Exception, where: str = "") -> SignxaiError:
    """Return what went wrong, as an error about the input's shape where it is one."""
    shape, text = tuple(x.shape), str(error).strip()
    found = _LAYER.search(text)
    if found and not where:
        where = f" in layer {next(g for g in found.groups() if g)!r}"
    expected = _expected(model)
    first = _said(text)
    if expected is not None and len(shape) == len(expected) - 1:
        return InputShapeError(
            f"the model takes {expected} and got {shape}{where}: the batch axis is missing; give the model a batch, "
            "x[None] for one sample"
        )
    if isinstance(error, (ValueError, tf.errors.InvalidArgumentError)) and any(word in text for word in _SHAPES):
        takes = f", and takes {expected}" if expected is not None else ""
        return InputShapeError(f"the model failed on an input of shape {shape}{where}{takes}: {first}")
    return ModelError(f"the model failed on an input of shape {shape}{where}: {type(error).__name__}: {first}")


def _said(text: str) -> str:
    """Return the line of an error's text that says what happened; tracing puts the call stack before it."""
    lines = [line.strip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    raised = [number for number, line in enumerate(lines) if _RAISED.match(line)]
    if lines and lines[0].endswith("in user code:") and raised:
        lines = lines[raised[-1] :]
    if len(lines) > 1 and "Exception encountered when calling" in lines[0]:
        lines = lines[1:]  # Keras's own words, in front of the error's
    return lines[0] if lines else ""


def _expected(model: Any) -> tuple[Any, ...] | None:
    """Return the shape that the model takes, where it tells."""
    inputs = getattr(model, "inputs", None)
    if isinstance(inputs, (list, tuple)) and len(inputs) == 1 and getattr(inputs[0], "shape", None) is not None:
        return tuple(inputs[0].shape)
    return None
