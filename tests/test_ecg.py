"""Reading, filtering and cutting ECGs; filters on frequencies that are known."""

from __future__ import annotations

import importlib.util

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import assert_tidy

from signxai_core import ecg, plot
from signxai_core.errors import FileError, InputError, InputShapeError, InputValueError, ParameterError
from signxai_core.leads import spelled

RATE = 500


def wave(frequency, seconds=10.0, rate=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def gain(function, frequency, *arguments):
    """Return by how much a filter changes a sine's amplitude, away from the ends."""
    before = ecg.from_array(wave(frequency, 20), RATE, leads=["II"])
    after = function(before, *arguments)
    middle = slice(5 * RATE, 15 * RATE)
    return np.sqrt(np.mean(after.signal[0, middle] ** 2) / np.mean(before.signal[0, middle] ** 2))


# Filters


@pytest.mark.parametrize(
    ("name", "arguments", "frequency", "expected"),
    [
        ("remove_baseline", (0.5,), 0.1, 0.0),  # wander
        ("remove_baseline", (0.5,), 0.5, 0.5),
        ("remove_baseline", (0.5,), 5.0, 1.0),
        ("low_pass", (40.0,), 10.0, 1.0),
        ("low_pass", (40.0,), 40.0, 0.5),
        ("low_pass", (40.0,), 100.0, 0.0),
        ("notch", (50.0,), 50.0, 0.0),
        ("notch", (50.0,), 40.0, 1.0),
        ("notch", (60.0,), 60.0, 0.0),
        ("notch", (60.0,), 50.0, 1.0),
    ],
)
def test_filters_on_known_frequencies(name, arguments, frequency, expected):
    assert gain(getattr(ecg, name), frequency, *arguments) == pytest.approx(expected, abs=0.02)


def test_filters_shift_nothing():
    beat = ecg.from_array(np.exp(-0.5 * ((np.arange(5000) - 2500) / 10) ** 2), RATE, leads=["II"])
    for filtered in (ecg.remove_baseline(beat), ecg.low_pass(beat), ecg.notch(beat)):
        assert np.argmax(filtered.signal[0]) == 2500


def test_wander_and_hum_are_removed_and_the_rest_stays():
    clean = wave(8) * 0.5
    noisy = clean + wave(0.15) + 0.3 * wave(50) + 0.2 * wave(120)
    recording = ecg.from_array(np.stack([noisy, -noisy]), RATE, leads=["I", "II"])
    filtered = ecg.low_pass(ecg.notch(ecg.remove_baseline(recording), 50), 40)
    inner = slice(2 * RATE, -2 * RATE)
    np.testing.assert_allclose(filtered.signal[0, inner], clean[inner], atol=0.02)
    np.testing.assert_allclose(filtered.signal[1], -filtered.signal[0], atol=1e-12)
    np.testing.assert_array_equal(recording.signal[0], noisy)  # what was given is never changed


@pytest.mark.parametrize("rate", [100, 250, 360, 1000, 62.5])
def test_resampling_keeps_the_wave_and_its_place(rate):
    recording = ecg.from_array(wave(7) + 3.0, RATE, leads=["II"])
    changed = ecg.resample(recording, rate)
    assert changed.sampling_rate == rate
    assert changed.seconds == pytest.approx(10, abs=0.01)
    expected = wave(7, 10, rate) + 3.0
    inner = slice(int(rate), -int(rate))
    np.testing.assert_allclose(changed.signal[0, inner], expected[inner], atol=5e-3)
    assert np.abs(changed.signal[0, :5] - expected[:5]).max() < 0.2
    aliased = ecg.resample(ecg.from_array(wave(200), RATE, leads=["II"]), 100)
    assert np.abs(aliased.signal[0, 100:-100]).max() < 0.02
    assert ecg.resample(recording, RATE) is recording


def test_impossible_filters():
    recording = ecg.from_array(wave(5, rate=100), 100, leads=["II"])
    with pytest.raises(ParameterError, match=r"60 Hz does not exist for a signal of 100 Hz: .* between 0 and 50 Hz"):
        ecg.notch(recording, 60)
    with pytest.raises(ParameterError, match=r"a filter at 0 Hz does not exist"):
        ecg.remove_baseline(recording, 0)
    with pytest.raises(ParameterError, match=r"positive number of hertz, got -5"):
        ecg.resample(recording, -5)
    short = ecg.from_array(np.ones(4), 100, leads=["II"])
    assert ecg.remove_baseline(short).signal.shape == (1, 4)


# Leads, windows, scale


def test_leads_in_any_order_and_spelling():
    names = ["V6", "avr", "LEAD I", "ii", "III", "AVL", "aVF", "v1", "V2", "V3", "V4", "V5"]
    recording = ecg.from_array(np.arange(12)[:, None] * np.ones(10), 100, leads=names)
    assert ecg.order(recording).leads == ecg.STANDARD_LEADS
    np.testing.assert_array_equal(ecg.order(recording).signal[:, 0], [2, 3, 4, 1, 5, 6, 7, 8, 9, 10, 11, 0])
    cabrera = ecg.order(recording, ecg.CABRERA_LEADS)
    assert cabrera.leads[:3] == ("aVL", "I", "-aVR")
    assert cabrera.signal[2, 0] == -1
    assert spelled("MLII") == "MLII"
    with pytest.raises(ParameterError, match=r"there is no lead 'V7'; there are V6, aVR, I"):
        recording.lead("V7")


def test_windows():
    recording = ecg.from_array(np.arange(1000.0), 100, leads=["II"])
    assert ecg.window(recording, 2, 3).signal[0, [0, -1]].tolist() == [200, 499]
    parts = ecg.windows(recording, 4, step=2)
    assert [part.signal[0, 0] for part in parts] == [0, 200, 400, 600]
    assert {part.seconds for part in parts} == {4}
    assert len(ecg.windows(recording, 3)) == 3
    with pytest.raises(ParameterError, match=r"3 s from 8 s on do not lie in a recording of 10 s"):
        ecg.window(recording, 8, 3)
    with pytest.raises(ParameterError, match=r"windows of 0 s every 0 s hold no sample"):
        ecg.windows(recording, 0)


def test_every_lead_is_scaled_by_itself():
    recording = ecg.from_array(np.stack([wave(5), 10 * wave(3) + 4, np.ones(5000)]), RATE, leads=["I", "II", "III"])
    standard = ecg.scale(recording).signal
    np.testing.assert_allclose(standard.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=1), [1, 1, 0])
    span = ecg.scale(recording, "range").signal
    np.testing.assert_allclose(span[:2].min(axis=1), -1)
    np.testing.assert_allclose(span[:2].max(axis=1), 1)
    robust = ecg.scale(recording, "robust").signal[0]
    np.testing.assert_allclose(np.subtract(*np.quantile(robust, (0.75, 0.25))), 1)
    with pytest.raises(ParameterError, match=r"unknown scaling 'max'; known: standard, range, robust"):
        ecg.scale(recording, "max")


