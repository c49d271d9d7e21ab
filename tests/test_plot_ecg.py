"""ECG paper against millimetres, and relevance on it."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("agg")

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from pictures import assert_tidy, is_blue, is_red, pixels, texts

from signxai_core import plot
from signxai_core.errors import InputError, InputShapeError, ParameterError
from signxai_core.leads import STANDARD_LEADS
from signxai_core.plot import paper

RATE = 100
#: Pixels per millimetre at 254 dpi.
PER_MM = 10


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def signal():
    """Ten seconds of twelve leads: one beat per second, 1 mV high in lead I, less in the others."""
    times = np.arange(10 * RATE) / RATE
    beat = np.exp(-0.5 * ((times % 1 - 0.5) / 0.02) ** 2)
    return np.stack([beat * (1 - lead / 24) for lead in range(12)])


def relevance_of(signal):
    relevance = np.zeros_like(signal)
    relevance[6, 545:556] = 1.0  # V1, the beat in the sixth second: shown in the third column
    relevance[9, 845:856] = -1.0  # V4, in the ninth second: fourth column
    return relevance


def at(figure, axes, x, y):
    picture = pixels(figure, dpi=254)
    column, row = axes.transData.transform((x, y))
    return picture[picture.shape[0] - 1 - round(row), round(column)]


def line_of(axes, lead):
    """Return a lead's first trace; traces and names are drawn in the same order."""
    names = [text.get_text() for text in axes.texts if text.get_text() in STANDARD_LEADS]
    traces = [line for line in axes.lines if len(line.get_xdata()) > 50]
    return traces[names.index(lead)]


def test_figure_has_the_size_of_the_paper_in_millimetres(signal):
    figure, axes = plot.ecg(signal, sampling_rate=RATE)
    width, height = figure.get_size_inches() * 25.4
    assert (width, height) == pytest.approx((axes.get_xlim()[1], axes.get_ylim()[1]))
    assert width == pytest.approx(16 + 250 + 6, abs=5)  # ten seconds at 25 mm/s, and the edges


def test_grid_lines_are_a_millimetre_apart_in_pixels(signal):
    figure, axes = plot.ecg(np.zeros_like(signal), sampling_rate=RATE)
    picture = pixels(figure, dpi=254).astype(int)
    assert picture.shape[1] == round(axes.get_xlim()[1] * PER_MM)
    row = round(picture.shape[0] - (axes.get_ylim()[1] - 13.5) * PER_MM)  # between two lines, above all traces
    dark = 255 - picture[row, :, 1]
    left = round(100 * PER_MM)
    profile = dark[left : left + 1000]
    peaks = [
        i for i in range(1, 999) if profile[i] > 15 and profile[i] >= profile[i - 1] and profile[i] > profile[i + 1]
    ]
    gaps = np.diff(peaks)
    assert set(gaps) <= {9, 10, 11}
    assert np.mean(gaps) == pytest.approx(PER_MM, abs=0.05)
    strong = [i for i in peaks if profile[i] > profile[peaks].mean() * 1.3]
    assert np.mean(np.diff(strong)) == pytest.approx(5 * PER_MM, abs=0.3)


def test_trace_is_drawn_to_scale(signal):
    _, axes = plot.ecg(signal, sampling_rate=RATE)
    line = line_of(axes, "I")
    across, up = line.get_xdata(), line.get_ydata()
    assert np.diff(across) == pytest.approx(25 / RATE)
    assert np.ptp(up) == pytest.approx(10, abs=1e-3)  # 1 mV
    peaks = across[up > up.max() - 1e-6]
    assert np.diff(peaks) == pytest.approx(25)  # 60 beats per minute
    lines = next(c for c in axes.collections if isinstance(c, LineCollection))
    verticals = [s[0][0] for s in lines.get_segments() if s[0][0] == s[1][0]]
    assert paper.LEFT in verticals  # time 0 lies on a line


