# ruff: noqa: F401, F811 - fixtures
"""``signxai explain``, ``plan`` and ``recompute``."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pytest
import torch
from test_cli import fail, place, run, succeed

import signxai_core as sx
from signxai_core import config
from signxai_core.errors import FileError, InputError, ParameterError, PlanError, UnknownNameError
from signxai_core.registry import process, registry

# Explain and plan


def test_explain_writes_maps_table_and_pictures(place, tmp_path):
    text = succeed(
        "explain", f"{place}:images", "x.npy", "--method", "lrpsign_epsilon_1*", "-m", "gradient", "-o", "out"
    )
    names = [name for name in sx.methods() if name.startswith("lrpsign_epsilon_1")] + ["gradient"]
    with np.load(tmp_path / "out/explanations.npz", allow_pickle=False) as found:
        arrays = dict(found)
    assert [key for key in arrays if key.startswith("maps/")] == [f"maps/{name}" for name in names]
    expected = sx.explain(_model(place).images(), arrays["inputs"], "lrpsign_epsilon_1")
    np.testing.assert_allclose(arrays["maps/lrpsign_epsilon_1"], expected.relevance, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(arrays["targets"], expected.target)
    with (tmp_path / "out/table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 2 * len(names)
    assert float(table[0]["gap"]) == pytest.approx(float(table[0]["sum"]) - float(table[0]["expected"]))
    assert len(list((tmp_path / "out/maps").glob("*.png"))) == 2 * len(names)
    assert "maps     out/explanations.npz" in text


def _model(place):
    return sys.modules[place]


def test_limits_change_no_map(place, tmp_path):
    for folder, limits in (("all", ()), ("parts", ("--batch-size", "1", "--max-memory", "1000"))):
        succeed("explain", f"{place}:images", "x.npy", "-m", "smoothgrad", "-o", folder, "--pictures", "none", *limits)
    found = []
    for folder in ("all", "parts"):
        with np.load(tmp_path / folder / "explanations.npz", allow_pickle=False) as file:
            found.append(dict(file))
    np.testing.assert_allclose(found[1]["maps/smoothgrad"], found[0]["maps/smoothgrad"], rtol=1e-4, atol=1e-6)


def test_metadata_suffice_to_recompute(place, tmp_path):
    np.save("mu.npy", np.full((1, 8, 8), 0.25))
    succeed(
        "explain", f"{place}:images", "x.npy", "-m", "gradient_x_sign_mu", "--set", "mu=@mu.npy", "--target", "1,2",
        "--convention", "signxai", "--seed", "logit", "-o", "out", "--pictures", "none",
    )  # fmt: skip
    with np.load(tmp_path / "out/explanations.npz", allow_pickle=False) as found:
        noted, relevance, x = json.loads(str(found["metadata"])), found["maps/gradient_x_sign_mu"], found["inputs"]
    request = noted["request"]
    mu = np.array(request["parameters"]["mu"]["values"]).reshape(request["parameters"]["mu"]["shape"])
    again = sx.explain(
        _model(place).images(), x, "gradient_x_sign_mu", request["target"], convention=request["convention"],
        seed=request["seed"], mu=mu,
    )  # fmt: skip
    np.testing.assert_allclose(again.relevance, relevance, rtol=1e-5, atol=1e-7)
    (spec,) = config.from_plain(noted["methods"], "explanations.npz", registry()).values()
    assert spec == again.spec
    assert noted["backend"] == "torch"
    assert {"python", "numpy", "torch"} <= set(noted["versions"])
    assert noted["labels"] == ["x.npy[0]", "x.npy[1]"]


def test_recompute(place, tmp_path):
    np.save("mu.npy", np.full((1, 8, 8), 0.25))
    succeed(
        "explain", f"{place}:images", "x.npy", "-m", "gradient_x_sign_mu", "-m", "lrpsign_epsilon_1", "--set",
        "mu=@mu.npy", "--target", "1,2", "--convention", "signxai", "-o", "out", "--pictures", "none",
    )  # fmt: skip
    text = succeed("recompute", "out/explanations.npz", f"{place}:images")
    assert "2 of 2 maps are the same" in text
    assert "changed" not in text
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), *[torch.nn.Identity()] * 2, torch.nn.Linear(144, 5))
               .state_dict(), "other.pt")  # fmt: skip
    result = run("recompute", "out/explanations.npz", f"{place}:images", "--weights", "other.pt")
    assert result.exit_code == 1
    assert "0 of 2 maps are the same" in result.output


def test_recompute_what_it_cannot_read(place, tmp_path):
    np.savez("other.npz", x=np.zeros(2))
    np.savez("future.npz", metadata=np.array('{"format": "explanations 9"}'))
    (tmp_path / "broken.npz").write_bytes(b"")
    for name, message in (
        ("other.npz", "other.npz was not written by 'signxai explain': it holds no metadata"),
        ("future.npz", "has the format 'explanations 9'; this version reads 'signxai-core explanations 2'"),
        ("broken.npz", "cannot read broken.npz: "),
        ("x.npy", "x.npy was not written by 'signxai explain': it holds no metadata"),
    ):
        assert message in fail(FileError, "recompute", name, f"{place}:images")


def test_all_methods_on_images(place, tmp_path):
    result = run("explain", f"{place}:images", "x.npy", "-m", "all", "--set", "mu=0.25", "-o", "out")
    assert result.exit_code == 0
    assert "left out grad_cam_timeseries: for inputs with one spatial axis; this one has 2" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["explanations.npz", "sheet.png", "table.csv"]


def test_series(place, tmp_path):
    succeed("explain", f"{place}:series", "x.csv", "-m", "*grad_cam_timeseries", "-m", "lrp_z", "-o", "out")
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert found["inputs"].shape == (1, 2, 12)
        assert found["maps/lrp_z"].shape == (1, 2, 12)
    assert {path.name for path in (tmp_path / "out/maps").iterdir()} == {
        "x.csv_grad_cam_timeseries.png",
        "x.csv_lrp_z.png",
    }


def test_pattern_leaves_out_what_needs_a_parameter(place):
    result = run("explain", f"{place}:images", "x.npy", "-m", "gradient_x_sign*", "-o", "out")
    assert "left out gradient_x_sign_mu: needs --set mu=..." in result.stderr


def test_name_without_its_parameter_fails(place, tmp_path):
    text = fail(ParameterError, "explain", f"{place}:images", "x.npy", "-m", "gradient_x_sign_mu", "-o", "out")
    assert "needs the parameter mu" in text
    assert not (tmp_path / "out").exists()


def test_nothing_left(place):
    text = fail(InputError, "explain", f"{place}:images", "x.npy", "-m", "gradient", "--exclude", "grad*", "-o", "out")
    assert text == "no method is left to compute; --exclude drops all"
    text = fail(InputError, "explain", f"{place}:images", "x.npy", "-m", "grad_cam_time*", "-o", "out")
    assert text.startswith("no method is left to compute:\n  grad_cam_timeseries: for inputs with one spatial axis")


def test_existing_files_are_kept(place, tmp_path):
    command = ("explain", f"{place}:images", "x.npy", "-m", "gradient", "-o", "out")
    succeed(*command)
    before = (tmp_path / "out/explanations.npz").stat().st_mtime_ns
    text = fail(FileError, *command)
    assert text.startswith(
        "out/explanations.npz, out/table.csv, out/maps/x.npy_0_gradient.png and 1 more exist already"
    )
    assert text.endswith("; choose another --output, or allow it with --overwrite")
    assert (tmp_path / "out/explanations.npz").stat().st_mtime_ns == before
    succeed(*command, "--overwrite")


def test_volumes_have_no_pictures(place, tmp_path):
    np.save("volume.npy", np.zeros((1, 1, 2, 2, 2), dtype=np.float32))
    (tmp_path / f"{place}_volume.py").write_text(
        "from torch import nn\ndef model():\n    return nn.Sequential(nn.Flatten(), nn.Linear(8, 2))\n"
    )
    command = ("explain", f"{place}_volume:model", "volume.npy", "-m", "gradient", "-o", "out")
    text = fail(InputError, *command, "--pictures", "each")
    assert text == (
        "inputs of shape (1, 1, 2, 2, 2) cannot be drawn: only vectors, series and images can; use --pictures none"
    )
    assert "no pictures: inputs of shape" in run(*command).stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["explanations.npz", "table.csv"]


def test_plan(place):
    text = succeed("plan", f"{place}:images", "x.npy", "--method", "lrpsign_epsilon_1")
    assert "input layer" in text
    assert "conv2d" in text


def test_configuration_files(place, tmp_path):
    (tmp_path / "ours.toml").write_text('[methods.ours]\nname = "lrp_epsilon_1"\nparameters = { epsilon = 0.5 }\n')
    try:
        assert succeed("methods", "our*", "--config", "ours.toml") == "ours\n"
        assert "z + s(z)·0.5" in succeed("show", "ours", "--config", "ours.toml")
        succeed("explain", f"{place}:images", "x.npy", "-m", "ours", "--config", "ours.toml", "-o", "out")
        text = succeed("recompute", "out/explanations.npz", f"{place}:images", "--config", "ours.toml")
        assert "1 of 1 maps are the same" in text
        assert "absent.toml" in fail(FileError, "methods", "--config", "absent.toml")
    finally:
        process._FILES.clear()
        process.registry.cache_clear()


# Rules of single layers


def test_rules_of_layers_are_planned_computed_and_recomputed(place, tmp_path):
    arguments = (f"{place}:images", "x.npy")
    rules = ("--rule", "0=gamma:0.25")
    text = succeed("plan", *arguments, "-m", "lrpsign_epsilon_1", *rules)
    assert "gamma 0.25" in text
    text = succeed("explain", *arguments, "-m", "lrp*_epsilon_1", *rules, "-o", "out", "--pictures", "none")
    for command in (("plan",), ("explain", "-o", "other")):
        wrong = (*arguments, "-m", "lrpsign_epsilon_1", *rules, "--rule", "no*=flat", *command[1:])
        assert "no operation has such a path" in fail(PlanError, command[0], *wrong)
    assert not (tmp_path / "other").exists()
    with np.load(tmp_path / "out/explanations.npz", allow_pickle=False) as found:
        relevance, x = found["maps/lrpsign_epsilon_1"], found["inputs"]
        np.testing.assert_array_equal(relevance, found["maps/lrpz_epsilon_1"])  # the rule replaces both input layers
    spec = sx.with_rules("lrpsign_epsilon_1", {"0": "gamma:0.25"})
    wanted = sx.explain(_model(place).images(), x, spec).relevance
    np.testing.assert_allclose(relevance, wanted, rtol=1e-5, atol=1e-7)
    assert "maps are the same" in succeed("recompute", "out/explanations.npz", f"{place}:images")


def test_rules_of_layers_that_are_wrong(place):
    arguments = ("plan", f"{place}:images", "x.npy", "-m", "lrp_z", "--rule")
    assert "expected PATH=RULE, got 'features'" in run(*arguments, "features").output
    assert "unknown rule 'gama'" in fail(UnknownNameError, *arguments, "*=gama")
    assert "a rule for '*' is given twice" in fail(ParameterError, *arguments, "*=flat", "--rule", "*=z")
