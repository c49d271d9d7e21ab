"""The demo, from data to page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import signxai_core as sx
from signxai_core.cli.app import app
from signxai_core.demo import data
from signxai_core.errors import BackendError, FileError, InputError, UnknownNameError
from signxai_torch import demo_model

ECGS = ["AV_block", "ischaemia", "left_bundle_branch_block", "right_bundle_branch_block"]
#: Keras' own, when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FILES = sorted(
    [
        *("digits.npy", "gallery.html", "gallery.png", "maps.npz", "maps_series.npz", "model.safetensors"),
        *("shapes.png", "shapes_frameworks.png", "ecg_other_framework.png", "ecg_difference.png"),
        *(f"ecg_{name}.png" for name in ECGS),
    ]
)


def run(*arguments):
    return CliRunner().invoke(app, ["demo", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    result = run("--output", folder)
    assert result.exception is None, result.output
    return folder, result.output


def test_says_what_it_did_and_wrote(made):
    folder, text = made
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert all(str(folder / name) in text for name in FILES)
    found = [float(number) for number in re.findall(r"accuracy ([\d.]+)%", text)]
    assert len(found) == 4
    assert min(found) > 95
    assert "mu = 0.25 for those whose names leave it open: gradient_x_sign_mu, " in text


def test_explains_every_listed_method(made):
    folder, _ = made
    maps = {}
    for name in ("maps.npz", "maps_series.npz"):
        with np.load(folder / name, allow_pickle=False) as found:
            maps |= {key.removeprefix("maps/"): found[key] for key in found if key.startswith("maps/")}
    assert set(maps) == set(sx.methods())
    assert all(np.isfinite(relevance).all() for relevance in maps.values())
    assert {relevance.shape for relevance in maps.values()} == {(3, 1, 8, 8), (3, 8, 8)}


def test_page_is_complete_and_needs_nothing_else(made):
    page = (made[0] / "gallery.html").read_text("utf-8")
    for name in sx.methods():
        assert page.count(f'data-name="{sx.name(sx.parse(name)).lower()}"') == 3, name
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page
    assert "url(" not in page
    assert "Every map is scaled by its own largest" in page


def test_picture(made):
    with Image.open(made[0] / "gallery.png") as picture:
        assert min(picture.size) > 1000


def test_data_with_known_truth(made):
    folder, text = made
    lines = [line for line in text.splitlines() if "of the relevance in the truth" in line]
    assert len(lines) == 12
    for network in (lines[:6], lines[6:]):
        mass = {line.split("): ")[1].partition(",")[0]: float(line.split()[0]) for line in network}
        assert mass["lrp_epsilon_0_25_std_x"] > 1.5 * max(mass["random_uniform"], mass["centre baseline"])
        gaps = [float(gap) for gap in re.findall(r"frameworks (\S+) apart", " ".join(network))]
        assert len(gaps) == 5
        assert max(gaps) < 1e-4
    page = (folder / "gallery.html").read_text("utf-8")
    assert page.count('class="known"') == 2
    assert page.count("data:image/png") > 450


def test_weights_and_digits_recompute_the_maps(made, tmp_path):
    folder, _ = made
    result = CliRunner().invoke(
        app,
        ["explain", demo_model.MODEL, str(folder / "digits.npy"), "--weights", str(folder / demo_model.WEIGHTS),
         "-m", "lrpsign_epsilon_1", "-o", str(tmp_path), "--pictures", "none"],
    )  # fmt: skip
    assert result.exception is None, result.output
    with np.load(folder / "maps.npz") as a, np.load(tmp_path / "explanations.npz") as b:
        key = "maps/lrpsign_epsilon_1"
        np.testing.assert_allclose(a[key], b[key], rtol=1e-4, atol=1e-5 * np.abs(a[key]).max())
        assert json.loads(str(a["metadata"]))["request"]["convention"] == "textbook"


def test_recompute_all_maps(made):
    folder, _ = made
    arguments = [str(folder / "maps.npz"), demo_model.MODEL, "--weights", str(folder / demo_model.WEIGHTS)]
    result = CliRunner().invoke(app, ["recompute", *arguments])
    assert "151 of 151 maps are the same" in result.output


def test_existing_files_are_kept(made):
    error = run("--output", made[0]).exception
    assert isinstance(error, FileError)
    assert str(error).endswith("and 3 more exist already; choose another --output, or allow it with --overwrite")


def test_no_method(tmp_path):
    error = run("--methods", "nothing", "--output", tmp_path).exception
    assert isinstance(error, InputError)
    assert str(error) == "no listed method matches 'nothing'; 'signxai methods' lists them"


def test_unknown_backend(tmp_path):
    error = run("--backend", "abacus", "--output", tmp_path).exception
    assert isinstance(error, UnknownNameError | BackendError)
    assert "unknown backend 'abacus'" in str(error)


def test_training_is_seeded_and_leaves_the_random_state():
    split = data.images(1)
    x, labels = split.train[:100], split.train_labels[:100]
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    one, same, other = (demo_model.train(x, labels, classes=10, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_series_are_the_digits_row_by_row():
    images, series = data.images(1), data.series(1)
    np.testing.assert_array_equal(images.test[4, 0], series.test[4].T)
    np.testing.assert_array_equal(data.series(-1).test[4], images.test[4, 0])
    assert images.test.min() == 0
    assert images.test.max() == 1
    assert tuple(images.test_labels[images.shown()]) == data.SHOWN
