"""The published comparison: its lists, its data and networks, and that a killed run goes on."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

import signxai_core as sx
from signxai_core import data, metrics
from signxai_torch import example_models

FOLDER = Path(__file__).parent.parent / "examples" / "comparison" / "paper"
MODULES = ("digits", "figures", "judging", "methods", "networks", "page", "tables", "truth", "vgg16")


@pytest.fixture(scope="module")
def paper():
    """The example's modules, which are imported as scripts import what lies beside them."""
    sys.path.insert(0, str(FOLDER))
    try:
        found = {name: importlib.import_module(name) for name in MODULES}
        found["main"] = _main()
        yield type("Paper", (), found)
    finally:
        sys.path.remove(str(FOLDER))
        for name in MODULES:
            sys.modules.pop(name, None)


def _main():
    spec = importlib.util.spec_from_file_location("comparison_paper_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mnist(tmp_path):
    """A file like Keras' mnist.npz, with few images that can be told apart."""
    random = np.random.default_rng(0)

    def images(count):
        labels = np.arange(count) % 10
        x = random.integers(0, 60, (count, 28, 28))
        for image, label in zip(x, labels, strict=True):
            image[2 + 2 * label : 6 + 2 * label, 8:20] = 255
        return x.astype(np.uint8), labels.astype(np.uint8)

    (x, y), (z, w) = images(200), images(20)
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=z, y_test=w)
    return tmp_path / "mnist.npz"


def test_lists_are_those_published(paper):
    lists = {name: paper.methods.vgg16(name) for name in json.loads(paper.methods.LISTS.read_text()) if name != "mnist"}
    sizes = {name.removeprefix("imagenet_vgg16").lstrip("_"): len(names) for name, names in lists.items()}
    assert sizes == {"": 85, "lrp_table": 72, "main_table": 20, "figures": 11, "places365_vgg16": 26}
    digits = {str(setting): paper.methods.mnist(str(setting)) for setting in paper.networks.SETTINGS}
    assert len(digits) == 12
    assert all(len(names) == (12 if model.startswith("dense") else 16) for model, names in digits.items())
    for name in {name for names in (*lists.values(), *digits.values()) for name in names}:
        assert sx.name(sx.parse(name)) == name
    with pytest.raises(SystemExit, match="there is no list 'imagenet'; the lists for VGG16 are imagenet_vgg16, "):
        paper.methods.vgg16("imagenet")


def test_rows_join_models_that_differ_in_mu(paper):
    names = {name for setting in paper.networks.SETTINGS for name in paper.methods.mnist(str(setting))}
    rows = {paper.methods.row(name) for name in names}
    assert len(rows) == 16
    assert {part for pair in paper.methods.PAIRS for part in pair} <= rows
    assert paper.methods.row("lrpsign_epsilon_100_mu_neg_0_5") == "lrpsign_epsilon_100"


def test_scalings_and_inversions(paper):
    x = np.array([[[0.0, 0.25, 1.0]]], dtype=np.float32)
    wanted = {
        "0_to_1": ([0, 0.25, 1], [1, 0.75, 0]),
        "-1_to_0": ([-1, -0.75, 0], [0, -0.25, -1]),
        "-1_to_1": ([-1, -0.5, 1], [1, 0.5, -1]),
    }
    for name, (plain, inverted) in wanted.items():
        one, two = (paper.digits.scale(x, name, inverted=state) for state in (False, True))
        assert one.shape == (1, 1, 1, 3)
        assert (one.ravel().tolist(), two.ravel().tolist()) == (plain, inverted)
        formula = {"0_to_1": 1 - one, "-1_to_0": -(1 + one), "-1_to_1": -one}[name]
        np.testing.assert_array_equal(two, formula)


