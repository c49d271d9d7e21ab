"""``signxai metrics``, as a user meets it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import signxai_core as sx
from signxai_core import metrics
from signxai_core.cli.app import app
from signxai_core.cli.judging import METRICS
from signxai_core.cli.models import load
from signxai_core.errors import FileError, InputError, InputShapeError

MODELS = """
import torch
from torch import nn


def images():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def vectors():
    torch.manual_seed(0)
    return nn.Linear(6, 3)
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = run(*arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def fail(error, *arguments):
    result = run(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A folder with maps of three images, to be the current one; returns the model's name."""
    name = f"models_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODELS)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32))
    mask = np.zeros((1, 8, 8), bool)
    mask[:, 2:6, 2:6] = True
    np.save(tmp_path / "mask.npy", mask)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("COLUMNS", "200")
    model = f"{name}:images"
    methods = ("-m", "gradient_x_input", "-m", "lrpsign_z", "-m", "gradient_x_sign_mu", "--set", "mu=0.5")
    succeed("explain", model, "x.npy", *methods, "-o", "out", "--pictures", "none", "--target", "1,0,2")
    return model


def test_table_and_csv_hold_what_the_functions_say(stored):
    text = succeed("metrics", "out/explanations.npz", stored, "--mask", "mask.npy", "-o", "table.csv")
    model, x = load(stored, weights=None, backend=None), np.load("x.npy")
    predict, mask = metrics.predictor(model), np.load("mask.npy").repeat(3, axis=0)
    rows = list(csv.DictReader(Path("table.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 9
    for name in ("gradient_x_input", "lrpsign_z"):
        maps = sx.explain(model, x, name, [1, 0, 2]).relevance
        flipping = {"channel_axis": 1, "target": [1, 0, 2]}
        wanted = {
            "aoc": metrics.aoc(metrics.morf(predict, x, maps, **flipping)),
            "gain": metrics.relevance_gain(predict, x, maps, **flipping),
            "pcc": metrics.pcc(x, maps),
            "scc": metrics.scc(x, maps),
            "mass": metrics.mass_accuracy(maps, mask, channel_axis=1),
            "rank": metrics.rank_accuracy(maps, mask, channel_axis=1),
        }
        mine = [row for row in rows if row["method"] == name]
        assert set(rows[0]) == {"sample", "method", *wanted}
        for key, values in wanted.items():
            np.testing.assert_allclose([float(row[key]) for row in mine], values, atol=1e-6)
            assert str(metrics.mean_interval([float(row[key]) for row in mine])) in text
            assert f"{key}: {METRICS[key].text}" in text


def test_all_metrics_as_json(stored):
    chosen = [part for key in METRICS for part in ("-m", key)]
    options = ("--mask", "mask.npy", "--json", "--level", "0.9", "--region", "2", "--radius", "0.01")
    found = json.loads(succeed("metrics", "out/explanations.npz", stored, *chosen, *options))
    assert found["level"] == 0.9
    assert list(found["methods"]) == ["gradient_x_input", "lrpsign_z", "gradient_x_sign_mu"]
    for columns in found["methods"].values():
        assert list(columns) == list(METRICS)
        assert all(column["low"] <= column["mean"] <= column["high"] for column in columns.values())
    model, x = load(stored, weights=None, backend=None), np.load("x.npy")
    maps = sx.explain(model, x, "lrpsign_z", [1, 0, 2]).relevance
    options = {"channel_axis": 1, "target": [1, 0, 2]}
    regions = metrics.grid_regions((8, 8), 2)
    wanted = {
        "deletion": metrics.area(metrics.deletion(metrics.predictor(model), x, maps, regions, **options)),
        "insertion": metrics.area(metrics.insertion(metrics.predictor(model), x, maps, regions, **options)),
        "sensitivity": metrics.max_sensitivity(
            lambda near: sx.explain(model, near, "lrpsign_z", [1, 0, 2]), x, radius=0.01 * float(np.ptp(x))
        ),
        "randomisation": metrics.randomisation(
            lambda other, x: sx.explain(other, x, "lrpsign_z", [1, 0, 2]), model, x
        ).values[-1],
    }
    for key, values in wanted.items():
        assert found["methods"]["lrpsign_z"][key]["mean"] == pytest.approx(values.mean(), abs=1e-6)


def test_without_a_model_and_with_vectors(stored):
    text = succeed("metrics", "out/explanations.npz")
    assert "pcc: " in text
    assert "aoc" not in text
    np.save("v.npy", np.random.default_rng(0).random((2, 6), dtype=np.float32))
    vectors = stored.replace("images", "vectors")
    succeed("explain", vectors, "v.npy", "-m", "gradient", "-o", "flat", "--pictures", "none")
    assert "aoc: " in succeed("metrics", "flat/explanations.npz", vectors, "-m", "aoc")


def test_errors(stored):
    assert "unknown metric 'auc'; known are aoc, gain" in fail(
        InputError, "metrics", "out/explanations.npz", "-m", "auc"
    )
    text = fail(InputError, "metrics", "out/explanations.npz", "-m", "aoc")
    assert text == "the metric 'aoc' needs the model: signxai metrics FILE MODEL"
    text = fail(InputError, "metrics", "out/explanations.npz", "-m", "rank")
    assert text == "the metric 'rank' needs --mask"
    np.save("two.npy", np.ones((2, 8, 8), bool))
    assert "is for 2 samples, and the maps are of 3" in fail(
        InputShapeError, "metrics", "out/explanations.npz", "--mask", "two.npy"
    )
    Path(path := "bad.npy").touch()
    assert "cannot read the mask bad.npy" in fail(FileError, "metrics", "out/explanations.npz", "--mask", path)
    assert "must be one array with an axis of samples" in fail(
        FileError, "metrics", "out/explanations.npz", "--mask", "out/explanations.npz"
    )
    succeed("metrics", "out/explanations.npz", "-o", "t.csv")
    assert "t.csv exists already" in fail(FileError, "metrics", "out/explanations.npz", "-o", "t.csv")