def test_calibration_pulse_is_one_millivolt_and_a_fifth_of_a_second(signal):
    _, axes = plot.ecg(signal, sampling_rate=RATE)
    pulse = next(line for line in axes.lines if len(line.get_xdata()) == 6)
    assert np.ptp(pulse.get_ydata()) == pytest.approx(10)
    assert np.diff(pulse.get_xdata())[2] == pytest.approx(5)


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
@pytest.mark.parametrize("style", ["trace", "band", "intervals", "bubbles"])
def test_layouts_and_styles(signal, layout, style):
    figure, axes = plot.ecg(signal, relevance_of(signal), sampling_rate=RATE, layout=layout, style=style, title="LBBB")
    assert_tidy(figure)
    names = [text.get_text() for text in axes.texts if text.get_text() in STANDARD_LEADS]
    assert sorted(names) == sorted([*STANDARD_LEADS, "II"] if layout == "3x4" else STANDARD_LEADS)
    seconds = (5.5, 8.5)
    for lead, second, found in (("V1", seconds[0], is_red), ("V4", seconds[1], is_blue)):
        line = line_of(axes, lead)
        if style == "bubbles":
            place = (line.get_xdata()[0] + 14 + 3.2, _level(axes, lead) + 1.5)
        else:
            across = paper.LEFT + second * 25
            base = float(np.median(line.get_ydata()))
            top = np.interp(across, line.get_xdata(), line.get_ydata())
            place = (across, top + 0.55) if style == "trace" else (across, base + 1.0)
        assert found(at(figure, axes, *place)), (lead, place)


def _level(axes, lead):
    return next(text for text in axes.texts if text.get_text() == lead).get_position()[1]


def test_columns_show_successive_quarters(signal):
    moving = signal.copy()
    moving[9] = 0
    moving[9, 800] = 1.0  # V4 is in the fourth column, from 7.5 s on
    moving[0] = 0
    moving[0, 800] = 1.0  # lead I is in the first column, up to 2.5 s
    _, axes = plot.ecg(moving, sampling_rate=RATE)
    line = line_of(axes, "V4")
    assert line.get_xdata()[np.argmax(line.get_ydata())] == pytest.approx(paper.LEFT + 200)
    assert np.ptp(line_of(axes, "I").get_ydata()) == 0


def test_rows_keep_apart_where_waves_are_high(signal):
    _, axes = plot.ecg(4 * signal, sampling_rate=RATE, layout="12x1")
    bottoms = [line_of(axes, lead).get_ydata() for lead in STANDARD_LEADS]
    for upper, lower in itertools.pairwise(bottoms):
        assert upper.min() > lower.max()


def test_beat_shows_the_window_in_every_lead(signal):
    figure, axes = plot.beat(signal, relevance_of(signal), sampling_rate=RATE, peak=550)
    assert_tidy(figure)
    for lead in STANDARD_LEADS:
        assert len(line_of(axes, lead).get_xdata()) == 80
        assert np.argmax(line_of(axes, lead).get_ydata()) == 30
    labels = [text for text, _ in texts(figure)]
    assert any("75 mm/s   15 mm/mV   100 Hz   5.2 to 6 s" in text for text in labels)


def test_marks_are_drawn_below_the_trace(signal):
    mark = np.zeros(signal.shape, dtype=bool)
    mark[6, 540:560] = True
    _, axes = plot.ecg(signal, sampling_rate=RATE, mark=mark)
    bars = [line for line in axes.lines if line.get_color() == "#1b7837"]
    assert len(bars) == 1
    assert bars[0].get_xdata() == pytest.approx([paper.LEFT + 5.4 * 25, paper.LEFT + 5.59 * 25])
    assert bars[0].get_ydata()[0] < line_of(axes, "V1").get_ydata().min()


def test_time_can_come_first(signal):
    one, _ = plot.ecg(signal, sampling_rate=RATE)
    two, _ = plot.ecg(signal.T, sampling_rate=RATE)
    np.testing.assert_array_equal(pixels(one), pixels(two))


def test_one_lead_with_a_name_of_its_own(signal):
    figure, axes = plot.ecg(signal[:1], sampling_rate=RATE, leads=["MLII"], layout="12x1")
    assert_tidy(figure)
    assert "MLII" in [text.get_text() for text in axes.texts]


def test_axes_of_the_caller_get_millimetres(signal):
    figure, ax = plt.subplots(figsize=(8, 5))
    drawn = plot.ecg(signal, sampling_rate=RATE, ax=ax)
    assert drawn.figure is figure
    assert ax.get_xlim()[1] > 260
    assert ax.get_aspect() == 1


