"""Quantus' own metrics on our maps; run by itself, since Quantus is installed without its dependencies.

pip install pandas opencv-python-headless scikit-image tqdm cachetools
pip install --no-deps quantus==0.6.0    # where zennit is not installed without torchvision
pytest tests/quantus
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import quantus
import torch
from torch import nn

import signxai_core as sx
from signxai_core import metrics
from signxai_core.adapters.quantus import explain_func
from signxai_tf.porting import copy_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # Quantus' own

L = keras.layers
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((2, 3, 12, 12), dtype=np.float32)
SERIES = RANDOM.normal(size=(2, 12, 36)).astype(np.float32)  # 12 leads
TARGETS = np.array([0, 1])
NAMES = ("torch_image", "keras_image", "torch_series", "keras_series")


@pytest.fixture(scope="module")
def cases():
    torch.manual_seed(0)
    image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5)).eval()
    series = nn.Sequential(nn.Conv1d(12, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)).eval()
    inputs, steps = keras.Input((12, 12, 3)), keras.Input((36, 12))
    conv = L.Conv2D(4, 3, activation="relu")(inputs)
    image_twin = keras.Model(inputs, L.Dense(5)(L.Flatten()(conv)))
    conv = L.Conv1D(4, 5, activation="relu")(steps)
    series_twin = keras.Model(steps, L.Dense(5)(L.Flatten()(conv)))
    copy_weights(image, image_twin)
    copy_weights(series, series_twin)
    image_mask, series_mask = np.zeros((2, 1, 12, 12), bool), np.zeros((2, 1, 36), bool)
    image_mask[..., 2:7, 3:8] = series_mask[..., 10:20] = True
    return {
        "torch_image": (image, IMAGES, True, image_mask),
        "keras_image": (image_twin, np.moveaxis(IMAGES, 1, -1).copy(), False, image_mask),
        "torch_series": (series, SERIES, True, series_mask),
        "keras_series": (series_twin, np.moveaxis(SERIES, 1, -1).copy(), False, series_mask),
    }


#: Metrics that Quantus runs on all four, and what makes them short.
METRICS = {
    "FaithfulnessCorrelation": {"nr_runs": 3, "subset_size": 8},
    "FaithfulnessEstimate": {"features_in_step": 36},
    "PixelFlipping": {"features_in_step": 36},
    "RegionPerturbation": {"patch_size": 4, "regions_evaluation": 3},
    "Monotonicity": {"features_in_step": 36},
    "MonotonicityCorrelation": {"features_in_step": 36, "nr_samples": 2},
    "Selectivity": {"patch_size": 6},
    "SensitivityN": {"features_in_step": 36},
    "Sufficiency": {},
    "LocalLipschitzEstimate": {"nr_samples": 2},
    "MaxSensitivity": {"nr_samples": 2},
    "AvgSensitivity": {"nr_samples": 2},
    "Consistency": {},
    "PointingGame": {},
    "TopKIntersection": {"k": 10},
    "RelevanceMassAccuracy": {},
    "RelevanceRankAccuracy": {},
    "AttributionLocalisation": {},
    "AUC": {},
    "Sparseness": {},
    "Complexity": {},
    "EffectiveComplexity": {},
    "MPRT": {},
    "RandomLogit": {"num_classes": 5},
    "Completeness": {},
}
#: Those that it runs on some of them.
SOME = {
    "Infidelity": ({"perturb_patch_sizes": [4], "n_perturb_samples": 2}, ("torch_image", "keras_image")),
    "RelativeInputStability": ({"nr_samples": 2}, ("torch_image", "torch_series")),
    "RelativeOutputStability": ({"nr_samples": 2}, ("torch_image", "torch_series")),
    "RelativeRepresentationStability": ({"nr_samples": 2}, ("torch_image", "torch_series")),
}
#: Those that stop in Quantus itself on these shapes, whatever the maps.
NONE = ("IROF", "ROAD")
OURS = {"method": "lrp_epsilon_0_1", "reduction": "sum"}


def anything(model, inputs, targets, **_):
    """Random maps in the shape that Quantus asks for: one channel, in front."""
    shape = np.shape(inputs)
    last = not isinstance(model, nn.Module)
    return np.random.default_rng(1).random((shape[0], 1, *(shape[1:-1] if last else shape[2:])))


def call(name, options, case, function=explain_func, keywords=None):
    model, x, first, mask = case
    metric = getattr(quantus, name)(**options, disable_warnings=True, display_progressbar=False)
    np.random.seed(0)  # noqa: NPY002 - Quantus draws from NumPy's global state
    return metric(
        model=model,
        x_batch=x,
        y_batch=TARGETS,
        a_batch=None,
        s_batch=mask,
        channel_first=first,
        softmax=False,
        device="cpu",
        explain_func=function,
        explain_func_kwargs=OURS if keywords is None else keywords,
    )


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("name", [*METRICS, *SOME])
def test_metrics_run(cases, name, case):
    options, where = (METRICS[name], NAMES) if name in METRICS else SOME[name]
    if case in where:
        assert call(name, options, cases[case])
        return
    with pytest.raises(Exception):  # noqa: B017 - Quantus' own: random maps do no better
        call(name, options, cases[case], anything)


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("name", NONE)
def test_metrics_that_stop_whatever_the_maps(cases, name, case):
    with pytest.raises(Exception):  # noqa: B017
        call(name, {}, cases[case], anything)


@pytest.mark.parametrize("one", ["image", "series"])
def test_frameworks_have_the_same_scores(cases, one):
    for name in ("Complexity", "Sparseness", "RelevanceMassAccuracy", "RelevanceRankAccuracy", "PointingGame"):
        scores = [call(name, {}, cases[f"{framework}_{one}"]) for framework in ("torch", "keras")]
        np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)


@pytest.mark.parametrize("case", ["torch_image", "torch_series"])
def test_non_sensitivity(cases, case):
    """It also runs on Keras, and takes a minute there: one prediction per number of the input."""
    assert call("NonSensitivity", {}, cases[case])


def test_all_channels_with_torch(cases):
    assert call("PixelFlipping", {"features_in_step": 36}, cases["torch_image"], keywords={"method": "lrp_z"})


# Our metrics against those of Quantus that have the same definition


def test_mass_accuracy(cases):
    model, x, _, mask = cases["torch_image"]
    relevance = np.abs(sx.explain(model, x, "gradient", TARGETS).relevance.sum(axis=1, keepdims=True))
    theirs = quantus.RelevanceMassAccuracy(disable_warnings=True, normalise=False)(
        model=model, x_batch=x, y_batch=TARGETS, a_batch=relevance, s_batch=mask, device="cpu"
    )
    np.testing.assert_allclose(metrics.mass_accuracy(relevance, mask, channel_axis=1), theirs, rtol=1e-6)


def test_rank_accuracy(cases):
    model, x, _, mask = cases["torch_image"]
    relevance = sx.explain(model, x, "gradient", TARGETS).relevance.sum(axis=1, keepdims=True)
    theirs = quantus.RelevanceRankAccuracy(disable_warnings=True, normalise=False, abs=False)(
        model=model, x_batch=x, y_batch=TARGETS, a_batch=relevance, s_batch=mask, device="cpu"
    )
    np.testing.assert_allclose(metrics.rank_accuracy(relevance, mask, channel_axis=1), theirs, rtol=0, atol=1e-10)


def test_max_sensitivity():
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 8), nn.Tanh(), nn.Linear(8, 5)).double().eval()
    x = IMAGES.astype(np.float64)
    draws = np.random.default_rng(0)  # the draws of ours, one for every sample

    def ours(arr, **_):
        return arr + draws.uniform(-0.1, 0.1, arr.shape[1:])

    theirs = quantus.MaxSensitivity(
        disable_warnings=True,
        nr_samples=4,
        perturb_func=ours,
        normalise=False,
        abs=False,
        return_nan_when_prediction_changes=False,
    )(
        model=model,
        x_batch=x,
        y_batch=TARGETS,
        a_batch=None,
        device="cpu",
        explain_func=explain_func,
        explain_func_kwargs={"method": "gradient"},
    )
    found = metrics.max_sensitivity(
        lambda near: sx.explain(model, near, "gradient", TARGETS).relevance, x, radius=0.1, samples=4
    )
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-10)
