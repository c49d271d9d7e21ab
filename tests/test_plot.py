"""Figures of images, series and vectors: drawn, measured, and looked at by rules."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from pictures import assert_tidy, is_blue, is_red, pixels, texts

import signxai_core as sx
from signxai_core import notebook, plot
from signxai_core.errors import FileError, InputError, InputShapeError, ParameterError
from signxai_core.extras import MissingPackageError
from signxai_core.plot import colours, samples


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def spots():
    """Relevance of 8 × 8 pixels: +1 above left, −0.5 below right."""
    relevance = np.zeros((8, 8))
    relevance[1, 1], relevance[6, 6] = 1.0, -0.5
    return relevance


def at(figure, axes, x, y):
    """Return the pixel at a place in data coordinates."""
    picture = pixels(figure)
    column, row = axes.transData.transform((x, y))
    return picture[picture.shape[0] - 1 - round(row), round(column)]


# Images


def test_image_has_its_colours_in_their_places():
    figure, axes = plot.image(spots(), title="spots")
    assert_tidy(figure)
    assert is_red(at(figure, axes, 1, 1))
    assert is_blue(at(figure, axes, 6, 6))
    middle = at(figure, axes, 3, 3).astype(int)
    assert np.ptp(middle) < 20
    assert middle.min() > 210
    assert [text for text, _ in texts(figure)].count("0") == 1


def test_image_over_its_input_is_coloured_only_where_relevance_is(rng):
    x = np.tile(np.linspace(0, 1, 8), (3, 8, 1))
    figure, axes = plot.image(spots(), x)
    assert_tidy(figure)
    assert is_red(at(figure, axes, 1, 1))
    left, right = at(figure, axes, 0, 4).astype(int), at(figure, axes, 7, 4).astype(int)
    assert np.ptp(left) == np.ptp(right) == 0  # grey
    assert left[0] < right[0]


def test_scale_is_symmetric_and_can_be_given():
    for limit, end in ((None, "1"), (2.5, "2.5")):
        figure, _ = plot.image(spots(), limit=limit)
        labels = [text for text, _ in texts(figure)]
        assert {f"−{end}", "0", end} <= set(labels)
    with pytest.raises(ParameterError, match=r"limit must be a positive number, got 0"):
        plot.image(spots(), limit=0)


@pytest.mark.parametrize(
    ("reduce", "value", "words"),
    [
        ("sum", -1.0, "relevance, sum over channels"),
        ("mean", -0.5, "relevance, mean over channels"),
        ("strongest", -3.0, "relevance, channel with largest |R|"),
        ("norm", 13**0.5, "relevance, Euclidean norm over channels"),
    ],
)
def test_reduction_of_channels_is_stated(reduce, value, words):
    relevance = np.zeros((2, 8, 8))
    relevance[:, 2, 2] = 2.0, -3.0
    assert samples.plane(relevance, reduce)[0][2, 2] == pytest.approx(value)
    figure, _ = plot.image(relevance, reduce=reduce)
    assert words in [text for text, _ in texts(figure)]


def test_channels_are_found_or_asked_for():
    first = samples.channels_first(np.zeros((3, 8, 9)), None, spatial=2, what="x")
    last = samples.channels_first(np.zeros((8, 9, 3)), None, spatial=2, what="x")
    assert first.shape == last.shape == (3, 8, 9)
    assert samples.channels_first(np.zeros((12, 500)), None, spatial=1, what="x").shape == (12, 500)
    assert samples.channels_first(np.zeros((500, 12)), None, spatial=1, what="x").shape == (12, 500)
    assert samples.channels_first(np.zeros((3, 8, 3)), "last", spatial=2, what="x").shape == (3, 3, 8)
    for shape in ((3, 8, 3), (16, 8, 16)):
        with pytest.raises(InputShapeError, match=r"of x does not tell where its channels are; say channels='first'"):
            samples.channels_first(np.zeros(shape), None, spatial=2, what="x")
    with pytest.raises(InputShapeError, match=r"one sample is drawn at a time: relevance\[0\]"):
        plot.image(np.zeros((1, 3, 8, 8)))
    with pytest.raises(ParameterError, match=r"channels must be 'first' or 'last', got 'middle'"):
        plot.image(np.zeros((3, 8, 8)), channels="middle")


def test_what_cannot_be_drawn():
    with pytest.raises(InputError, match=r"holds 1 NaN or infinite numbers of 64"):
        plot.image(np.where(spots() == 1, np.nan, 0))
    with pytest.raises(InputShapeError, match=r"covers \(8, 8\), the input \(9, 8\)"):
        plot.image(spots(), np.zeros((3, 9, 8)))
    with pytest.raises(ParameterError, match=r"unknown colour map 'seismik'; did you mean seismic"):
        plot.image(spots(), cmap="seismik")
    with pytest.raises(ParameterError, match=r"unknown reduction 'total'; known: sum, mean, strongest, norm"):
        plot.image(spots(), reduce="total")


def test_axes_of_the_caller_are_used():
    figure, (left, right) = plt.subplots(1, 2)
    drawn = plot.image(spots(), ax=right, colorbar=False)
    assert drawn.figure is figure
    assert drawn.axes is right
    assert not left.images


def test_seismic_on_request():
    assert colours.colormap("seismic").name == "seismic"
    figure, axes = plot.image(spots(), cmap="seismic")
    assert tuple(at(figure, axes, 1, 1)) == (127, 0, 0)


def test_zero_relevance_is_drawn_in_the_colour_of_zero():
    figure, axes = plot.image(np.zeros((8, 8)))
    assert np.ptp(at(figure, axes, 2, 2).astype(int)) < 20


# Grids


@pytest.mark.parametrize("scale", ["map", "row", "all"])
def test_grid(scale, rng):
    maps = {"gradient": np.stack([spots(), 4 * spots()]), "lrpsign_sequential_composite_b": np.stack([spots()] * 2)}
    figure, axes = plot.grid(maps, rng.random((2, 8, 8, 3)), labels=["cat", "dog"], scale=scale, title="Methods")
    assert_tidy(figure)
    assert axes.shape == (3, 2)
    assert is_red(at(figure, axes[1, 1], 1, 1))
    weak, strong = at(figure, axes[1, 0], 1, 1).astype(int), at(figure, axes[1, 1], 1, 1).astype(int)
    assert (weak.sum() > strong.sum()) == (scale != "map")  # paler where the scale is shared
    other = at(figure, axes[2, 0], 1, 1).astype(int)
    assert (other.sum() > strong.sum()) == (scale == "all")
    colour_bars = len(figure.axes) - axes.size
    assert colour_bars == {"map": 0, "row": 2, "all": 1}[scale]


def test_grid_of_explanations():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 3))
    x = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
    figure, axes = plot.grid(sx.explain_many(model, x, ["gradient", "lrp_z"]), x, overlay=True)
    assert_tidy(figure)
    assert axes.shape == (3, 3)


def test_grid_that_does_not_fit_together(rng):
    with pytest.raises(InputShapeError, match=r"different numbers of samples: \{'a': 2, 'b': 3\}"):
        plot.grid({"a": rng.random((2, 8, 8)), "b": rng.random((3, 8, 8))})
    with pytest.raises(ParameterError, match=r"maps is empty; give at least one method"):
        plot.grid({})
    with pytest.raises(ParameterError, match=r"1 labels for 2 samples"):
        plot.grid({"a": rng.random((2, 8, 8))}, labels=["one"])
    with pytest.raises(ParameterError, match=r"unknown scale 'column'; known: map, row, all"):
        plot.grid({"a": rng.random((2, 8, 8))}, scale="column")
    with pytest.raises(InputShapeError, match=r"x holds 1 samples, the maps 2"):
        plot.grid({"a": rng.random((2, 8, 8))}, rng.random((1, 8, 8)))


@pytest.mark.parametrize("scale", ["map", "all"])
def test_side_by_side(scale, rng):
    maps = {"gradient": spots(), "lrpsign_sequential_composite_b": 5 * spots()}
    figure, axes = plot.side_by_side(maps, rng.random((3, 8, 8)), scale=scale, title="One image")
    assert_tidy(figure)
    assert len(axes) == 3
    assert is_red(at(figure, axes[2], 1, 1))
    weak, strong = (at(figure, place, 1, 1).astype(int).sum() for place in axes[1:])
    assert (weak > strong) == (scale == "all")
    with pytest.raises(ParameterError, match=r"scale is 'map' or 'all'"):
        plot.side_by_side(maps, scale="row")


def test_difference_has_a_scale_of_its_own(rng):
    figure, axes = plot.difference(spots(), spots() - 1e-6 * spots()[::-1], rng.random((8, 8)), names=("A", "B"))
    assert_tidy(figure)
    assert "difference, largest 1e-06" in [text for text, _ in texts(figure)]
    assert is_red(at(figure, axes[3], 1, 6))
    with pytest.raises(InputShapeError, match=r"the maps cover \(8, 8\) and \(8, 7\)"):
        plot.difference(spots(), spots()[:, :7])


# Series, spectrograms, vectors


@pytest.mark.parametrize("style", ["band", "trace"])
def test_series(style):
    steps = np.arange(200)
    x = np.stack([np.sin(steps / 9), np.cos(steps / 5), steps / 100])
    relevance = np.zeros_like(x)
    relevance[1, 95:105] = -1.0
    relevance[2, 40:60] = 1.0
    figure, axes = plot.series(
        relevance, x, sampling_rate=100, names=["a", "b", "accelerometer"], style=style, title="t"
    )
    assert_tidy(figure)
    assert is_blue(at(figure, axes[1], 1.0, 0.0 if style == "band" else np.cos(100 / 5) + 0.05))
    assert is_red(at(figure, axes[2], 0.5, 1.5 if style == "band" else 0.53))
    assert not is_red(at(figure, axes[0], 0.5, 0.0))
    assert axes[-1].get_xlabel() == "time in s"


def test_series_with_one_channel_and_without_rate():
    figure, axes = plot.series(np.sin(np.arange(50)), np.arange(50.0))
    assert_tidy(figure)
    assert axes[0].get_xlabel() == "step"
    with pytest.raises(InputShapeError, match=r"the relevance has shape \(1, 50\), the series \(1, 49\)"):
        plot.series(np.ones(50), np.ones(49))
    with pytest.raises(ParameterError, match=r"2 names for 1 channels"):
        plot.series(np.ones(50), np.ones(50), names=["a", "b"])
    with pytest.raises(ParameterError, match=r"unknown style 'dots'; known: band, trace"):
        plot.series(np.ones(50), np.ones(50), style="dots")


def test_spectrogram_has_low_frequencies_below(rng):
    relevance = np.zeros((16, 40))
    relevance[2, 10] = 1.0
    power = rng.random((16, 40))
    times, frequencies = np.arange(40) / 10, np.arange(16) * 4.0
    figure, axes = plot.spectrogram(relevance, power, times=times, frequencies=frequencies, title="spectrogram")
    assert_tidy(figure)
    assert is_red(at(figure, axes, 1.0, 8.0))
    below, above = axes.transData.transform((1.0, 8.0))[1], axes.transData.transform((1.0, 60.0))[1]
    assert below < above
    with pytest.raises(ParameterError, match=r"frequencies must rise in even steps"):
        plot.spectrogram(relevance, frequencies=np.geomspace(1, 100, 16))
    with pytest.raises(InputShapeError, match=r"times has shape \(3,\); the spectrogram has 40 of them"):
        plot.spectrogram(relevance, times=np.arange(3))


def test_bars():
    figure, axes = plot.bars(np.array([1.0, -2.0, 0.5]), names=["age", "heart rate", "pressure"], title="patient")
    assert_tidy(figure)
    assert is_red(at(figure, axes, 0.5, 0))
    assert is_blue(at(figure, axes, -1.0, 1))
    with pytest.raises(InputShapeError, match=r"bars take one number per feature"):
        plot.bars(np.zeros((2, 2)))


# Files


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files_are_the_same_every_time(suffix, tmp_path):
    contents = []
    for name in ("one", "two"):
        figure, _ = plot.image(spots(), title="Σ relevance")
        contents.append(plot.save(figure, tmp_path / f"{name}.{suffix}").read_bytes())
    assert contents[0] == contents[1]
    assert contents[0][:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    if suffix == "svg":
        assert "Σ relevance".encode() in contents[0]  # text stays text
    assert not plt.get_fignums()


def test_files_that_cannot_be_written(tmp_path):
    figure, _ = plot.image(spots())
    with pytest.raises(FileError, match=r"figures are written as .png, .svg, .pdf, not as .bmp"):
        plot.save(figure, tmp_path / "map.bmp")
    with pytest.raises(FileError, match=r"cannot write the figure .*absent"):
        plot.save(figure, tmp_path / "absent/map.png")


# Explanations


@pytest.fixture(scope="module")
def explained():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 4))
    x = np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32)
    return sx.explain(model, x, "lrpsign_epsilon_0_1", 2), x


def test_explanation_plots_itself(explained):
    explanation, x = explained
    figure, axes = explanation.plot(x, sample=1)
    assert_tidy(figure)
    assert axes.get_title() == "lrpsign_epsilon_0_1, target 2"
    named = explanation.plot(x, labels=["cat", "dog", "horse"]).axes
    assert named.get_title() == "lrpsign_epsilon_0_1, target 2, horse"
    assert explanation.plot(x, labels=["cat"]).axes.get_title() == "lrpsign_epsilon_0_1, target 2"
    assert explanation.plot(x[1], sample=1, title="other", cmap="seismic").axes.get_title() == "other"
    with pytest.raises(ParameterError, match=r"there is no sample 3; the explanation has 3"):
        explanation.plot(sample=3)
    with pytest.raises(ParameterError, match=r"unknown kind 'pie'; known: image, spectrogram, series, ecg, bars"):
        explanation.plot(kind="pie")


def test_explanation_of_series_and_vectors():
    vectors = sx.explain(torch.nn.Linear(4, 2), np.ones((1, 4), np.float32), "lrp_z")
    assert_tidy(vectors.plot().figure)
    model = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3 * 30, 2))
    x = np.random.default_rng(0).random((1, 2, 32), dtype=np.float32)
    series = sx.explain(model, x, "gradient")
    assert len(series.plot(x).axes) == 2
    with pytest.raises(
        ParameterError, match=r"relevance of kind 'series' is drawn along its signal; give it: plot\(x\)"
    ):
        series.plot()
    assert_tidy(series.plot(x, sampling_rate=10, leads=["I", "II"], layout="12x1").figure)


def test_binary(explained):
    explanation, _ = explained
    relevance = explanation.relevance
    half = explanation.binary(threshold=0.5)
    assert half.dtype == np.int8
    largest = np.abs(relevance).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_array_equal(half, np.sign(relevance) * (np.abs(relevance) >= 0.5 * largest))
    tenth = explanation.binary(quantile=0.9)
    assert set(np.unique(tenth)) <= {-1, 0, 1}
    np.testing.assert_array_equal((tenth != 0).reshape(3, -1).sum(axis=1), 20)  # of 192 values
    np.testing.assert_array_equal(explanation.binary(threshold=0), np.sign(relevance))
    for wrong in ({}, {"threshold": 0.5, "quantile": 0.5}):
        with pytest.raises(ParameterError, match=r"binary\(\) takes one of threshold= and quantile="):
            explanation.binary(**wrong)
    with pytest.raises(ParameterError, match=r"quantile must lie between 0 and 1, got 90"):
        explanation.binary(quantile=90)


def test_notebooks(explained, monkeypatch):
    explanation, _ = explained
    text = explanation._repr_html_()
    assert text.count("data:image/png;base64,") == 3
    assert "lrpsign_epsilon_0_1" in text
    assert text.count("<tr>") == 4
    assert not plt.get_fignums()

    def absent(_):
        raise MissingPackageError(["matplotlib"], "signxai_core.plot", "plot")

    monkeypatch.setattr(plot, "html", absent)
    without = notebook.render(explanation)
    assert "pip install &#x27;signxai-core[plot]&#x27;" in without
    assert without.count("<tr>") == 4
