"""PyTorch against TensorFlow: what the example compares, and that it sees what is wrong."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras

FOLDER = Path(__file__).parent.parent / "examples" / "comparison" / "frameworks"
MODULES = ("judging", "page", "twins")
METHODS = ("gradient", "lrpsign_epsilon_0_1", "gradient_x_sign_mu", "random_uniform")
SMALL = ("--width", "0.03125", "--side", "32", "--length", "64")


@pytest.fixture(scope="module")
def frameworks():
    """The example's modules, which are imported as scripts import what lies beside them."""
    sys.path.insert(0, str(FOLDER))
    try:
        found = {name: importlib.import_module(name) for name in MODULES}
        spec = importlib.util.spec_from_file_location("comparison_frameworks_main", FOLDER / "__main__.py")
        found["main"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found["main"])
        yield type("Frameworks", (), found)
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def test_numbers_of_a_difference(frameworks):
    a, b = np.array([[1.0, -4.0], [2.0, 2.5]]), np.array([[1.5, -2.0], [2.0, 2.5]])
    found = frameworks.judging.apart("x", a, b)
    assert (found.largest, found.mean, found.relative) == (2.0, 2.5 / 4, 0.5)
    normalised = np.abs(a / 4 - b / 2.5)
    assert found.normalised_largest == pytest.approx(normalised.max())
    assert found.normalised_mean == pytest.approx(normalised.mean())
    assert found.correlation == pytest.approx(min(np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)))
    assert frameworks.judging.apart("0", np.zeros((1, 2)), np.zeros((1, 2))).relative == 0


def test_twins_have_layers_of_the_same_names(frameworks):
    for both in (
        frameworks.twins.image(width=1 / 32, side=32, dtype="float32"),
        frameworks.twins.ecg(length=64, dtype="float64"),
    ):
        names = [name for name, _ in both.torch.named_children()]
        assert [layer.name for layer in both.keras.layers] == names
        assert both.x.dtype == np.dtype(keras.backend.standardize_dtype(both.keras.inputs[0].dtype))
        found = frameworks.judging.activations(both)
        assert [a.name for a in found] == [name for name in names if name != "flatten"]
        assert max(a.relative for a in found) < (1e-5 if both.key == "image" else 1e-13)
    vgg = frameworks.twins.image(width=1 / 32, side=32, dtype="float32")
    assert sum(name.endswith(("conv1", "conv2", "conv3")) for name, _ in vgg.torch.named_children()) == 13


@pytest.mark.parametrize("key", ["image", "ecg"])
def test_command(frameworks, key, tmp_path, capsys):
    arguments = ["--output", str(tmp_path), "--networks", key, "--methods", *METHODS, *SMALL]
    assert frameworks.main.main(arguments) == 0
    assert f"{key}: 4 of 4 methods agree within 0.0001" in capsys.readouterr().out
    page = (tmp_path / "frameworks.md").read_text("utf-8")
    assert f"- **{key}: 4 of 4 methods agree within 0.0001**; the largest difference of those is" in page
    for name in METHODS:
        assert f"| `{name}` |" in page
    assert (tmp_path / f"{key}_gradient.png").stat().st_size > 3000
    rows = list(csv.DictReader((tmp_path / f"{key}_methods.csv").read_text().splitlines()))
    assert [row["method" if "method" in row else "name"] for row in rows] == list(METHODS)
    layers = list(csv.DictReader((tmp_path / f"{key}_layers.csv").read_text().splitlines()))
    assert layers[-1]["name"] == "predictions"


def test_a_wrong_twin_is_found(frameworks, tmp_path, capsys, monkeypatch):
    right = frameworks.twins.ecg

    def wrong(**options):
        both = right(**options)
        weight = both.keras.get_layer("conv3").kernel
        weight.assign(weight * 1.01)
        return both

    monkeypatch.setattr(frameworks.twins, "ecg", wrong)
    arguments = ["--output", str(tmp_path), "--networks", "ecg", "--methods", "gradient", *SMALL]
    assert frameworks.main.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "ecg: 0 of 1 methods agree within 0.0001" in printed
    assert "differs by more than 0.0001: ecg: conv3\n" in printed
    assert "differs by more than 0.0001: ecg: gradient\n" in printed
    assert "ecg: conv2\n" not in printed
    page = (tmp_path / "frameworks.md").read_text("utf-8")
    assert "**not** in float64" in page


def test_what_rounding_decides_is_judged_in_float64(frameworks, tmp_path):
    arguments = [
        "--output",
        str(tmp_path),
        "--networks",
        "ecg",
        "--methods",
        "gradient",
        "--tolerance",
        "1e-12",
        *SMALL,
    ]
    frameworks.main.main(arguments)  # activations differ by more, the map only in float32
    page = (tmp_path / "frameworks.md").read_text("utf-8")
    assert "0 of 1 methods agree within 1e-12" in page
    assert "in float64 (" in page
    assert "**not** in float64" not in page