def test_batches():
    recording = ecg.from_array(np.arange(20.0).reshape(2, 10), 10, leads=["I", "II"])
    assert ecg.batch([recording, recording]).shape == (2, 2, 10)
    last = ecg.batch([recording], channels="last")
    assert last.dtype == np.float32
    np.testing.assert_array_equal(last[0].T, recording.signal)
    with pytest.raises(InputShapeError, match=r"recordings of one batch must be alike"):
        ecg.batch([recording, ecg.window(recording, 0, 0.5)])
    with pytest.raises(ParameterError, match=r"a batch needs at least one recording"):
        ecg.batch([])


def test_recordings_that_make_no_sense():
    with pytest.raises(InputShapeError, match=r"has 3 leads, not twelve: give their names .* axis=1"):
        ecg.from_array(np.zeros((3, 10)), 100)
    with pytest.raises(InputShapeError, match=r"an ECG has two axes"):
        ecg.from_array(np.zeros((1, 3, 10)), 100)
    with pytest.raises(InputShapeError, match=r"leads occur twice: II"):
        ecg.from_array(np.zeros((2, 10)), 100, leads=["II", "ii"])
    with pytest.raises(InputValueError, match=r"NaN or infinite\): II 1 of 10 samples; read\(..., missing="):
        ecg.from_array(np.where(np.arange(10) == 3, np.nan, 0.0), 100, leads=["II"])
    with pytest.raises(ParameterError, match=r"unknown unit 'mmHg'; known: mV, uV"):
        ecg.from_array(np.zeros(10), 100, leads=["II"], unit="mmHg")
    assert ecg.from_array(np.full(10, 500.0), 100, leads=["II"], unit="uV").signal[0, 0] == 0.5
    with pytest.raises(ParameterError, match=r"positive number of hertz, got 0"):
        ecg.from_array(np.zeros(10), 0, leads=["II"])


