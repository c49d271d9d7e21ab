# ruff: noqa: F811 - fixtures
"""One method that cannot run does not take the others with it, where that is asked for."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from nets import Branching, seeded
from test_cli import fail, place, run, succeed  # noqa: F401 - a fixture

import signxai_core as sx
from signxai_core.errors import InputValueError, ModelError, ParameterError, PlanError, SignxaiError

attribute = importlib.import_module("signxai_core.engine.attribute")  # the package has a function of that name
X = np.random.default_rng(0).normal(size=(3, 2, 6, 6))
NAMES = ["gradient", "grad_cam_timeseries", "lrp_z", "gradient_x_sign_mu", "smoothgrad", "random_uniform"]


@pytest.fixture(scope="module")
def model():
    return seeded(Branching, bias=True)


@pytest.mark.parametrize("limits", [{}, {"batch_size": 2}])
def test_errors_are_collected(model, limits):
    found = sx.explain_many(model, X, NAMES, errors="collect", samples=3, **limits)
    assert list(found) == ["gradient", "lrp_z", "smoothgrad", "random_uniform"]
    assert {name: type(error) for name, error in found.errors.items()} == {
        "gradient_x_sign_mu": ParameterError,
        "grad_cam_timeseries": PlanError,
    }
    for name, explanation in found.items():
        given = {"samples": 3} if name == "smoothgrad" else {}
        alone = sx.explain(model, X, name, **given, **limits).relevance
        np.testing.assert_allclose(explanation.relevance, alone, rtol=1e-10, atol=1e-12)


def test_without_it_the_first_error_is_raised(model):
    with pytest.raises(PlanError):
        sx.explain_many(model, X, ["gradient", "grad_cam_timeseries"])
    assert sx.explain_many(model, X, ["gradient"]).errors == {}
    with pytest.raises(ParameterError, match="errors must be 'raise' or 'collect', got 'ignore'"):
        sx.explain_many(model, X, ["gradient"], errors="ignore")


@pytest.mark.parametrize("errors", ["raise", "collect"])
def test_what_is_wrong_with_the_call_is_raised(model, errors):
    with pytest.raises(InputValueError):
        sx.explain_many(model, X * np.nan, ["lrp_z", "grad_cam_timeseries"], errors=errors)
    with pytest.raises(SignxaiError):
        sx.explain_many(model, X, ["lrp_zz"], errors=errors)
    with pytest.raises(SignxaiError):
        sx.explain_many(model, X[:, :1], ["lrp_z"], errors=errors)


def test_a_method_that_fails_on_the_way_fails_alone(model, monkeypatch):
    """Nothing in the plan tells beforehand; the others are computed without it."""
    finish = attribute._finish

    def broken(value, spec, x):
        if spec == sx.parse("lrpz_z"):
            raise ModelError("no luck")
        return finish(value, spec, x)

    values = attribute._values

    def fails(run, sampling, raws):
        if any(raw == attribute.raw_of(sx.parse("flatlrp_z"), None) for raw in raws):
            raise ModelError("no walk")
        return values(run, sampling, raws)

    expected = sx.explain(model, X, "lrp_epsilon_0_1").relevance
    monkeypatch.setattr(attribute, "_finish", broken)
    monkeypatch.setattr(attribute, "_values", fails)
    found = sx.explain_many(model, X, ["flatlrp_z", "lrp_epsilon_0_1", "lrpz_z"], errors="collect")
    assert {name: str(error) for name, error in found.errors.items()} == {"flatlrp_z": "no walk", "lrpz_z": "no luck"}
    np.testing.assert_allclose(found["lrp_epsilon_0_1"].relevance, expected, rtol=1e-12)


def test_a_method_that_fails_for_one_part_is_left_out_of_all(model):
    x = X.copy()
    x[2] *= 100
    found = sx.explain_many(model, x, ["zblrp_z", "lrp_z"], errors="collect", batch_size=1, low=-9, high=9)
    assert list(found) == ["lrp_z"]
    assert "lie outside low and high" in str(found.errors["zblrp_z"])


# The command line


def test_patterns_collect_and_names_do_not(place, tmp_path):
    np.save("big.npy", 1000 * np.load("x.npy"))
    boxed = [name for name in sx.methods() if name.startswith("zblrp")]
    arguments = ("explain", f"{place}:images", "big.npy", "--batch-size", "1", "-m", "lrp*_epsilon_1", "-m", "zblrp*")
    result = run(*arguments, "-o", "out")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("left out")]
    assert [line.split()[2] for line in lines] == [f"{name}:" for name in boxed]
    assert all("lie outside low and high" in line for line in lines)
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert [key for key in found if key.startswith("maps/")] == ["maps/lrp_epsilon_1", *(
            f"maps/{prefix}_epsilon_1" for prefix in ("lrpsign", "lrpz") if f"{prefix}_epsilon_1" in sx.methods()
        )]  # fmt: skip
        assert not any("zblrp" in name for name in json.loads(str(found["metadata"]))["files"])
    names = {path.name for path in (tmp_path / "out/maps").iterdir()}
    assert "big.npy_0_lrp_epsilon_1.png" in names
    assert not any("zblrp" in name for name in names)
    assert not (tmp_path / "out/unfinished").exists()
    assert "lie outside low and high" in fail(ParameterError, *arguments, "-m", boxed[0], "-o", "other")
    text = fail(SignxaiError, *arguments[:5], "-m", "zblrp*", "-o", "other")
    assert text.startswith(f"no method could be carried out:\n  {boxed[0]}: ")
    assert not (tmp_path / "other").exists()