def test_five_of_every_image_and_noise(paper):
    images = np.zeros((1, 4, 4), np.float32)
    images[0, 1, 2] = 1
    five, labels = paper.digits.enlarged(images, np.array([7]))
    places = [tuple(int(i) for i in np.argwhere(image)[0]) for image in five]
    assert places == [(1, 2), (0, 1), (0, 3), (2, 1), (2, 3)]
    assert labels.tolist() == [7] * 5
    x = np.random.default_rng(0).uniform(-0.8, -0.2, (20, 1, 28, 28)).astype(np.float32)
    found = paper.digits.noisy(x, np.random.default_rng(1))
    low, high = x.min(axis=(1, 2, 3), keepdims=True), x.max(axis=(1, 2, 3), keepdims=True)
    assert np.isin((found == low) | (found == high) | (found == x), True).all()
    assert (found == high).mean() == pytest.approx(0.1, abs=0.01)
    assert (found == low).mean() == pytest.approx(0.09, abs=0.01)  # a tenth of those is overwritten


def test_digits_are_enlarged_as_image_programs_do(paper):
    data = paper.digits.load("digits")
    assert (data.train.shape, data.test.shape) == ((1437, 28, 28), (360, 28, 28))
    small = np.random.default_rng(0).random((1, 8, 8), dtype=np.float32)
    wanted = Image.fromarray(small[0]).resize((28, 28), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(paper.digits.enlarge(small, 28)[0], np.asarray(wanted), atol=1e-6)


def test_networks_are_those_published(paper):
    x = torch.zeros(2, 1, 28, 28)
    dense, cnn = (paper.networks.build(kind) for kind in ("dense", "cnn"))
    assert [tuple(model(x).shape) for model in (dense, cnn)] == [(2, 10), (2, 10)]
    count = {kind: sum(p.numel() for p in paper.networks.build(kind).parameters()) for kind in ("dense", "cnn")}
    assert count["dense"] == 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10
    assert count["cnn"] == (9 * 32 + 32) + (9 * 32 * 64 + 64) + (1600 * 64 + 64) + 2 * (64 * 64 + 64) + 650
    assert paper.networks.EPOCHS == {"dense": 5, "cnn": 3}
    assert [m.p for m in cnn if isinstance(m, torch.nn.Dropout)] == [0.25] * 4
    assert [m.p for m in dense if isinstance(m, torch.nn.Dropout)] == [0.1] * 2


def plan(paper, mnist):
    return paper.judging.Plan(data=str(mnist), images=2, seeds=1, convention="textbook", epochs={"dense": 2, "cnn": 1})


def test_a_killed_run_goes_on(paper, mnist, tmp_path, monkeypatch):
    data, setting = paper.digits.load(str(mnist)), paper.networks.SETTINGS[0]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(paper.judging, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            paper.judging.judge(tmp_path / "a", setting, 0, data, plan(paper, mnist))
    assert not (tmp_path / "a" / "results").exists()
    with monkeypatch.context() as patch:
        patch.setattr(paper.networks, "train", killed)  # the trained network is there already
        one = paper.judging.judge(tmp_path / "a", setting, 0, data, plan(paper, mnist))
        patch.setattr(paper.judging, "measure", killed)  # and now the result is
        assert paper.judging.judge(tmp_path / "a", setting, 0, data, plan(paper, mnist)) == one
    two = paper.judging.judge(tmp_path / "b", setting, 0, data, plan(paper, mnist))
    first, second = (paper.judging.read(path, setting, 0) for path in (one, two))
    assert first.methods == second.methods == tuple(paper.methods.mnist(str(setting)))
    for name in ("curves", "aoc", "pcc", "scc", "histograms"):
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name])