# Files


@pytest.fixture
def record(tmp_path):
    """A WFDB record of two leads, one of them in microvolts."""
    signal = np.stack([wave(5, 2), wave(3, 2)])
    header = ecg.write(ecg.from_array(signal, RATE, leads=["I", "aVF"], name="rec_1"), tmp_path)
    lines = header.read_text().splitlines()
    assert lines[2].count("/mV") == 1
    value, _, rest = lines[2].partition("/mV")
    name, form, scale = value.split(" ")
    gain, bracket, base = scale.partition("(")
    lines[2] = f"{name} {form} {float(gain) / 1000}{bracket}{base}/uV{rest.replace('aVF', 'AVF')}"
    header.write_text("\n".join(lines) + "\n")
    return tmp_path / "rec_1"


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_wfdb_record(record, suffix):
    recording = ecg.read(f"{record}{suffix}")
    assert recording.leads == ("I", "aVF")
    assert recording.sampling_rate == RATE
    assert recording.name == "rec_1"
    np.testing.assert_allclose(recording.signal[0], wave(5, 2), atol=1e-3)
    np.testing.assert_allclose(recording.signal[1], wave(3, 2), atol=1e-3)
    assert ecg.read(record, leads=["avf"]).leads == ("aVF",)


def test_wfdb_records_that_cannot_be_read(record):
    with pytest.raises(FileError, match=r"there is no WFDB record .*absent: its header .*absent.hea is not a file"):
        ecg.read(record.with_name("absent"))
    with pytest.raises(ParameterError, match=r"has 500 Hz, not 100; resample\(\) changes it"):
        ecg.read(record, sampling_rate=100)
    with pytest.raises(ParameterError, match=r"states its units; unit='mV' is for tables and arrays"):
        ecg.read(record, unit="mV")
    header = record.with_suffix(".hea")
    header.write_text(header.read_text().replace("/mV", "/mmHg"))
    with pytest.raises(FileError, match=r"is not one of voltages: unknown unit 'mmHg'"):
        ecg.read(record)
    record.with_suffix(".dat").unlink()
    with pytest.raises(FileError, match=r"cannot read the WFDB record"):
        ecg.read(record)


def test_records_that_cannot_be_written(tmp_path):
    recording = ecg.from_array(np.zeros(10), 100, leads=["II"], name="a record")
    with pytest.raises(ParameterError, match=r"named by letters, digits, - and _, not 'a record'"):
        ecg.write(recording, tmp_path)
    recording = ecg.from_array(np.zeros(10), 100, leads=["II"], name="record")
    with pytest.raises(FileError, match=r"cannot write the WFDB record record to .*absent"):
        ecg.write(recording, tmp_path / "absent")


