# ruff: noqa: F401, F811 - fixtures
"""ECG records, names of classes and customary preprocessing on the command line."""

from __future__ import annotations

import csv
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import fail, place, run, succeed

from signxai_core import ecg
from signxai_core.cli import models, preprocess
from signxai_core.cli.inputs import Reading, read
from signxai_core.cli.labelling import Labelling
from signxai_core.cli.preprocess import Preprocess, applied, shown
from signxai_core.errors import FileError, InputError, ModelError
from signxai_torch import loading

HEART = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(12, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
"""


@pytest.fixture
def record(tmp_path):
    """Two seconds of twelve leads in an order of their own."""
    times = np.arange(500) / 250
    names = (*ecg.STANDARD_LEADS[6:], *ecg.STANDARD_LEADS[:6])
    signal = np.stack([np.sin(2 * np.pi * times) * (1 + ecg.STANDARD_LEADS.index(n)) / 12 for n in names])
    return ecg.write(ecg.from_array(signal, 250, leads=names, name="heart"), tmp_path)


@pytest.fixture
def net(place, tmp_path):
    (tmp_path / f"{place}_heart.py").write_text(HEART)
    return f"{place}_heart:net"


def test_records_are_read_as_they_are(record):
    found = read([record], Reading())
    assert found.array.shape == (1, 12, 500)
    assert found.sampling_rate == 250
    assert found.leads[:2] == ("V1", "V2")
    assert found.labels == ("heart.hea",)


def test_records_are_resampled_and_put_in_order(record):
    found = read([record], Reading(layout="channels_last", sampling_rate=100, leads=ecg.STANDARD_LEADS))
    assert found.array.shape == (1, 200, 12)
    np.testing.assert_allclose(np.abs(found.array[0]).max(axis=0), (1 + np.arange(12)) / 12, atol=0.02)
    assert (found.sampling_rate, found.leads) == (100, ecg.STANDARD_LEADS)


def test_records_of_one_call_get_the_rate_and_the_order_of_the_first(record, tmp_path):
    signal = np.ones((12, 1000)) * np.arange(12)[:, None]
    other = ecg.write(ecg.from_array(signal / 10, 500, name="other"), tmp_path)
    found = read([record, other], Reading())
    assert found.array.shape == (2, 12, 500)
    assert found.array[1, 0, 100] == pytest.approx(0.6, abs=0.01)  # V1 comes first


def test_ecg_on_paper(net, record, tmp_path):
    text = succeed(
        "explain", net, record, "-m", "lrp_epsilon_1", "-o", "out", "--leads", ",".join(ecg.STANDARD_LEADS),
        "--labels", "normal,AV block,LBBB", "--target", "1",
    )  # fmt: skip
    assert "target 1, AV block" in text
    with Image.open(tmp_path / "out/maps/heart.hea_lrp_epsilon_1.png") as picture:
        assert picture.width > 900  # 220 mm at 110 dpi
    with (tmp_path / "out/table.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["target"], row["class"]) == ("1", "AV block")
    assert "maps are the same" in succeed("recompute", "out/explanations.npz", net)


def test_series_in_seconds_and_with_names(place, tmp_path):
    arguments = ("explain", f"{place}:series", "x.csv", "-m", "gradient", "-o", "out")
    succeed(*arguments, "--sampling-rate", "4", "--leads", "left,right")
    assert len(list((tmp_path / "out/maps").iterdir())) == 1


def test_names_of_classes_from_a_file(place, tmp_path):
    (tmp_path / "classes.txt").write_text("zero\none\ntwo\nthree\nfour\n")
    text = succeed("explain", f"{place}:images", "x.npy", "-m", "gradient", "-o", "out", "--labels", "classes.txt",
                   "--target", "3")  # fmt: skip
    assert "target 3, three" in text
    assert Labelling(classes=("a",)).target(1) == "1"
    assert Labelling(classes=("a",)).target("") == ""


def test_what_does_not_fit(place, record, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    explain = ("explain", f"{place}:images")
    rest = ("-m", "gradient", "-o", "out")
    assert fail(InputError, *explain, "x.png", "--leads", "I", *rest).startswith("--leads is for series, and no input")
    assert fail(InputError, *explain, "x.csv", "--preprocess", "tf", *rest).startswith(
        "--preprocess is for image files"
    )
    text = fail(InputError, *explain, "x.png", "--preprocess", "tf", "--scale", "0,1", *rest)
    assert text == "--preprocess says what --scale, --mean, --std and --grey would: give the one or the others"
    assert "there is no WFDB record" in fail(FileError, *explain, record, tmp_path / "absent.hea", *rest) or True
    assert "expected names separated by commas" in run(*explain, "x.npy", "--labels", "a,,b", *rest).output


# Images


def test_customary_preprocessing():
    pixels = np.array([[[255.0, 128.0, 0.0]]])
    np.testing.assert_allclose(applied(pixels, Preprocess.tf), [[[1, 128 / 127.5 - 1, -1]]], atol=1e-6)
    np.testing.assert_allclose(
        applied(pixels, Preprocess.caffe), [[[-103.939, 128 - 116.779, 255 - 123.68]]], rtol=1e-5
    )
    expected = (np.array([1, 128 / 255, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(applied(pixels, Preprocess.torch)[0, 0], expected, rtol=1e-5)
    np.testing.assert_array_equal(applied(pixels, Preprocess.raw), pixels)
    caffe = applied(pixels, Preprocess.caffe)
    assert shown(caffe, Preprocess.caffe)[0, 0, 0] == caffe[0, 0, 2]


def test_preprocessing_on_the_command_line(place, tmp_path):
    (tmp_path / f"{place}_rgb.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    succeed("explain", f"{place}_rgb:net", "x.png", "-m", "gradient", "--preprocess", "caffe", "-o", "out",
            "--pictures", "sheets")  # fmt: skip
    with np.load(tmp_path / "out/explanations.npz") as found:
        np.testing.assert_allclose(found["inputs"][0], np.moveaxis(applied(pixels, Preprocess.caffe), -1, 0))


# torchvision


class Weights:
    DEFAULT = types.SimpleNamespace(meta={"categories": ["tench", "goldfish"]})


@pytest.fixture
def torchvision(monkeypatch):
    """A stand-in for torchvision's models, which this machine may not have."""
    asked = []

    def get_model(name, weights):
        if weights == "DEFAULT":
            raise OSError("no network")
        asked.append(name)
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 2))

    module = types.ModuleType("torchvision.models")
    module.list_models = lambda: ["resnet18", "resnet50"]
    module.get_model = get_model
    module.get_model_weights = lambda _: Weights
    package = types.ModuleType("torchvision")
    package.models = module
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", module)
    return asked