def test_limit_leaves_out_the_sharpest_peaks_and_says_so(signal):
    relevance = np.full_like(signal, 0.5)
    relevance[0, 0] = 100.0
    figure, _ = plot.ecg(signal, relevance, sampling_rate=RATE)
    assert "0.5" in [text for text, _ in texts(figure)]
    figure, _ = plot.ecg(signal, relevance, sampling_rate=RATE, limit=3)
    assert "3" in [text for text, _ in texts(figure)]


def test_mistakes(signal):
    with pytest.raises(InputError, match=r"the signal has 3 leads, not twelve; give their names: leads="):
        plot.ecg(signal[:3], sampling_rate=RATE)
    with pytest.raises(InputError, match=r"drawn in millivolts, and this one reaches 1000: divide microvolts by 1000"):
        plot.ecg(1000 * signal, sampling_rate=RATE)
    with pytest.raises(InputShapeError, match=r"2 names of leads for 3 leads"):
        plot.ecg(signal[:3], sampling_rate=RATE, leads=["I", "II"])
    with pytest.raises(InputError, match=r"the layout 3x4 needs the twelve standard leads; .* are missing. Use 12x1"):
        plot.ecg(signal[:2], sampling_rate=RATE, leads=["I", "II"])
    with pytest.raises(ParameterError, match=r"unknown layout '6x2'; known: 3x4, 12x1"):
        plot.ecg(signal, sampling_rate=RATE, layout="6x2")
    with pytest.raises(ParameterError, match=r"unknown style 'fog'; known: trace, band, intervals, bubbles"):
        plot.ecg(signal, signal, sampling_rate=RATE, style="fog")
    with pytest.raises(ParameterError, match=r"the window \(20, 30\) in seconds holds no signal, which lasts 10 s"):
        plot.ecg(signal, sampling_rate=RATE, window=(20, 30))
    with pytest.raises(InputError, match=r"the rhythm strip is of lead 'X', which is not there"):
        plot.ecg(signal, sampling_rate=RATE, rhythm="X")
    with pytest.raises(InputShapeError, match=r"the relevance has shape \(12, 999\), the signal \(12, 1000\)"):
        plot.ecg(signal, signal[:, :999], sampling_rate=RATE)
    with pytest.raises(InputShapeError, match=r"mark has shape \(999,\), the signal \(12, 1000\)"):
        plot.ecg(signal, sampling_rate=RATE, mark=np.zeros(999, bool))


# Intervals and averages


def test_intervals_are_found_with_their_sign():
    relevance = np.zeros((2, 1000))
    relevance[0, 200:230] = 1.0
    relevance[1, 700:720] = -2.0
    found = plot.intervals(relevance, sampling_rate=100, quantile=0.9)
    assert [(lead, sign) for lead, _, _, sign in found] == [(0, 1), (1, -1)]
    assert [(a, b) for _, a, b, _ in found] == pytest.approx(np.array([(200, 230), (700, 720)]), abs=2)
    assert plot.intervals(np.zeros((2, 1000)), sampling_rate=100) == []
    with pytest.raises(ParameterError, match=r"quantile must lie between 0 and 1, got 1"):
        plot.intervals(relevance, sampling_rate=100, quantile=1)


def test_lead_averages(signal):
    relevance = relevance_of(signal)
    figure, axes = plot.lead_averages(relevance, title="leads")
    assert_tidy(figure)
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx(relevance.mean(axis=1))
    _, axes = plot.lead_averages(relevance, absolute=True)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(np.abs(relevance).mean(axis=1))
    with pytest.raises(InputError, match=r"there are 2 leads, not twelve"):
        plot.lead_averages(relevance[:2])


def test_beat_average(signal):
    relevance = np.zeros_like(signal)
    relevance[3, 45::100] = np.arange(10)  # five samples before each peak
    figure, axes = plot.beat_average(
        signal, relevance, sampling_rate=RATE, peaks=np.arange(50, 1000, 100), title="beats"
    )
    assert_tidy(figure)
    picture = np.asarray(axes.images[0].get_array())
    row, column = np.unravel_index(picture[..., 3].argmax(), picture.shape[:2])
    assert (row, column) == (3, 30 - 5)
    assert "4.5" in [text for text, _ in texts(figure)]  # mean of 0 to 9
    assert any("mean of 10 beats" in text for text, _ in texts(figure))
    with pytest.raises(InputError, match=r"none of the 1 beats lies whole in the recording of 1000 samples"):
        plot.beat_average(signal, relevance, sampling_rate=RATE, peaks=[5])