def test_tables(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("time,I,AVR\n" + "\n".join(f"{i / 250:.4f},{i},{-i}" for i in range(100)))
    recording = ecg.read(path)
    assert recording.sampling_rate == 250
    assert recording.leads == ("I", "aVR")
    assert recording.signal[1, 7] == -7
    plain = tmp_path / "plain.tsv"
    plain.write_text("\n".join(f"{i}\t{2 * i}" for i in range(50)))
    recording = ecg.read(plain, sampling_rate=100, leads=["I", "II"], unit="uV")
    assert recording.signal[1, 10] == pytest.approx(0.02)


def test_tables_that_cannot_be_read(tmp_path):
    path = tmp_path / "ecg.csv"
    for text, message in (
        ("I,II\n", "holds no rows of numbers"),
        ("I,II\n1,2\n3\n", r"row 3: 1 columns, but there are 2"),
        ("I,II\n1,2\n3,x\n", r"row 3, column 2: 'x' is not a number"),
        ("time,II\n0,2\n0,3\n", r"do not rise in even steps"),
    ):
        path.write_text(text)
        with pytest.raises(FileError, match=message):
            ecg.read(path, sampling_rate=100)
    path.write_text("I,II\n1,2\n3,4\n")
    with pytest.raises(ParameterError, match=r"does not state its sampling rate; give it: sampling_rate="):
        ecg.read(path)
    path.write_text("time,II\n0,2\n0.01,3\n")
    with pytest.raises(ParameterError, match=r"mean 100 Hz, not 500"):
        ecg.read(path, sampling_rate=500)
    with pytest.raises(FileError, match=r"cannot read .*absent.csv"):
        ecg.read(tmp_path / "absent.csv", sampling_rate=1)


def test_gaps_are_an_error_or_filled_in(tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text("I,II\n0,1\n,1\n2,1\n")
    with pytest.raises(InputValueError, match=r"values are missing \(NaN or infinite\): I 1 of 3 samples"):
        ecg.read(path, sampling_rate=1)
    assert ecg.read(path, sampling_rate=1, missing="interpolate").signal[0].tolist() == [0, 1, 2]
    with pytest.raises(ParameterError, match=r"missing must be 'error' or 'interpolate', got 'zero'"):
        ecg.read(path, sampling_rate=1, missing="zero")


def test_arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(240.0).reshape(20, 12))
    recording = ecg.read(tmp_path / "x.npy", sampling_rate=100)
    assert recording.leads == ecg.STANDARD_LEADS
    assert recording.signal[1, 2] == 25
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(FileError, match=r"holds 2 arrays; expected one"):
        ecg.read(tmp_path / "x.npz", sampling_rate=100)
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"cannot read .*broken.npy as a NumPy file"):
        ecg.read(tmp_path / "broken.npy", sampling_rate=100)


# Beats


def beating(rate, seconds=10, per_minute=75):
    times = np.arange(seconds * rate) / rate
    phase = (times * per_minute / 60) % 1
    return np.exp(-0.5 * ((phase - 0.5) / 0.012) ** 2) + 0.2 * np.exp(-0.5 * ((phase - 0.8) / 0.05) ** 2)


@pytest.mark.parametrize("rate", [250, 500])
def test_r_peaks_and_beats(rate):
    signal = beating(rate)
    recording = ecg.from_array(np.stack([signal, 2 * signal]), rate, leads=["I", "II"])
    peaks = ecg.r_peaks(recording)
    truth = (np.arange(12) + 0.5) * 0.8 * rate
    for peak in truth[1:-1]:
        assert np.abs(peaks - peak).min() <= 0.02 * rate
    assert np.median(np.diff(peaks)) == pytest.approx(0.8 * rate, abs=2)
    cut = ecg.beats(recording, peaks)
    assert cut.shape[1:] == (2, round(0.8 * rate))
    mean = ecg.average_beat(recording, peaks)
    assert np.argmax(mean[1]) == pytest.approx(0.3 * rate, abs=2)
    with pytest.raises(InputError, match=r"none of the 1 beats lies whole in the recording of 10 s"):
        ecg.beats(recording, [3])


def test_no_beats():
    with pytest.raises(InputError, match=r"no R peak can be found in lead II of Recording"):
        ecg.r_peaks(ecg.from_array(np.zeros(2500), 250, leads=["II"]))


@pytest.mark.skipif(importlib.util.find_spec("pywt") is None, reason="PyWavelets holds the recording")
def test_a_real_recording_is_read_filtered_and_drawn(tmp_path):
    import pywt  # noqa: PLC0415 - only here

    # 200 steps of the converter are a millivolt.
    np.savetxt(tmp_path / "real.csv", pywt.data.ecg() / 200, header="MLII", comments="")
    raw = ecg.read(tmp_path / "real.csv", sampling_rate=360)
    recording = ecg.low_pass(ecg.notch(ecg.remove_baseline(raw), 60), 40)
    assert recording.leads == ("MLII",)
    peaks = ecg.r_peaks(recording)
    rates = 60 * 360 / np.diff(peaks)
    assert len(peaks) >= 3
    assert 40 < np.median(rates) < 130
    heights = recording.signal[0, peaks]
    assert 0.5 < np.median(heights) < 2.5
    assert heights.min() > 3 * recording.signal[0].std()
    relevance = recording.signal * np.exp(-0.5 * ((np.arange(1024) - peaks[1]) / 20) ** 2)
    figure, _ = plot.ecg(recording.signal, relevance, sampling_rate=360, leads=recording.leads, layout="12x1")
    assert_tidy(figure)
    plt.close(figure)