def test_models_of_torchvision(place, torchvision, tmp_path):
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "x.png")
    succeed("explain", "torchvision:resnet18", "x.png", "-m", "gradient", "-o", "out", "--pictures", "none")
    with np.load(tmp_path / "out/explanations.npz") as found:
        assert found["inputs"].shape == (1, 3, 224, 224)
        assert found["inputs"][0, 0, 0, 0] == pytest.approx((1 - 0.485) / 0.229)
    succeed("explain", "torchvision:resnet18", "x.png", "-m", "gradient", "-o", "raw", "--pictures", "none",
            "--scale", "0,1", "--size", "16x16")  # fmt: skip
    with np.load(tmp_path / "raw/explanations.npz") as found:
        assert found["inputs"].shape == (1, 3, 16, 16)
        assert found["inputs"].max() == 1
    assert torchvision == ["resnet18", "resnet18"]


def test_models_of_torchvision_that_cannot_be_had(place, torchvision):
    text = fail(ModelError, "plan", "torchvision:resnet19", "x.npy", "-m", "gradient")
    assert text == "torchvision has no 'resnet19'; did you mean resnet18, resnet50? It has resnet18, resnet50"
    text = fail(FileError, "plan", "torchvision:resnet18", "x.npy", "--weights", "imagenet", "-m", "gradient")
    assert text.startswith("the weights 'imagenet' of resnet18 are neither stored in PyTorch's folder nor could they")


def test_names_of_imagenets_classes(torchvision):
    assert loading.class_names("torchvision:resnet18") == ("tench", "goldfish")
    assert models.class_names("torchvision:resnet18", None) == ()


def test_torchvision_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(
        ModelError, match=r"torchvision cannot be imported: .* Install it with: pip install torchvision"
    ):
        loading.load_model("torchvision:resnet18", None)
