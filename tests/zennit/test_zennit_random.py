"""Random networks and names: zennit computes what the reference computes, or says why not."""

from __future__ import annotations

import numpy as np
from equivalence import TOLERANCES, is_open
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from rounding import movement

import signxai_core as sx
from signxai_core import grammar
from signxai_core.errors import PlanError
from signxai_core.registry import registry
from signxai_core.testing import explain, names, strategies
from signxai_torch.network import build
from signxai_torch.zennit_bridge import CANNOT


def configured(data, name):
    known = {key: p for key, p in grammar.parameters(sx.parse(name), registry()).items() if not p.stated}
    drawn = {key: data.draw(names.PARAMETERS[key], key) for key in known if key in names.PARAMETERS}
    return grammar.configure(sx.parse(name), drawn, registry(), name)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(st.data())
def test_it_agrees_or_says_why_not(data):
    network = data.draw(strategies.networks(blocks=2), "network")
    spec = configured(data, data.draw(names.lrp_names(), "method"))
    assume(not is_open(network, spec))
    x = data.draw(strategies.inputs(network), "x")
    try:
        found = sx.explain(build(network).eval(), x, spec, backend="zennit")
    except PlanError as error:
        reasons = [reason for reason, text in CANNOT.items() if text in str(error)]
        assert reasons, error
        event(", ".join(reasons))
        return
    wanted = explain(network, x, spec, found.target).relevance
    event("compared")
    apart, largest = np.abs(found.relevance - wanted).max(), np.abs(wanted).max()
    allowed = TOLERANCES["float64"] * largest
    if apart > allowed:
        allowed = max(allowed, movement(network, x, spec, found.target, None, np.float64))
    assert apart <= allowed, f"{apart:.2e} of {largest:.2e}\n{network!r}\n{found.plan}"
