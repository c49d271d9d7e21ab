"""Data with known truth: what is drawn, where it is marked, and whether networks go by it."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

import signxai_core as sx
from signxai_core import data, ecg
from signxai_core.data import drawn, recipes, simulated, waves
from signxai_core.errors import ParameterError, UnknownNameError
from signxai_torch import example_models


@pytest.fixture(scope="module")
def hearts():
    return data.ecgs(25, seed=3)


@pytest.fixture(scope="module")
def pictures():
    return data.shapes(100, seed=3)


# ECGs


def test_recordings_are_drawn_once_and_for_all(hearts):
    again = data.ecgs(25, seed=3)
    np.testing.assert_array_equal(hearts.x, again.x)
    np.testing.assert_array_equal(hearts.mask, again.mask)
    np.testing.assert_array_equal(hearts.x[:5], data.ecgs(5, seed=3).x)  # whatever their number
    assert not np.array_equal(hearts.x[:5], data.ecgs(5, seed=4).x)
    assert hearts.x.shape == (25, 12, 5000)
    assert hearts.x.dtype == np.float32
    assert np.bincount(hearts.labels).tolist() == [5] * 5


def test_limb_leads_follow_from_two(hearts):
    draw = simulated._drawn(np.random.default_rng(0))
    one, two, three, right, left, foot = simulated._clean("left bundle branch block", draw)[:6]
    np.testing.assert_allclose(three, two - one, atol=1e-12)
    np.testing.assert_allclose(right + left + foot, 0, atol=1e-12)


def test_rates_are_those_of_hearts():
    rates = [60 / np.diff(simulated._drawn(np.random.default_rng([9, i])).beats).mean() for i in range(200)]
    assert min(rates) > 48
    assert max(rates) < 126
    assert np.percentile(rates, 5) < 56
    assert np.percentile(rates, 95) > 112


def test_beats_are_found_where_they_were_put():
    draw = simulated._drawn(np.random.default_rng(2))
    recording = ecg.from_array(simulated._clean("normal", draw), simulated.SAMPLING_RATE)
    peaks = ecg.r_peaks(recording) / simulated.SAMPLING_RATE
    inside = draw.beats[(draw.beats > 0.5) & (draw.beats < 9.5)]
    assert all(np.abs(peaks - beat).min() < 0.01 for beat in inside)


def beat_of(kind, lead, seed=0):
    """Return a clean beat in the middle of a recording, and its times from the R peak."""
    draw = simulated._drawn(np.random.default_rng(seed))
    beat = draw.beats[np.argmin(np.abs(draw.beats - 5))]
    signal = simulated._clean(kind, draw)[ecg.STANDARD_LEADS.index(lead)]
    return simulated._times() - beat, signal, draw


@pytest.mark.parametrize(("kind", "low", "high"), [("normal", 0.12, 0.20), ("AV block", 0.20, 0.35)])
def test_pr_interval(kind, low, high):
    for seed in range(5):
        times, signal, draw = beat_of(kind, "II", seed)
        flat = attrs.evolve(draw, heights=draw.heights * np.array([0, 1, 1, 1, 1]))
        p = signal - simulated._clean(kind, flat)[1]
        before = (times > -0.45) & (times < 0)
        start = times[before][np.argmax(p[before])] - 0.04  # P begins two widths before its middle
        assert low < -0.04 - start < high


def test_wide_complexes():
    def width(kind, lead):
        times, signal, _ = beat_of(kind, lead)
        near = (np.abs(times) < 0.12) & (np.abs(signal) > 0.15)
        return np.ptp(times[near])

    for lead in ("V1", "V6"):
        assert width("normal", lead) < 0.09
        assert width("left bundle branch block", lead) > 0.09
    assert width("right bundle branch block", "V6") > 0.09
    assert beat_of("left bundle branch block", "V1")[1].min() < -0.8
    assert beat_of("right bundle branch block", "V1")[1].max() > 0.6


def test_ischaemia_is_a_low_segment_and_an_inverted_wave():
    times, sick, draw = beat_of("ischaemia", "V5")
    healthy = simulated._clean("normal", draw)[ecg.STANDARD_LEADS.index("V5")]
    stretch = np.sqrt(draw.intervals.mean())
    segment = (times > 0.08) & (times < 0.12)
    wave = np.abs(times - 0.278 * stretch) < 0.02
    assert sick[segment].mean() < healthy[segment].mean() - 0.1
    assert sick[wave].mean() < -0.1 < healthy[wave].mean()


def test_waves_are_those_of_neurokit():
    neurokit2 = pytest.importorskip("neurokit2")
    rate = 500
    theirs = neurokit2.ecg_simulate(
        duration=8, sampling_rate=rate, heart_rate=60, heart_rate_std=0.01, noise=0, method="ecgsyn", random_state=1
    )
    _, found = neurokit2.ecg_peaks(theirs, sampling_rate=rate)
    peaks = found["ECG_R_Peaks"][2:-2]
    mean = np.mean([theirs[p - 150 : p + 250] for p in peaks], axis=0)
    times = np.arange(-150, 250) / rate
    # The bells solve McSharry's equation with heights a·b².
    strengths = {"P": (1.2, 0.25), "Q": (-5, 0.1), "R": (30, 0.1), "S": (-7.5, 0.1), "T": (0.75, 0.4)}
    ours = sum(a * b * b * waves.bell(times, waves.PLACES[w], waves.WIDTHS[w]) for w, (a, b) in strengths.items())
    assert np.corrcoef(mean, ours)[0, 1] > 0.97


def test_marks_are_where_a_recording_differs_from_a_normal_one(hearts):
    for index, kind in enumerate(hearts.classes):
        draw = simulated._drawn(np.random.default_rng([3, index]))
        apart = np.abs(simulated._clean(kind, draw) - simulated._clean("normal", draw))
        mask = hearts.mask[index]
        assert apart[~mask].max() <= 1.5 * simulated.VISIBLE
        assert mask.any() == (kind != "normal")
    assert hearts.coverage[hearts.marked].min() > 0.02
    assert data.ecgs(100, seed=8).coverage.max() <= 0.25
    assert not (hearts.mask & hearts.elsewhere).any()
    sizes = hearts.elsewhere[hearts.marked].sum(axis=(1, 2)) / hearts.mask[hearts.marked].sum(axis=(1, 2))
    assert sizes.min() > 0.85


def test_classes_can_be_chosen():
    truth = data.ecgs(4, classes=("normal", "ischaemia"))
    assert truth.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(
        ParameterError, match=r"classes must be some of normal, AV block, .* normal first; got \['flu'\]"
    ):
        data.ecgs(2, classes=["flu"])
    with pytest.raises(ParameterError, match=r"count must be at least 1, got 0"):
        data.ecgs(0)


# Shapes


def test_images(pictures):
    assert pictures.x.shape == (100, 3, 48, 48)
    assert pictures.x.min() >= 0
    assert pictures.x.max() <= 1
    np.testing.assert_array_equal(pictures.x[:5], data.shapes(5, seed=3).x)
    assert pictures.coverage.max() <= 0.25
    assert pictures.coverage[pictures.marked].min() > 0.02
    assert not pictures.mask[pictures.labels == 0].any()
    outside = np.where(pictures.mask, 0, np.abs(pictures.x - pictures.normal))
    assert outside.max() < 0.25  # two draws of noise
    inside = np.where(pictures.mask, np.abs(pictures.x - pictures.normal), 0).max(axis=(1, 2, 3))
    assert inside[pictures.marked].min() > 0.2
    with pytest.raises(ParameterError, match=r"count must be at least 1, got -1"):
        data.shapes(-1)


@pytest.mark.parametrize(("name", "area"), [("circle", 2.84), ("square", 2.89), ("cross", 2.04), ("triangle", 1.68)])
def test_shapes_have_their_areas(name, area):
    steps = np.linspace(-2, 2, 801)
    x, y = np.meshgrid(steps, steps)
    inside = (drawn._SHAPES[name](x, y) < 0).mean() * 16
    assert inside == pytest.approx(area, rel=0.05)


# Truth


def test_parts_are_replaced(hearts):
    some = hearts[hearts.marked[:3]]
    assert len(some) == 3
    without, control = some.without(), some.control()
    np.testing.assert_array_equal(without[~some.mask], some.x[~some.mask])
    np.testing.assert_array_equal(without[some.mask], some.normal[some.mask])
    np.testing.assert_array_equal(control[some.mask], some.x[some.mask])
    assert (control != some.x).mean() == pytest.approx(some.elsewhere.mean(), rel=0.01)


def test_layouts():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert data.channels_last(x).shape == (1, 3, 4, 2)
    np.testing.assert_array_equal(data.channels_first(data.channels_last(x)), x)


def test_centre_baseline():
    bell = data.centre_map((2, 3, 48, 48))
    assert bell.shape == (2, 3, 48, 48)
    assert np.unravel_index(bell[0, 0].argmax(), (48, 48)) in {(23, 23), (23, 24), (24, 23), (24, 24)}
    assert data.centre_map((1, 12, 101))[0, 5].argmax() == 50


def test_found(hearts, pictures):
    for truth in (hearts, pictures):
        some = truth[truth.marked[:4]]
        mass, rank = data.found(some.mask.astype(float), some)
        np.testing.assert_allclose(mass, 1)
        np.testing.assert_allclose(rank, 1)
        mass, rank = data.found((~some.mask).astype(float), some)
        np.testing.assert_allclose(mass, 0)
        np.testing.assert_allclose(rank, 0)


# Networks


def classify(name):
    model = example_models.trained(name)
    return lambda x: example_models.predict(model, x)


@pytest.mark.parametrize("name", [*recipes.RECIPES])
def test_truth_is_true_for_the_networks_that_come_along(name):
    truth = recipes.RECIPES[name].test(100, seed=77)
    check = data.check(classify(name), truth)
    assert check.accuracy >= 0.95, check
    assert check.changed >= 0.9, check
    assert check.changed_elsewhere <= 0.1, check
    assert check.coverage <= 0.25, check
    assert check.holds


def test_a_network_that_guesses_is_seen(hearts):
    check = data.check(lambda x: np.ones(len(x), dtype=np.int64), hearts)
    assert check.accuracy == 0.2
    assert check.changed == 0
    assert not check.holds


@pytest.mark.parametrize("name", [*recipes.RECIPES])
def test_training_is_seeded_and_leaves_the_random_state(name):
    truth = recipes.RECIPES[name].make(10, seed=0)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    one, same, other = (example_models.train(name, truth.x, truth.labels, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert torch.equal(one.head.weight, same.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert not one.training


def test_weights_are_stored_and_read(tmp_path):
    model = example_models.trained("shapes_cnn")
    example_models.store(model, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["head.weight"], recipes.weights_of("shapes_cnn")["head.weight"])
    with pytest.raises(UnknownNameError, match=r"unknown network 'ecg_resnt'; did you mean ecg_resnet"):
        recipes.weights_of("ecg_resnt")


def test_maps_find_the_shape_better_than_controls(pictures):
    model = example_models.trained("shapes_cnn")
    some = pictures[data.right_ones(classify("shapes_cnn"), pictures)[:16]]
    maps = sx.explain_many(model, some.x, ["lrp_epsilon_0_1", "random_uniform"], some.labels)
    mass = {name: data.found(e.relevance, some)[0].mean() for name, e in maps.items()}
    centre = data.found(data.centre_map(some.x.shape), some)[0].mean()
    assert mass["lrp_epsilon_0_1"] > 1.5 * max(mass["random_uniform"], centre)


def test_maps_through_recurrence_find_the_interval():
    truth = recipes.RECIPES["ecg_lstm"].test(10, seed=4)
    some = truth[data.right_ones(classify("ecg_lstm"), truth)[:6]]
    model = example_models.trained("ecg_lstm")
    maps = sx.explain_many(model, some.x, ["lrp_alpha_1_beta_0", "random_uniform"], some.labels)
    mass = {name: data.found(e.relevance, some)[0].mean() for name, e in maps.items()}
    assert mass["lrp_alpha_1_beta_0"] > 2 * mass["random_uniform"]
