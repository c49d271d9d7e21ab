"""Every model of ``keras.applications`` runs, with gradients and with LRP.

By default one small model of each family, cut behind its first blocks, since the others repeat them;
``SIGNXAI_APPLICATIONS=all`` takes every model as a whole (a quarter of an hour on one core, 8 GB).
"""

from __future__ import annotations

import os

import attrs
import numpy as np
import pytest

import signxai_core as sx

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
from tf_nets import relative  # noqa: E402

GRADIENTS = ["gradient", "guided_backprop", "grad_cam"]
#: Of the largest sum of a sample: where a sum of activations is smaller, its divisor is moved by definition.
#: So small that in double precision nothing is moved; 1e-9, as defined, moves 40 places of NASNetLarge.
NO_STABILISER = 1e-15
LRP = ["lrp_z", "lrp_epsilon_0_1", "lrp_sequential_composite_a", "lrpsign_z"]
#: By the beginning of the name: smallest input, where to cut, and whether LRP is the gradient times the input.
FAMILIES = {
    "ConvNeXt": ("ConvNeXtTiny", 32, "convnext_tiny_stage_0_block_0_identity", False),
    "DenseNet": ("DenseNet121", 32, "pool2_pool", True),
    "EfficientNetB": ("EfficientNetB0", 32, "block2a_project_bn", False),
    "EfficientNetV2": ("EfficientNetV2B0", 32, "block4a_project_bn", False),
    "InceptionResNetV2": ("InceptionResNetV2", 75, "block35_1_ac", True),
    "InceptionV3": ("InceptionV3", 75, "mixed3", True),
    "MobileNet": ("MobileNet", 32, "conv_pw_4_relu", True),
    "MobileNetV2": ("MobileNetV2", 32, "block_2_add", True),
    "MobileNetV3": ("MobileNetV3Small", 32, "expanded_conv_3_project_bn", False),
    "NASNet": ("NASNetMobile", 32, "normal_concat_0", True),
    "ResNet": ("ResNet50", 32, "conv3_block1_out", True),
    "ResNetV2": ("ResNet50V2", 32, "conv3_block1_out", True),
    "VGG": ("VGG16", 32, "block2_pool", True),
    "Xception": ("Xception", 71, "add_1", True),
}
WHOLE = os.environ.get("SIGNXAI_APPLICATIONS") == "all"
MODELS = sorted(name for name in vars(keras.applications) if name[0].isupper())


def family(name):
    """Return the longest beginning that fits; ResNet101V2 has its version at the end."""
    if name.startswith("ResNet") and name.endswith("V2"):
        return "ResNetV2"
    return max((beginning for beginning in FAMILIES if name.startswith(beginning)), key=len)


@pytest.fixture(autouse=True)
def double():
    """Compute in double precision, where rounding hides nothing."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    keras.utils.clear_session()


def build(name, size, layer):
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5)
    if WHOLE:
        return model, keras.Model(model.input, logits(model))
    pooled = keras.layers.GlobalAveragePooling2D()(model.get_layer(layer).output)
    return (keras.Model(model.input, pooled),) * 2


def logits(model):
    """Return the outputs of a model before its softmax."""
    last = model.layers[-1]
    given = last.input
    return given @ last.kernel + last.bias if isinstance(last, keras.layers.Dense) else given


def unstabilised(name):
    """Return a method in which sums that cancel are divided by as they are."""
    spec = sx.parse(name)
    entries = []
    for entry in spec.composite.entries:
        stabiliser = getattr(entry.rule, "stabiliser", None)
        if stabiliser is not None and stabiliser.scale == "relative":
            rule = attrs.evolve(entry.rule, stabiliser=attrs.evolve(stabiliser, epsilon=NO_STABILISER))
            entry = attrs.evolve(entry, rule=rule)  # noqa: PLW2901
        entries.append(entry)
    return attrs.evolve(spec, composite=attrs.evolve(spec.composite, entries=tuple(entries)))


def gradient(model, x):
    point = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = tf.reduce_sum(tf.reduce_max(model(point, training=False), axis=1))
    return tape.gradient(value, point).numpy()


def test_every_model_has_a_family():
    assert {family(name) for name in MODELS} == set(FAMILIES)
    assert all(family(representative) == name for name, (representative, *_) in FAMILIES.items())


@pytest.mark.parametrize("name", MODELS if WHOLE else [representative for representative, *_ in FAMILIES.values()])
def test_it_runs(name):
    _, size, layer, is_linear = FAMILIES[family(name)]
    model, inner = build(name, size, layer)
    before = [variable.numpy().tobytes() for variable in model.variables]
    x = np.random.default_rng(0).normal(size=(1, size, size, 3))
    exact = gradient(inner, x)
    results = sx.explain_many(model, x, GRADIENTS)
    assert relative(results["gradient"].relevance, exact) < 1e-12
    results |= sx.explain_many(model, x, LRP)
    if is_linear:  # nothing but ReLUs between linear operations: no gates, no normalisation within a sample
        # New models have no biases other than 0: with ReLU, nothing may be lost or added on the way.
        assert relative(sx.explain(model, x, unstabilised("lrp_z")).relevance, exact * x) < 1e-12
        assert relative(results["lrp_z"].relevance, exact * x) < 1e-7  # a hundred times the stabiliser
    assert all(np.isfinite(result.relevance).all() for result in results.values())
    assert [variable.numpy().tobytes() for variable in model.variables] == before
