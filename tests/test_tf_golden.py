"""Numbers of published packages, recomputed with TensorFlow; the same bounds as for PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from test_golden import SIGNXAI_TOLERANCE, ZENNIT, ZENNIT_TOLERANCE, names_of

import signxai_core as sx

pytest.importorskip("tensorflow")
from tf_nets import golden, relative

MODELS = ("cnn_digits", "dense_digits")


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    return request.param, golden(request.param)


@pytest.fixture(scope="module")
def signxai(case):
    name, found = case
    theirs = found.maps(name, "signxai1_float64")
    ours = sx.explain_many(found.model, found.x, list(theirs), found.target, convention="signxai", mu=0.25)
    return ours, theirs


def test_logits(case):
    _, found = case
    result = sx.explain(found.model, found.x, "gradient")
    np.testing.assert_allclose(result.output, found.logits, atol=1e-5)  # theirs are float32
    assert list(result.target) == found.target
    assert result.backend == "tensorflow"


@pytest.mark.parametrize("method", names_of("signxai1_float64"))
def test_signxai_convention(signxai, method):
    ours, theirs = signxai
    assert relative(ours[method].relevance, theirs[method]) <= SIGNXAI_TOLERANCE


@pytest.mark.parametrize("seed", ["logit", "one"])
def test_zennit(case, seed):
    name, found = case
    theirs, suffix = found.maps(name, "zennit"), "__init1" if seed == "one" else ""
    box = {"low": -1.0, "high": float(found.x.max())}
    plain = [key for key in ZENNIT if not key.endswith(("zbox", "Box"))]
    ours = sx.explain_many(found.model, found.x, [ZENNIT[key] for key in plain], found.target, seed=seed)
    maps = {key: ours[ZENNIT[key]].relevance for key in plain}
    for key in ZENNIT.keys() - set(plain):
        maps[key] = sx.explain(found.model, found.x, ZENNIT[key], found.target, seed=seed, **box).relevance
    differences = {key: relative(maps[key], theirs[key + suffix]) for key in ZENNIT}
    assert max(differences.values()) <= ZENNIT_TOLERANCE, differences


@pytest.mark.parametrize("layer", ["conv2d", "conv2d_1"])
def test_grad_cam(layer):
    """The golden maps are not resized, so compare at their own size where it is the input's."""
    found = golden("cnn_digits")
    raw = found.maps("cnn_digits", "signxai1_gradcam")[f"grad_cam_raw__{layer}"]
    ours = sx.explain(found.model, found.x, "grad_cam", found.target, convention="signxai", last_conv=layer).relevance
    if raw.shape[1:] == ours.shape[1:3]:
        np.testing.assert_allclose(ours[..., 0], raw, atol=1e-6)  # theirs are float32
    else:
        # Half-pixel interpolation to 4 times the size passes through no sample; corners are held constant.
        np.testing.assert_allclose(ours[..., 0][:, [0, 0, -1, -1], [0, -1, 0, -1]], raw.reshape(2, 4), atol=1e-6)


def test_every_published_name_runs():
    found = golden("cnn_digits")
    names = [name for name in sx.methods() if "timeseries" not in name]
    results = sx.explain_many(found.model, found.x, names, found.target, mu=0.25)
    for name, result in results.items():
        assert result.relevance.shape == found.x.shape, name
        assert np.isfinite(result.relevance).all(), name
