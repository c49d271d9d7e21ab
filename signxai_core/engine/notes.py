"""What a plan says besides its rows: seed, sampling, activation, factors, and factors that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from signxai_core.engine import cam as cams
from signxai_core.engine.run import Raw, Run
from signxai_core.engine.structure import Group
from signxai_core.specs.cells import Sign
from signxai_core.specs.methods import MethodSpec
from signxai_core.specs.operations import kind
from signxai_core.specs.rules import Rule
from signxai_core.specs.values import ArrayValue, Missing

FloatArray = npt.NDArray[Any]


def notes(run: Run, spec: MethodSpec, raw: Raw) -> Iterator[str]:
    """Yield the notes of a method's plan."""
    yield f"seed: {'the selected output' if raw.seed == 'logit' else '1'}"
    if spec.sampling is not None:
        yield f"sampling: {spec.sampling}"
    if spec.cam is not None:
        yield f"activation of: {cams.activation(run.clean, spec.cam, spec.preset)[1]}"
    if spec.modifier is not None:
        yield f"map times: {spec.modifier.formula('x')}"
    if isinstance(spec.modifier, Sign) and _is_above(spec.modifier, run.x):
        formula = spec.modifier.formula("x")
        yield f"no number of x is below {_shown(spec.modifier)}, so that × {formula} changes nothing"
    for sign in dict.fromkeys(_first_signs(run, spec)):
        yield f"no number that the first layer reads is below {_shown(sign)}, so that SIGN is +1 everywhere"


def threshold(sign: Sign, x: FloatArray) -> Any:
    """Return where the sign changes: a number, or an array of the input's shape."""
    assert not isinstance(sign.mu, Missing), "missing parameters are refused before"
    if sign.mu is None:
        return 0
    return np.broadcast_to(sign.mu.array, x.shape) if isinstance(sign.mu, ArrayValue) else sign.mu


def _is_above(sign: Sign, x: FloatArray) -> bool:
    return bool(np.all(x >= threshold(sign, x)))


def _shown(sign: Sign) -> str:
    if isinstance(sign.mu, float):
        return f"{sign.mu:g}"
    return "0" if sign.mu is None else "μ"


def _first_signs(run: Run, spec: MethodSpec) -> Iterator[Sign]:
    """Yield the factors of first layers' rules that are +1 for all the numbers that these layers read."""
    rules = [spec.input_layer, *(entry.rule for entry in spec.composite.entries if entry.where.position == "first")]
    signs = [rule.times for rule in rules if isinstance(rule, Rule) and isinstance(rule.times, Sign)]
    if not signs:
        return
    structure = run.clean
    first = [group for group, where in zip(structure.groups, structure.positions, strict=True) if "first" in where]
    yield from (sign for sign in signs if all(_reads_above(run, group, sign) for group in first))


def _reads_above(run: Run, group: Group, sign: Sign) -> bool:
    """Return whether a first layer is known to read no number below a threshold; scaled inputs are not looked at."""
    if any(kind(operation.kind).affine for operation in group.pre):
        return False
    (tensor,) = group.inputs
    if tensor == run.clean.recording.input:
        return _is_above(sign, run.x)
    at_least_zero = tensor in run.clean.non_negative
    return at_least_zero and (sign.mu is None or (isinstance(sign.mu, float) and sign.mu <= 0))
