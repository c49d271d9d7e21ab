"""Metrics against computations of other kinds: SciPy, plain loops, numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from signxai_core import metrics
from signxai_core.errors import InputShapeError, InputTypeError, InputValueError, OutputError, ParameterError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(3, 2, 5, 4))
MAPS = RANDOM.normal(size=(3, 2, 5, 4))
CLASSES = RANDOM.normal(size=(40, 3))


def predict(x):
    """A softmax classifier that is not linear, of samples of 40 numbers."""
    logits = np.tanh(x.reshape(len(x), -1)) @ CLASSES
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


# Correlations


@pytest.mark.parametrize(("ours", "theirs"), [(metrics.pcc, "pearsonr"), (metrics.scc, "spearmanr")])
def test_correlation_with_the_input_against_scipy(ours, theirs):
    for x, maps in ((IMAGES, MAPS), (IMAGES.round(0), MAPS.round(0)), (1e6 + IMAGES, MAPS * 1e-9)):
        pairs = zip(np.abs(x), np.abs(maps), strict=True)
        wanted = [getattr(scipy.stats, theirs)(a.ravel(), b.ravel()).statistic for a, b in pairs]
        np.testing.assert_allclose(ours(x, maps), wanted, rtol=0, atol=1e-10)


@given(arrays.arrays(np.float64, (2, 12), elements=st.integers(-4, 4).map(float)))
def test_rank_correlation_with_ties_against_scipy(rows):
    found = metrics.spearman(rows[:1], rows[1:])
    if np.ptp(rows, axis=1).min() == 0:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, scipy.stats.spearmanr(*rows).statistic, rtol=0, atol=1e-10)


def test_a_constant_map_correlates_with_nothing():
    assert np.isnan(metrics.pearson(np.full((1, 3), 0.1), np.array([[1.0, 2, 3]]))).all()
    assert np.isnan(metrics.scc(np.array([[1.0, 2, 3]]), np.zeros((1, 3)))).all()


# Pixel flipping: each detail of the published protocol


def test_order_sums_channels_and_puts_the_last_of_equal_values_first():
    relevance = np.array([[[[1.0, 0], [2, 1]], [[1.0, 0], [0, 1]]]])  # sums: 2 0 / 2 2
    positions = metrics.pooled(relevance, channel_axis=1)
    assert positions.tolist() == [[[2, 0], [2, 2]]]
    listed = sorted(((positions[0, r, c], r, c) for r in range(2) for c in range(2)), reverse=True)
    assert metrics.removal_order(positions[0]).tolist() == [2 * r + c for _, r, c in listed] == [3, 2, 0, 1]


def test_order_is_that_of_normalised_values():
    # 1e-320 and 2e-320 are both 0 after division by 1e10, so that the last one goes first.
    assert metrics.removal_order(np.array([2e-320, 1e-320, 1e10])).tolist() == [2, 1, 0]
    assert metrics.removal_order(np.zeros(3)).tolist() == [2, 1, 0]
    assert metrics.removal_order(np.array([-1.0, 5, -3])).tolist() == [1, 0, 2]


@pytest.mark.parametrize("axis", [0, 2])
def test_replacements_are_those_of_one_draw_per_channel(axis):
    sample = np.moveaxis(IMAGES[0], 0, axis)
    random = np.random.RandomState(1)
    wanted = [random.uniform(channel.min(), channel.max(), 20) for channel in IMAGES[0]]
    np.testing.assert_array_equal(metrics.replacements(sample, axis), wanted)
    np.testing.assert_array_equal(metrics.replacements(sample, axis), metrics.replacements(sample, axis))
    flat = metrics.replacements(sample.ravel(), None)
    np.testing.assert_array_equal(flat[0], np.random.RandomState(1).uniform(sample.min(), sample.max(), 40))


def test_points_of_removal():
    found = metrics.points_of_removal(784)
    assert len(found) == 251
    assert found[0] == 0
    assert found[1:].tolist() == [int(rank) + 1 for rank in np.linspace(0, 783, 250)]
    assert metrics.points_of_removal(64).tolist() == list(range(65))
    assert metrics.points_of_removal(100, 3).tolist() == [0, 1, 50, 100]


def curve_by_loops(x, relevance, target, *, flip_most=True, replacement=None):
    """The published curve of one image, channels first, pixel by pixel."""
    channels, height, width = x.shape
    summed = [[sum(relevance[k, r, c] for k in range(channels)) for c in range(width)] for r in range(height)]
    largest = max(abs(value) for row in summed for value in row)
    listed = sorted(((summed[r][c] / largest, r, c) for r in range(height) for c in range(width)), reverse=flip_most)
    random = np.random.RandomState(1)
    drawn = [random.uniform(x[k].min(), x[k].max(), height * width) for k in range(channels)]
    stops = {int(place) for place in np.linspace(0, height * width - 1, 250)}
    image = x.copy()
    curve = [predict(image[None])[0, target]]
    for number, (_, r, c) in enumerate(listed):
        for k in range(channels):
            image[k, r, c] = drawn[k][number] if replacement is None else replacement[k, r, c]
        if number in stops:
            curve.append(predict(image[None])[0, target])
    return np.array(curve)


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
@pytest.mark.parametrize("last", [False, True])
def test_morf_against_loops(last, batch_size):
    def seen(x):
        return predict(np.moveaxis(x, -1, 1) if last else x)

    x, maps = (np.moveaxis(a, 1, -1) if last else a for a in (IMAGES, MAPS))
    found = metrics.morf(seen, x, maps, channel_axis=-1 if last else 1, batch_size=batch_size)
    assert found.target.tolist() == predict(IMAGES).argmax(axis=1).tolist()
    for index in range(3):
        wanted = curve_by_loops(IMAGES[index], MAPS[index], found.target[index])
        np.testing.assert_allclose(found.values[index], wanted, rtol=0, atol=1e-14)
        points = np.linspace(1, 100, len(wanted))
        aoc = (100 - scipy.integrate.trapezoid(wanted, points)) / 100
        np.testing.assert_allclose(metrics.aoc(found)[index], aoc, rtol=0, atol=1e-10)


def test_the_class_followed_is_that_of_the_start():
    x = np.array([[[[0.0, 1.0]]]])

    def brightness(batch):
        total = batch.sum(axis=(1, 2, 3))
        return np.stack([total, 1 - total], axis=1)

    found = metrics.morf(brightness, x, x, channel_axis=1, replacement=0.0)
    assert found.target.tolist() == [0]  # at the end, the other class is larger
    assert found.values.tolist() == [[1.0, 0.0, 0.0]]


def test_lerf_and_a_replacement_of_ones_own_against_loops():
    blank = RANDOM.normal(size=(2, 5, 4))
    found = metrics.lerf(predict, IMAGES, MAPS, channel_axis=1, target=[0, 1, 2], replacement=blank)
    for index in range(3):
        wanted = curve_by_loops(IMAGES[index], MAPS[index], index, flip_most=False, replacement=blank)
        np.testing.assert_allclose(found.values[index], wanted, rtol=0, atol=1e-14)


def test_aoc_by_hand():
    """Four pixels of one channel, the output is the mean: the curve is known exactly."""
    x = np.array([[[[0.0, 8.0], [4.0, 4.0]]]])
    relevance = np.array([[[[0.0, 3.0], [1.0, 1.0]]]])

    def mean(batch):
        return batch.reshape(len(batch), -1).mean(axis=1, keepdims=True) / 10

    curve = metrics.morf(mean, x, relevance, channel_axis=1)
    drawn = np.random.RandomState(1).uniform(0, 8, 4)
    kept = [16, 8, 4, 0, 0]  # sum of what is still there: 8 goes first, then the last of the equal ones
    wanted = [(kept[k] + drawn[:k].sum()) / 40 for k in range(5)]
    np.testing.assert_allclose(curve.values[0], wanted, rtol=0, atol=1e-15)
    trapezoid = 99 / 4 * (wanted[0] / 2 + wanted[1] + wanted[2] + wanted[3] + wanted[4] / 2)
    np.testing.assert_allclose(metrics.aoc(curve), [(100 - trapezoid) / 100], rtol=0, atol=1e-15)
    np.testing.assert_allclose(metrics.area(curve), [trapezoid / 99], rtol=0, atol=1e-15)


def test_bounds_of_aoc():
    assert metrics.aoc(np.ones((1, 251))).tolist() == pytest.approx([0.01], abs=1e-12)
    assert metrics.aoc(np.zeros((1, 251))).tolist() == [1.0]


def test_relevance_gain_is_the_area_between_the_curves():
    found = metrics.relevance_gain(predict, IMAGES, MAPS, channel_axis=1)
    for index, target in enumerate(predict(IMAGES).argmax(axis=1)):
        most = curve_by_loops(IMAGES[index], MAPS[index], target)
        least = curve_by_loops(IMAGES[index], MAPS[index], target, flip_most=False)
        wanted = scipy.integrate.trapezoid(least, dx=1 / 20) - scipy.integrate.trapezoid(most, dx=1 / 20)
        np.testing.assert_allclose(found[index], wanted, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        metrics.relevance_gain(predict, IMAGES, -MAPS, channel_axis=1, target=0, replacement=0),
        -metrics.relevance_gain(predict, IMAGES, MAPS, channel_axis=1, target=0, replacement=0),
        atol=1e-12,
    )


def test_series_and_vectors():
    series, maps = IMAGES.reshape(3, 4, 10), MAPS.reshape(3, 4, 10)
    found = metrics.morf(predict, series, maps, channel_axis=1)
    assert (found.positions, found.values.shape) == (10, (3, 11))
    image = metrics.morf(predict, series[..., None], maps[..., None], channel_axis=1)
    np.testing.assert_array_equal(found.values, image.values)
    vectors = metrics.morf(predict, IMAGES.reshape(3, 40), MAPS.reshape(3, 40), channel_axis=None)
    assert (vectors.positions, vectors.share[-1]) == (40, 1.0)


def test_inputs_are_left_alone():
    x, maps = IMAGES.copy(), MAPS.copy()
    for array in (x, maps):
        array.flags.writeable = False
    metrics.morf(predict, x, maps, channel_axis=1)
    metrics.insertion(predict, x, maps, metrics.grid_regions((5, 4), 2), channel_axis=1)


# Regions


def regions_by_loops(x, relevance, regions, target, blank):
    numbers = sorted(set(regions.ravel().tolist()))
    mean = {n: relevance.sum(axis=0)[regions == n].mean() for n in numbers}
    gone, back = x.copy(), blank.copy()
    deleted, inserted = [predict(gone[None])[0, target]], [predict(back[None])[0, target]]
    for number in sorted(numbers, key=lambda n: (mean[n], n), reverse=True):
        gone[:, regions == number] = blank[:, regions == number]
        back[:, regions == number] = x[:, regions == number]
        deleted.append(predict(gone[None])[0, target])
        inserted.append(predict(back[None])[0, target])
    return deleted, inserted


def test_insertion_and_deletion_against_loops():
    regions = metrics.grid_regions((5, 4), (2, 2))
    assert regions.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3], [4, 4, 5, 5]]
    blank = np.full((2, 5, 4), 0.25)
    for baseline, target in ((0.25, predict(IMAGES).argmax(axis=1)), (blank, [2, 1, 0])):
        options = {"channel_axis": 1, "baseline": baseline, "target": target, "batch_size": 4}
        out = metrics.deletion(predict, IMAGES[:1], MAPS[:1], regions, **{**options, "target": target[:1]})
        into = metrics.insertion(predict, IMAGES[:1], MAPS[:1], regions, **{**options, "target": target[:1]})
        deleted, inserted = regions_by_loops(IMAGES[0], MAPS[0], regions, target[0], blank)
        np.testing.assert_allclose(out.values[0], deleted, rtol=0, atol=1e-14)
        np.testing.assert_allclose(into.values[0], inserted, rtol=0, atol=1e-14)
        assert out.removed[-1] == out.positions == 20
    # The class that insertion follows is that of the sample, not of the baseline.
    found = metrics.insertion(predict, IMAGES, MAPS, regions, channel_axis=1)
    assert found.target.tolist() == predict(IMAGES).argmax(axis=1).tolist()


def test_regions_go_by_their_mean_relevance():
    x = np.array([[[1.0, 1.0, 1.0, 5.0]]])  # three steps of relevance 2 against one of 3
    maps = np.array([[[2.0, 2.0, 2.0, 3.0]]])

    def total(batch):
        return batch.sum(axis=(1, 2))[:, None]

    found = metrics.deletion(total, x, maps, np.array([0, 0, 0, 1]), channel_axis=1)
    assert found.values.tolist() == [[8.0, 3.0, 0.0]]
    assert found.removed.tolist() == [0, 1, 4]


def test_regions_of_several_sizes_share_one_axis():
    regions = np.zeros((5, 4), int)
    regions[0, 0] = 1
    maps = MAPS[:2].copy()
    maps[0, :, 0, 0], maps[1, :, 0, 0] = 100, -100
    found = metrics.deletion(predict, IMAGES[:2], maps, regions, channel_axis=1)
    assert found.removed.tolist() == [0, 10, 20]
    apart = [metrics.deletion(predict, IMAGES[i : i + 1], maps[i : i + 1], regions, channel_axis=1) for i in (0, 1)]
    assert [one.removed.tolist() for one in apart] == [[0, 1, 20], [0, 19, 20]]
    np.testing.assert_array_equal(found.values[:, 0], [one.values[0, 0] for one in apart])
    np.testing.assert_allclose(found.values[0, 1], np.interp(10, [1, 20], apart[0].values[0, 1:]))


# Masks


def test_mass_and_rank_against_loops():
    mask = RANDOM.random((3, 5, 4)) < 0.3
    mass, rank = (f(MAPS, mask, channel_axis=1) for f in (metrics.mass_accuracy, metrics.rank_accuracy))
    for index in range(3):
        summed = MAPS[index].sum(axis=0)
        inside = sum(max(v, 0) for v, m in zip(summed.flat, mask[index].flat, strict=True) if m)
        np.testing.assert_allclose(mass[index], inside / sum(max(v, 0) for v in summed.flat), rtol=0, atol=1e-10)
        size = int(mask[index].sum())
        top = sorted(range(20), key=lambda i: summed.flat[i], reverse=True)[:size]
        assert rank[index] == pytest.approx(sum(mask[index].flat[i] for i in top) / size, abs=1e-12)
    whole = np.repeat(mask[:, None], 2, axis=1)
    np.testing.assert_array_equal(metrics.mass_accuracy(MAPS, whole, channel_axis=1), mass)
    for reduction, sized in (("max_abs", np.abs(MAPS).max(axis=1)), ("l2", np.linalg.norm(MAPS, axis=1))):
        found = metrics.mass_accuracy(MAPS, mask, channel_axis=1, reduction=reduction)
        wanted = (sized * mask).sum(axis=(1, 2)) / sized.sum(axis=(1, 2))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_positions_tied_at_the_border_count_by_share():
    # Two of the three zeros fit beside the 1; one of the three lies inside.
    found = metrics.rank_accuracy([[1.0, 0, 0, 0]], [[1, 1, 0, 0]], channel_axis=None)
    assert found.tolist() == pytest.approx([(1 + 1 / 3) / 2])
    assert metrics.rank_accuracy([[0.0, 0, 0, 0]], [[1, 1, 0, 0]], channel_axis=None).tolist() == [0.5]
    assert np.isnan(metrics.mass_accuracy([[-1.0, 0, 0, 0]], [[1, 1, 0, 0]], channel_axis=None)).all()


# Completeness, stability, intervals


def test_completeness():
    found = metrics.completeness(MAPS, [1, 2, 0], baseline=[0.5, 0, 0])
    np.testing.assert_allclose(found.total, [sample.sum() for sample in MAPS], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.gap, found.total - [0.5, 2, 0], rtol=0, atol=1e-12)
    assert found.relative[0] == pytest.approx(abs(found.gap[0]) / 0.5)
    assert np.isnan(found.relative[2])


def test_max_sensitivity_against_loops():
    def explain(x):
        return np.tanh(x) * x

    found = metrics.max_sensitivity(explain, IMAGES, radius=0.1, samples=5, random_state=3)
    random = np.random.default_rng(3)
    shifts = [random.uniform(-0.1, 0.1, (2, 5, 4)) for _ in range(5)]
    for index, x in enumerate(IMAGES):
        changes = [np.linalg.norm(explain(x + shift) - explain(x)) for shift in shifts]
        np.testing.assert_allclose(found[index], max(changes) / np.linalg.norm(explain(x)), rtol=0, atol=1e-10)
    alone = metrics.max_sensitivity(explain, IMAGES[1:2], radius=0.1, samples=5, random_state=3)
    assert alone[0] == found[1]
    absolute = metrics.max_sensitivity(explain, IMAGES, radius=0.1, samples=5, random_state=3, relative=False)
    np.testing.assert_allclose(absolute / found, [np.linalg.norm(explain(x)) for x in IMAGES])


def test_interval_against_scipy():
    values = RANDOM.normal(3, 2, 60)
    found = metrics.mean_interval(values, level=0.9)
    wanted = scipy.stats.bootstrap((values,), np.mean, confidence_level=0.9, method="percentile", rng=0)
    assert (found.mean, found.deviation, found.count) == (values.mean(), values.std(), 60)
    np.testing.assert_allclose(
        [found.low, found.high], [wanted.confidence_interval.low, wanted.confidence_interval.high], atol=0.02
    )


def test_interval_resamples_groups():
    values = np.repeat(RANDOM.normal(size=20), 5)
    apart, together = metrics.mean_interval(values), metrics.mean_interval(values, groups=np.repeat(range(20), 5))
    assert together.count == 20
    assert together.mean == pytest.approx(apart.mean)
    # Five copies of a value hold no more than one.
    once = metrics.mean_interval(values[::5])
    assert (together.low, together.high) == pytest.approx((once.low, once.high))
    assert together.high - together.low > 1.8 * (apart.high - apart.low)
    assert metrics.mean_interval([1.0, np.nan, 3.0]).count == 2
    assert np.isnan(metrics.mean_interval([np.nan]).mean)


# Errors


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: metrics.pcc(IMAGES, MAPS[:2]), InputShapeError, r"relevance has the shape \(2, 2, 5, 4\), x \(3, 2"),
        (lambda: metrics.pcc(np.ones(3), np.ones(3)), InputShapeError, r"x\[None\] adds the batch axis"),
        (lambda: metrics.pcc([["a"]], [[1.0]]), InputTypeError, "x must be an array of real numbers"),
        (lambda: metrics.pcc([[1.0]], [[np.nan]]), InputValueError, "relevance holds 1 numbers that are NaN"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=0), ParameterError, "channel_axis = 0 is not an"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=4), ParameterError, "expected 1 to 3, −1 to −3"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis="c"), ParameterError, "channel_axis must be a whole"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=1, stops=0), ParameterError, "stops must be a posi"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=1, batch_size=0), ParameterError, "batch_size must"),
        (lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=1, target=[1]), ParameterError, "each of 3 samples"),
        (
            lambda: metrics.morf(predict, IMAGES, MAPS, channel_axis=1, replacement=np.ones(7)),
            InputShapeError,
            r"the replacement has the shape \(7,\), which does not broadcast",
        ),
        (
            lambda: metrics.morf(lambda x: predict(x)[:, 0], IMAGES, MAPS, channel_axis=1),
            OutputError,
            r"returned the shape \(21,\) for 21 samples; expected one row of outputs per sample, \(21, classes\)",
        ),
        (
            lambda: metrics.morf(lambda x: predict(x) * np.nan, IMAGES, MAPS, channel_axis=1),
            OutputError,
            "returned NaN",
        ),
        (lambda: metrics.pooled(MAPS, channel_axis=1, reduction="mean"), ParameterError, "reduction must be one of"),
        (lambda: metrics.pooled(MAPS, channel_axis=None, reduction="l2"), ParameterError, "and channel_axis is None"),
        (lambda: metrics.grid_regions((4, 4), (2,)), ParameterError, "size has 1 numbers"),
        (
            lambda: metrics.deletion(predict, IMAGES, MAPS, np.zeros((4, 4), int), channel_axis=1),
            InputShapeError,
            r"regions must hold whole numbers in the shape \(5, 4\) or \(3, 5, 4\), got int64 \(4, 4\)",
        ),
        (
            lambda: metrics.insertion(predict, IMAGES, MAPS, np.zeros((5, 4), int), channel_axis=1, baseline=[1, 2, 3]),
            InputShapeError,
            r"the baseline has the shape \(3,\)",
        ),
        (
            lambda: metrics.mass_accuracy(MAPS, np.full((3, 5, 4), 2), channel_axis=1),
            InputTypeError,
            "the mask must hold True and False",
        ),
        (
            lambda: metrics.mass_accuracy(MAPS, np.zeros((3, 5, 4), bool), channel_axis=1),
            InputShapeError,
            "the mask of sample 0 is empty",
        ),
        (
            lambda: metrics.rank_accuracy(MAPS, np.ones((3, 4, 5), bool), channel_axis=1),
            InputShapeError,
            r"the mask has the shape \(3, 4, 5\), expected \(3, 5, 4\)",
        ),
        (
            lambda: metrics.rank_accuracy(MAPS, MAPS > 0, channel_axis=1),
            InputShapeError,
            "the mask differs between channels",
        ),
        (lambda: metrics.completeness(MAPS, [1, 2]), InputShapeError, r"one number per sample, \(3,\)"),
        (lambda: metrics.max_sensitivity(lambda x: x, IMAGES, radius=0), ParameterError, "radius must be a positive"),
        (
            lambda: metrics.max_sensitivity(lambda x: x[:, :1], IMAGES, radius=1),
            InputShapeError,
            r"explain returned the shape \(3, 1, 5, 4\) for inputs of the shape \(3, 2, 5, 4\)",
        ),
        (lambda: metrics.mean_interval([[1.0]]), InputShapeError, "values must be one number per sample"),
        (lambda: metrics.mean_interval([1.0], level=95), ParameterError, "level must lie between 0 and 1"),
        (lambda: metrics.mean_interval([1.0], groups=[1, 2]), InputShapeError, r"groups has the shape \(2,\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