def test_results_are_those_of_the_metrics(paper, mnist, tmp_path):
    data, setting, some = paper.digits.load(str(mnist)), paper.networks.SETTINGS[2], plan(paper, mnist)
    result = paper.judging.read(paper.judging.judge(tmp_path, setting, 0, data, some), setting, 0)
    model = paper.judging.model_of(tmp_path, setting, 0, data, some)
    x = paper.digits.scale(data.test, setting.range, inverted=False)[paper.judging.chosen(data, 2)]
    assert x.min() >= -1
    assert x.max() <= 0
    place = result.methods.index("gradient_x_sign_mu_neg_0_5")
    maps = sx.explain(model, x, "gradient_x_sign_mu_neg_0_5").relevance
    curve = metrics.morf(metrics.predictor(model), x, maps, channel_axis=1)
    np.testing.assert_allclose(result.arrays["curves"][place], curve.values, atol=1e-6)
    np.testing.assert_allclose(result.arrays["aoc"][place], metrics.aoc(curve), atol=1e-6)
    np.testing.assert_allclose(result.arrays["pcc"][place], metrics.pcc(x, maps), atol=1e-6)
    assert result.arrays["histograms"].sum(axis=(1, 2)).tolist() == [2 * 784] * 12


def results_by_hand(paper, gains):
    """Results in which SIGN variants have ``gains`` more than the methods beside them."""
    random, found = np.random.default_rng(0), []
    for setting in paper.networks.SETTINGS:
        names = paper.methods.mnist(str(setting))
        level = {measure: random.uniform(0.2, 0.6, 30) for measure in gains}
        arrays = {
            measure: np.stack([level[measure] + gain * ("sign" in name) + random.normal(0, 0.01, 30) for name in names])
            for measure, gain in gains.items()
        }
        arrays |= {"accuracy": np.array(0.9), "seconds": np.array(60.0), "share": np.linspace(0, 1, 251)}
        found.append(paper.judging.Result(setting, 0, tuple(names), arrays))
    return found


