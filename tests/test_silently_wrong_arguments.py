"""Arguments that used to give a map of something else: each is refused, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import Branching, seeded
from torch import nn

import signxai_core as sx
from signxai_core.errors import (
    BackendError,
    InputTypeError,
    ParameterError,
    PlanError,
    TargetError,
    UnknownNameError,
)
from signxai_core.specs import Cam, Composite, Entry, MethodSpec, Where


@pytest.fixture(scope="module")
def model():
    return seeded(Branching, bias=True)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(4, 2, 6, 6))


# Masked arrays


@pytest.mark.parametrize("mask", [True, False])
def test_masked_inputs(model, x, mask):
    masked = np.ma.masked_array(x, mask=np.zeros(x.shape, dtype=bool))
    masked.mask[0, 0, 0, 0] = mask
    for call in (sx.explain, sx.plan):
        with pytest.raises(InputTypeError) as raised:
            call(model, masked, "lrp_z")
        assert str(raised.value) == (
            "the input is a masked array, and a model knows no masks: what is masked would be explained as if it were "
            "there. Give the numbers that the model should see: x.filled(0)"
        )


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("gradient_x_sign_mu", "mu"), ("zblrp_z", "low"), ("integrated_gradients", "baseline")],
)
def test_masked_parameters(model, x, name, parameter):
    given = {parameter: np.ma.masked_array(np.zeros(x.shape[1:]), mask=True)}
    if parameter == "low":
        given["high"] = 9.0
    with pytest.raises(ParameterError, match="expected numbers without a mask"):
        sx.explain(model, x, name, **given)


def test_masked_targets(model, x):
    with pytest.raises(TargetError, match="a masked array"):
        sx.explain(model, x, "lrp_z", np.ma.masked_array([0, 1, 2, 3], mask=[0, 0, 1, 0]))


# Texts for truth


@pytest.mark.parametrize("strict", ["false", "no", 0, None, np.array([True])])
def test_strict_is_true_or_false(model, x, strict):
    for call in (sx.explain, sx.plan):
        with pytest.raises(ParameterError, match="strict must be True or False, got"):
            call(model, x, "lrp_z", strict=strict)
    with pytest.raises(ParameterError, match="strict must be True or False, got"):
        sx.explain_many(model, x, ["lrp_z"], strict=strict)
    with pytest.raises(ParameterError, match="strict must be True or False, got"):
        sx.compare(model, model, x, ["lrp_z"], strict=strict)


def test_numpys_truth_is_truth(model, x):
    assert sx.explain(model, x, "lrp_z", strict=np.True_).relevance.shape == x.shape


def test_other_arguments_of_a_call(model, x):
    with pytest.raises(ParameterError, match="progress must be True, False or a function, got 'no'"):
        sx.explain(model, x, "lrp_z", progress="no")
    for seed in ([], {}, 1, np.array([]), np.zeros(2)):
        with pytest.raises(ParameterError, match="seed must be None, 'one' or 'logit', got"):
            sx.explain(model, x, "lrp_z", seed=seed)
    for convention in ([], None, 3):
        with pytest.raises(UnknownNameError, match="unknown convention"):
            sx.explain(model, x, "lrp_z", convention=convention)
    for backend in ([], 3, {}):
        with pytest.raises((UnknownNameError, BackendError), match="unknown backend"):
            sx.explain(model, x, "lrp_z", backend=backend)
    with pytest.raises(TypeError, match="series"):
        Cam(series="false")


# NaN targets


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite(model, x, value):
    with pytest.raises(TargetError) as raised:
        sx.explain(model, x, "lrp_z", lambda y: y[:, 0] * torch.tensor([1.0, value, 1.0, 1.0]))
    assert str(raised.value).startswith("the target function returned ")
    assert "for sample 1; it must return finite numbers" in str(raised.value)
    with pytest.raises(TargetError, match="target must be None, a class index"):
        sx.explain(model, x, "lrp_z", [0, value, 1, 2])
    with pytest.raises(TargetError, match="target must be None, a class index"):
        sx.explain(model, x, "lrp_z", value)


def test_a_target_whose_gradient_is_not_finite(model, x):
    with pytest.raises(
        TargetError, match="the gradient of the target function at the output is NaN or infinite, first"
    ):
        sx.explain(model, x, "gradient", lambda y: (y[:, 0] * 0).sqrt() + y[:, 1])


# Rules of single layers


def test_a_rule_for_a_path_that_no_layer_has(model, x):
    for paths in ({"no*": "flat"}, {"*": "z", "no*": "flat"}):
        spec = sx.with_rules("lrpsign_epsilon_0_1", paths)
        for call in (sx.explain, sx.plan):
            with pytest.raises(PlanError) as raised:
                call(model, x, spec)
            assert str(raised.value).startswith(
                "the rule 'flat' is for the path 'no*', and no operation has such a path"
            )


def test_a_rule_for_a_path_of_operations_of_another_kind(x):
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    with pytest.raises(PlanError) as raised:
        sx.plan(model, x, sx.with_rules("lrp_z", {"2": "gamma:0.25"}))
    assert "is for the path '2', where it takes only convolution, dense, normalisation, scaling" in str(raised.value)
    assert "2 (relu)" in str(raised.value)


def test_a_path_of_a_composite_may_match_nothing(model, x):
    """A composite is written for many models; its plan says what it did not find."""
    rule = sx.rules()["z"]()
    spec = sx.parse("lrp_z")
    entries = (Entry(Where(path="no*", kinds={"dense"}), rule), *spec.composite.entries)
    changed = MethodSpec(family="lrp", composite=Composite(entries), seed="logit")
    assert any("no operation has a path like 'no*'" in text for text in sx.plan(model, x, changed).warnings)


def test_a_demanding_entry_survives_a_file(tmp_path):
    spec = sx.with_rules("lrp_z", {"0": "flat"})
    (tmp_path / "m.toml").write_text(sx.dump(spec, "again"))
    assert sx.config.read(tmp_path / "m.toml", sx.registry.registry()).methods["again"] == spec


# Bounds of the zB rule


def _bounded(model, x, low, high, name="zblrp_epsilon_0_1"):
    return sx.explain(model, x, name, low=low, high=high).relevance


def _wrong(model, x, low, high):
    with pytest.raises(ParameterError) as raised:
        _bounded(model, x, low, high)
    return str(raised.value)


def test_bounds_the_wrong_way_round(model, x):
    assert _wrong(model, x, 9, -9).startswith("low must not be above high: ")
    per_channel = np.array([-9.0, 9.0]), np.array([9.0, -9.0])
    assert "where low is 9 and high is -9" in _wrong(model, x, *per_channel)


def test_bounds_that_do_not_hold_the_input(model, x):
    text = _wrong(model, x, 0, 9)
    assert f"{int((x < 0).sum())} of the {x.size} numbers" in text
    assert f"from {x.min():.6g} to {x.max():.6g}" in text
    assert "lie outside low and high" in text
    _wrong(model, x, np.full(2, -9.0), np.array([9.0, 0.0]))
    _wrong(model, x, x - 1, np.full(x.shape, x.min()))


def test_bounds_that_hold_the_input(model, x):
    assert np.isfinite(_bounded(model, x, x.min(), x.max())).all()
    assert np.isfinite(_bounded(model, x, x, x)).all()
    single = x.astype(np.float32)
    assert np.isfinite(_bounded(model, single, float(x.min()) + 1e-9, float(x.max()) - 1e-9)).all()  # rounding


def test_bounds_of_presets_and_files(x):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).double()
    assert sx.explain(model, x, "zblrp_epsilon_0_1_VGG16ILSVRC").relevance.shape == x.shape
    with pytest.raises(ParameterError, match="lie outside low and high"):
        sx.explain(model, 1000 * x, "zblrp_epsilon_0_1_VGG16ILSVRC")


# The control


def test_the_control_is_one_draw_per_sample(model, x):
    whole = sx.explain(model, x, "random_uniform").relevance
    assert len(np.unique(whole)) == whole.size
    assert np.abs(whole).max() <= 1
    assert abs(whole.mean()) < 0.15
    for size in (1, 2, 3):
        np.testing.assert_array_equal(sx.explain(model, x, "random_uniform", batch_size=size).relevance, whole)
    np.testing.assert_array_equal(sx.explain(model, x[2:3], "random_uniform").relevance, whole[2:3])
    np.testing.assert_array_equal(sx.explain(model, x[::-1].copy(), "random_uniform").relevance, whole[::-1])
    again = sx.explain(model, x, "random_uniform", random_state=1).relevance
    assert not np.isclose(again, whole).any()
