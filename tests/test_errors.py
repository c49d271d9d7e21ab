"""Bad input: a specific exception of one hierarchy each, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import BatchNormed, Branching, Series, seeded
from torch import nn

import signxai_core as sx
from signxai_core import errors
from signxai_core.specs import Composite, Entry, MethodSpec, Where


def case(model, x, method="lrp_epsilon_0_1", **options):
    return model, x, method, options


IMAGE = np.random.default_rng(0).normal(size=(2, 2, 6, 6))
MODEL = seeded(Branching, bias=True)
DENSE = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
ROW = np.ones((1, 4))


class Inverse(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = torch.special.erfinv(torch.tanh(self.proj(x)))
        return self.head(torch.special.erfinv(torch.tanh(y)))


class Two(nn.Module):
    def forward(self, x):
        return x, x


class Root(nn.Module):
    def forward(self, x):
        return torch.log(x)


def poisoned() -> nn.Module:
    model = seeded(Branching, bias=True)
    with torch.no_grad():
        model.side.weight[0, 0, 0, 0] = float("nan")
    return model


CASES = {
    "no batch axis": (case(MODEL, IMAGE[0]), errors.InputShapeError, r"stem.*batch axis"),
    "no batch axis, one dimension": (
        case(DENSE, ROW[0]),
        errors.InputShapeError,
        r"the input has shape \(4,\): the batch axis is missing",
    ),
    "channels": (case(MODEL, IMAGE[:, :1]), errors.InputShapeError, r"stem.*2"),
    "features": (case(DENSE, np.ones((1, 5))), errors.InputShapeError, r"4"),
    "nan": (
        case(MODEL, np.where(np.arange(72).reshape(2, 6, 6) == 0, np.nan, IMAGE[:1])),
        errors.InputValueError,
        r"1 numbers that are NaN or infinite, the first at index \(0, 0, 0, 0\)",
    ),
    "inf": (case(DENSE, np.full((1, 4), np.inf)), errors.InputValueError, r"4 numbers that are NaN or infinite"),
    "integers": (case(DENSE, np.ones((1, 4), int)), errors.InputTypeError, r"astype"),
    "empty": (case(MODEL, IMAGE[:0]), errors.InputShapeError, r"the input is empty: shape \(0, 2, 6, 6\)"),
    "nan in output": (case(poisoned(), IMAGE), errors.OutputError, r"NaN or infinite; .* came out of side \(conv2d\)"),
    "target out of range": (
        case(MODEL, IMAGE, target=5),
        errors.TargetError,
        r"target 5 of sample 0 is out of range: the model has 5 outputs, numbered 0 to 4",
    ),
    "negative target": (case(MODEL, IMAGE, target=[0, -1]), errors.TargetError, r"target -1 of sample 1"),
    "target length": (
        case(MODEL, IMAGE, target=[0, 1, 2]),
        errors.TargetError,
        r"target has shape \(3,\), expected one class index or one for each of the 2 samples",
    ),
    "target type": (case(MODEL, IMAGE, target="dog"), errors.TargetError, r"target must be None, a class index"),
    "target float": (case(MODEL, IMAGE, target=1.0), errors.TargetError, r"target must be None, a class index"),
    "target function": (
        case(MODEL, IMAGE, target=lambda out: out.sum()),
        errors.TargetError,
        r"must return one number per sample, shape \(2,\), and returned \(\)",
    ),
    "unknown method": (case(MODEL, IMAGE, "lrp_epsilon"), errors.NameSyntaxError, r"a number for \{epsilon\}"),
    "unknown parameter": (case(MODEL, IMAGE, "lrp_z", mu=1), errors.ParameterError, r"has no parameter 'mu'"),
    "mu missing": (case(MODEL, IMAGE, "smoothgrad_x_sign_mu"), errors.ParameterError, r"needs the parameter mu"),
    "mu shape": (
        case(MODEL, IMAGE, "lrpsign_z", mu=np.zeros((3, 5))),
        errors.PlanError,
        r"an array of shape \(3, 5\) was given where one of the input's shape \(2, 2, 6, 6\)",
    ),
    "baseline shape": (
        case(MODEL, IMAGE, "integrated_gradients", baseline=np.zeros(5)),
        errors.ParameterError,
        r"the baseline has shape \(5,\), expected",
    ),
    "no convolution": (case(DENSE, ROW, "grad_cam"), errors.PlanError, r"class-activation maps need a convolution"),
    "no such layer": (
        case(MODEL, IMAGE, "grad_cam", last_conv="block5"),
        errors.PlanError,
        r"last_conv = 'block5' names no layer that ran; layers that ran: stem, shared, side, head",
    ),
    "series": (case(MODEL, IMAGE, "grad_cam_timeseries"), errors.PlanError, r"one spatial axis, got shape"),
    "unsupported operation": (
        case(Inverse().double(), ROW),
        errors.UnsupportedOperationError,
        r"operations? of the model without a rule:\n- no rule for the operation '\w*erfinv'",
    ),
    "two outputs": (case(Two(), ROW, "gradient"), errors.OutputError, r"tuple"),
    "infinite output": (case(Root(), np.zeros((1, 2)), "gradient"), errors.OutputError, r"came out of log"),
    "backend": (case(MODEL, IMAGE, backend="jax"), errors.UnknownNameError, r"unknown backend 'jax'"),
    "no backend": (case(lambda x: x, ROW), errors.BackendError, r"no backend claims a model of type .*give backend="),
    "convention": (case(MODEL, IMAGE, convention="keras"), errors.UnknownNameError, r"unknown convention 'keras'"),
    "seed": (case(MODEL, IMAGE, seed="zero"), errors.ParameterError, r"seed must be None, 'one' or 'logit'"),
    "model fails": (case(nn.Bilinear(2, 2, 2), ROW, "gradient"), errors.ModelError, r""),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name):
    (model, x, method, options), exception, text = CASES[name]
    state = {k: v.clone() for k, v in model.state_dict().items()} if isinstance(model, nn.Module) else {}
    before = x.copy()
    with pytest.raises(exception, match=f"(?s){text}") as caught:
        sx.explain(model, x, method, **options)
    assert isinstance(caught.value, errors.SignxaiError)
    np.testing.assert_array_equal(x, before)
    for key, value in state.items():
        np.testing.assert_array_equal(model.state_dict()[key].numpy(), value.numpy())


def test_messages_have_no_missing_spaces():
    for (model, x, method, options), exception, _ in CASES.values():
        with pytest.raises(exception) as caught:
            sx.explain(model, x, method, **options)
        text = str(caught.value)
        assert "  " not in text.replace("\n", "").strip() or "^" in text
        assert ".Give" not in text
        assert ",or" not in text


def test_an_input_layer_rule_needs_a_first_layer():
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 2)).double()
    with pytest.raises(errors.PlanError, match="none is reached from the input .* the model starts with: 0 .relu., 1"):
        sx.explain(model, ROW, "lrpsign_z")
    assert sx.explain(model, ROW, "lrp_z").relevance.shape == ROW.shape
    spec = sx.parse("lrp_z")
    for where in (Where(position="first"), Where(position="first", kinds={"dense"}), Where(position="first", path="1")):
        entries = (Entry(where, sx.rules()["flat"]()), *spec.composite.entries)
        with pytest.raises(errors.PlanError, match="none is reached from the input"):
            sx.explain(model, ROW, MethodSpec(family="lrp", composite=Composite(entries), seed="logit"))


def test_a_rule_that_does_not_fit_its_operation():
    spec = sx.parse("lrp_z")
    on_activation = Composite((Entry(Where(kinds={"activation"}), sx.rules()["epsilon"]()), *spec.composite.entries))
    text = r"the rule 'epsilon 0.1' .* cannot be applied to 1 \(relu\): it is for linear operations"
    with pytest.raises(errors.PlanError, match=text):
        sx.explain(DENSE, ROW, MethodSpec(family="lrp", composite=on_activation, seed="logit"))
    on_sum = Composite((Entry(Where(kinds={"sum"}), sx.rules()["flat"]()), *spec.composite.entries))
    with pytest.raises(errors.PlanError, match=r"replaces the weights by '1' cannot be applied to add"):
        sx.explain(MODEL, IMAGE, MethodSpec(family="lrp", composite=on_sum, seed="logit"))


def test_an_unsupported_operation_is_named_and_can_be_linearised():
    model = Inverse().double()
    with pytest.raises(errors.UnsupportedOperationError) as caught:
        sx.explain(model, ROW, "lrp_z")
    assert "erfinv" in caught.value.function
    assert "strict=False" in str(caught.value)
    assert "exact" not in str(caught.value).lower()  # derivatives among relevance are no advice
    result = sx.explain(model, ROW, "lrp_z", strict=False)
    assert np.isfinite(result.relevance).all()
    assert any("was linearised" in warning for warning in result.plan.warnings)
    assert "warning:" in str(result.plan)


def test_an_unknown_kind_is_refused_when_the_composite_is_resolved():
    spec = MethodSpec(family="lrp", composite=Composite((Entry(Where(kinds={"convolutoin"}), sx.rules()["z"]()),)))
    with pytest.raises(errors.PlanError, match=r"unknown operation kind 'convolutoin'; .*did you mean convolution"):
        sx.explain(DENSE, ROW, spec)


@pytest.mark.parametrize("module", [BatchNormed, Series])
def test_an_interrupted_call_leaves_the_model(module):
    model = seeded(module)
    model.train()
    x = np.ones((1, 3, 8, 8)) if module is BatchNormed else np.ones((1, 3, 32))
    state = {k: v.clone() for k, v in model.state_dict().items()}

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sx.explain(model, x, "lrp_epsilon_0_1", progress=interrupt)
    assert model.training
    assert all(torch.equal(model.state_dict()[k], v) for k, v in state.items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_progress_is_reported():
    seen = []
    sx.explain_many(
        MODEL, IMAGE, ["lrp_z", "smoothgrad"], samples=3, progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {len(seen)}