def test_verdicts(paper):
    results = results_by_hand(paper, {"aoc": 0.1, "pcc": -0.2, "scc": 0.0})
    found = paper.tables.differences(results)
    # Two pairs with three measures and two with AOC alone; one more of those for convolutional networks.
    assert len(found) == 4 * (2 * 3 + 2) + 2
    verdicts = {measure: {d.verdict for d in found if d.measure == measure} for measure in ("aoc", "pcc")}
    assert verdicts == {"aoc": {"higher"}, "pcc": {"lower"}}
    assert sum(d.verdict == "undecided" for d in found if d.measure == "scc") >= 7
    assert all(d.agreeing == d.models == 3 for d in found if d.measure != "scc")
    for difference in found:
        if difference.measure == "aoc":
            assert difference.interval.low < 0.1 < difference.interval.high
    one = found[0]
    parts = [
        result.arrays["aoc"][[result.methods.index(name) for name in names]]
        for result in results
        if (result.setting.kind, result.setting.inverted) == one.column
        for names in [sorted(n for n in result.methods if paper.methods.row(n) in (one.sign, one.other))]
    ]
    apart = np.mean([sign - other for other, sign in parts], axis=0)
    level = 1 - 0.05 / len(found)
    wanted = scipy.stats.ttest_1samp(apart, 0).confidence_interval(level)
    assert (one.sign, one.other, one.measure) == ("gradient_x_sign", "gradient_x_input", "aoc")
    assert (one.interval.low, one.interval.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert paper.page.conclusion([d for d in found if d.measure == "aoc"]) == (
        "AOC is higher in 18, lower in 0, undecided in 0 of 18"
    )


def test_ranges_are_told_apart(paper):
    results = results_by_hand(paper, {"aoc": 0.1, "pcc": 0.0, "scc": 0.0})
    for result in results:
        if result.setting.range == "-1_to_1":  # there, SIGN loses
            sign = np.array(["sign" in name for name in result.methods])
            result.arrays["aoc"][sign] -= 0.3
    found = {(sign, range_): i for sign, _, range_, i in paper.tables.by_range(results)}
    assert len(found) == 5 * 3
    for (_, range_), interval in found.items():
        assert interval.mean == pytest.approx(-0.2 if range_ == "-1_to_1" else 0.1, abs=0.01)
    text = "\n".join(paper.page._ranges(results))
    assert "**Lower AOC than beside: `gradient_x_sign` in -1_to_1, `lrpsign_epsilon_100` in -1_to_1, " in text
    assert "Undecided: nowhere.**" in text


def test_cells_of_the_merged_table(paper):
    results = results_by_hand(paper, {"aoc": 0.1, "pcc": 0.0, "scc": 0.0})
    cell = paper.tables.merged(results, "aoc")["gradient_x_sign"]["dense", True]
    parts = [
        result.arrays["aoc"][place]
        for result in results
        for place, name in enumerate(result.methods)
        if name.startswith("gradient_x_sign") and str(result.setting).startswith("dense") and result.setting.inverted
    ]
    assert len(parts) == 3
    assert cell.mean == pytest.approx(np.mean(parts))
    assert cell.count == 30  # images, which are the same for all models
    assert ("dense", False) not in paper.tables.merged(results, "aoc")["deconvnet"]


def test_command(paper, mnist, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "run"), "--data", str(mnist), "--images", "2", "--seeds", "1"]
    paper.main.main([*arguments, "--only", "*_-1_to_0", "--threads", "1"])
    printed = capsys.readouterr().out
    assert "1/2 dense_-1_to_0, seed 0: accuracy" in printed
    assert "2/2 cnn_-1_to_0, seed 0: accuracy" in printed
    page = (tmp_path / "run" / "comparison.md").read_text("utf-8")
    assert "- MNIST (mnist.npz): 2 models × 1 training(s) (seeds 0 to 0), 2 test images each, 16 methods" in page
    assert "| `lrpsign_epsilon_100` | `lrpz_epsilon_100` | convolutional | AOC |" in page
    for name in ("curves", "scatter", "histograms", "grid", "two_classes", "snapshots"):
        assert f"](figures/{name}.png)" in page
        assert (tmp_path / "run" / "figures" / f"{name}.png").stat().st_size > 5000
    rows = list(csv.DictReader((tmp_path / "run" / "tables" / "models.csv").read_text().splitlines()))
    assert len(rows) == 12 + 16
    with pytest.raises(SystemExit, match="holds a run of other settings \\(images: 2, now 3\\); give another --output"):
        paper.main.main([*arguments[:-3], "3", *arguments[-2:]])
    with pytest.raises(SystemExit, match="no model matches 'rnn'; there are dense_0_to_1, "):
        paper.main.main([*arguments, "--only", "rnn"])


def test_errors_of_data(paper, tmp_path, mnist):
    with pytest.raises(SystemExit, match="there is no data set 'nowhere.npz'"):
        paper.digits.load("nowhere.npz")
    np.savez(tmp_path / "half.npz", x_train=np.zeros((1, 28, 28)))
    with pytest.raises(SystemExit, match="half.npz holds no x_test, y_test, y_train"):
        paper.digits.load(str(tmp_path / "half.npz"))
    with pytest.raises(SystemExit, match="99 images were asked for, and MNIST .* has 20 test images"):
        paper.judging.chosen(paper.digits.load(str(mnist)), 99)


VGG = """
import torch
from torch import nn


def small():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 64, 5))
"""


def test_vgg16_on_a_folder(paper, tmp_path, monkeypatch, capsys):
    module = f"vgg_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(VGG)
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(
            tmp_path / "pictures" / f"{name}.png"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    arguments = ["--vgg16", f"{module}:small", "--pictures", "pictures", "--size", "16", "--output", "out"]
    paper.main.main([*arguments, "--threads", "1"])
    names = paper.methods.vgg16("imagenet_vgg16_main_table")
    rows = {
        row["method"]: row
        for row in csv.DictReader(Path("out/vgg16/imagenet_vgg16_main_table/methods.csv").read_text().splitlines())
    }
    assert list(rows) == names
    x = np.concatenate([paper.vgg16.preprocessed(Path(f"pictures/{name}.png"), 16, "channels_first") for name in "ab"])
    model = importlib.import_module(module).small()
    maps = sx.explain(model, x, "lrpsign_epsilon_10").relevance
    curve = metrics.morf(metrics.predictor(model), x, maps, channel_axis=1)
    assert float(rows["lrpsign_epsilon_10"]["aoc_mean"]) == pytest.approx(metrics.aoc(curve).mean(), abs=1e-4)
    assert float(rows["lrpsign_epsilon_10"]["scc_mean"]) == pytest.approx(metrics.scc(x, maps).mean(), abs=1e-4)
    pairs = list(csv.DictReader(Path("out/vgg16/imagenet_vgg16_main_table/differences.csv").read_text().splitlines()))
    assert len(pairs) == 3 * len(paper.methods.VGG_PAIRS)
    assert capsys.readouterr().out.count(".png") == 2
    paper.main.main([*arguments, "--threads", "1"])
    assert capsys.readouterr().out.count(".png") == 0  # nothing is computed twice
    with pytest.raises(SystemExit, match="holds a run of other settings"):
        paper.main.main([*arguments, "--convention", "signxai"])


def test_vgg16_takes_blue_first_less_the_means(paper, tmp_path):
    Image.new("RGB", (8, 8), (255, 128, 0)).save(tmp_path / "x.png")
    last = paper.vgg16.preprocessed(tmp_path / "x.png", 4, "channels_last")
    assert last.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(last[0, 0, 0], [0 - 103.939, 128 - 116.779, 255 - 123.68], atol=1e-4)
    first = paper.vgg16.preprocessed(tmp_path / "x.png", 4, "channels_first")
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_known_truth(paper, tmp_path, monkeypatch):
    monkeypatch.setattr(paper.truth, "METHODS", ("random_uniform", "gradient_x_input", "gradient_x_sign"))
    monkeypatch.setattr(paper.truth, "PAIRS", (("gradient_x_sign", "gradient_x_input"),))
    result = paper.truth.judge(tmp_path, "shapes_cnn", 3, "textbook")
    assert result.methods == (*paper.truth.METHODS, paper.truth.MIDDLE)
    model = example_models.trained("shapes_cnn")
    test = paper.truth.RECIPES["shapes_cnn"].test(120, 0)
    chosen = test[data.right_ones(lambda x: example_models.predict(model, x), test)[:3]]
    maps = sx.explain(model, chosen.x, "gradient_x_sign_mu_0_5", chosen.labels).relevance
    np.testing.assert_allclose(result.arrays["mass"][2], data.found(maps, chosen)[0], atol=1e-6)
    np.testing.assert_allclose(result.arrays["rank"][2], data.found(maps, chosen)[1], atol=1e-6)
    np.testing.assert_allclose(result.arrays["pcc"][2], metrics.pcc(chosen.x, maps), atol=1e-6)
    curve = metrics.morf(metrics.predictor(model), chosen.x, maps, channel_axis=1, target=chosen.labels)
    np.testing.assert_allclose(result.arrays["aoc"][2], metrics.aoc(curve), atol=1e-5)
    page = "\n".join(paper.truth.section([result]))
    assert "### shapes_cnn: residual network for images, 3 samples, masks cover" in page
    assert page.count("| `gradient_x_sign` | `gradient_x_input` |") == 3
    monkeypatch.setattr(paper.truth, "measure", None)  # what is there is not computed again
    again = paper.truth.judge(tmp_path, "shapes_cnn", 3, "textbook")
    np.testing.assert_array_equal(again.arrays["aoc"], result.arrays["aoc"])
    paper.truth.write(tmp_path, [result])
    rows = list(csv.DictReader((tmp_path / "truth.csv").read_text().splitlines()))
    assert len(rows) == 4 * 5 + 3
