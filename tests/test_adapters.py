"""Other libraries' ways of asking give the same maps."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

import signxai_core as sx
from signxai_core import compat
from signxai_core.adapters.quantus import explain_func
from signxai_core.errors import InputError, InputShapeError, ParameterError
from signxai_torch.captum_style import Attribution


def test_captum_style(branching):
    model, x = branching
    wanted = sx.explain(model, x, "lrpsign_epsilon_0_1_mu_0_5", [1, 2])
    tensor = torch.tensor(x, requires_grad=True)
    attribution = Attribution(model, "lrpsign_epsilon_0_1", mu=0.5)
    for target in ([1, 2], torch.tensor([1, 2])):
        found = attribution.attribute(tensor, target=target)
        assert isinstance(found, torch.Tensor)
        assert found.dtype == tensor.dtype
        assert not found.requires_grad
        np.testing.assert_array_equal(found.numpy(), wanted.relevance)
    (inside,), delta = attribution.attribute((tensor,), [1, 2], return_convergence_delta=True)
    np.testing.assert_array_equal(inside.numpy(), wanted.relevance)
    logits = wanted.output[[0, 1], [1, 2]]
    np.testing.assert_allclose(delta.numpy(), logits - wanted.relevance.sum(axis=(1, 2, 3)))  # captum's sign for LRP
    best = sx.explain(model, x, "lrpsign_epsilon_0_1_mu_0_5").relevance
    np.testing.assert_array_equal(attribution.attribute(tensor).numpy(), best)


def test_the_delta_of_integrated_gradients_has_the_other_sign(branching):
    model, x = branching
    wanted = sx.explain(model, x, "integrated_gradients", 1, steps=3)
    _, delta = Attribution(model, "integrated_gradients", steps=3).attribute(
        torch.tensor(x), 1, return_convergence_delta=True
    )
    with torch.no_grad():
        explained = (model(torch.tensor(x)) - model(torch.zeros(x.shape, dtype=torch.float64)))[:, 1].numpy()
    np.testing.assert_allclose(delta.numpy(), wanted.relevance.sum(axis=(1, 2, 3)) - explained, rtol=1e-9)


@pytest.mark.parametrize(("inputs", "text"), [((), "a tuple of 0: nothing"), (np.ones((1, 2)), "ndarray")])
def test_captum_style_takes_one_tensor(branching, inputs, text):
    with pytest.raises(InputError, match=f"inputs must be one tensor, or a tuple of one, got {text}"):
        Attribution(branching[0], "gradient").attribute(inputs)
    with pytest.raises(InputError, match="a tuple of 2: Tensor, Tensor"):
        Attribution(branching[0], "gradient").attribute((torch.ones(1), torch.ones(1)))


def test_quantus(branching):
    model, x = branching
    assert list(inspect.signature(explain_func).parameters)[:3] == ["model", "inputs", "targets"]
    found = explain_func(model=model, inputs=x, targets=np.array([1, 2]), method="lrp_z", device="cpu", seed="one")
    np.testing.assert_array_equal(found, sx.explain(model, x, "lrp_z", [1, 2], seed="one").relevance)
    with pytest.raises(ParameterError, match="explain_func needs a method"):
        explain_func(model, x, [0, 0])
    with pytest.raises(ParameterError, match="has no parameter 'xai_lib'"):
        explain_func(model, x, [0, 0], method="lrp_z", xai_lib="captum")


def test_quantus_reads_one_channel_in_front_from_keras():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    for shape, kernel in (((8, 8, 3), layers.Conv2D(4, 3)), ((20, 12), layers.Conv1D(4, 3))):
        model = keras.Sequential([keras.Input(shape), kernel, layers.Flatten(), layers.Dense(3)])
        x = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
        wanted = sx.explain(model, x, "lrp_z", [1, 2]).relevance
        found = explain_func(model, x, np.array([1, 2]), method="lrp_z", device="cpu")
        assert found.shape == (2, 1, *shape[:-1])
        np.testing.assert_allclose(found[:, 0], wanted.sum(axis=-1), rtol=1e-5, atol=1e-7)
        # Some metrics hand over channels first, whatever the model.
        first = explain_func(model, np.moveaxis(x, -1, 1), np.array([1, 2]), method="lrp_z")
        np.testing.assert_array_equal(first, found)
        largest = explain_func(model, x, [1, 2], method="lrp_z", reduction="max_abs")
        np.testing.assert_allclose(largest[:, 0], np.abs(wanted).max(axis=-1), rtol=1e-6)
        whole = explain_func(model, x, [1, 2], method="lrp_z", channels_last=False)
        np.testing.assert_array_equal(whole, wanted)


def test_quantus_reduces_torch_maps_where_asked(branching):
    model, x = branching
    wanted = sx.explain(model, x, "lrp_z", [1, 2]).relevance
    found = explain_func(model, x, [1, 2], method="lrp_z", reduction="sum")
    np.testing.assert_allclose(found, wanted.sum(axis=1, keepdims=True))
    with pytest.raises(InputShapeError, match="reduction = 'sum' is over the channels, and the inputs have none"):
        explain_func(torch.nn.Linear(3, 2), np.ones((1, 3), np.float32), [0], method="lrp_z", reduction="sum")


def test_quantus_needs_no_quantus():
    code = "import sys, signxai_core.adapters.quantus; assert not {'quantus', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["lrp_alpha_1_beta_0", "guided_backprop", "zblrp_epsilon_0_1_VGG16ILSVRC"])
def test_calls_of_signxai(branching, name):
    model, x = branching
    wanted = sx.explain(model, x, name, 2, convention="signxai").relevance
    found = compat.calculate_relevancemap(name, x[0], model, neuron_selection=2)
    assert found.shape == x.shape[1:]
    np.testing.assert_allclose(found, wanted[0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        compat.calculate_relevancemaps(name, x, model, neuron_selection=2), wanted, rtol=1e-12, atol=1e-15
    )
    np.testing.assert_array_equal(compat.explain(model, x, name, 2), wanted)
    np.testing.assert_array_equal(compat.explain(model, x, name, target_class=2, framework="pytorch"), wanted)
    best = sx.explain(model, x, name, convention="signxai").relevance
    np.testing.assert_array_equal(compat.explain(model, torch.tensor(x), name), best)


def test_signatures_are_those_published():
    """Positions and keywords of signxai 1.1.9 and signxai2 0.5.0, read from the published packages."""
    one = list(inspect.signature(compat.calculate_relevancemap).parameters)
    assert one == ["m", "x", "model_no_softmax", "batchmode", "kwargs"]
    assert list(inspect.signature(compat.calculate_relevancemaps).parameters)[:3] == ["m", "X", "model_no_softmax"]
    two = list(inspect.signature(compat.explain).parameters)
    assert two == ["model", "x", "method_name", "target_class", "framework", "kwargs"]


def test_batches_and_methods_whose_number_is_a_parameter(branching):
    model, x = branching
    together = compat.calculate_relevancemap("lrp_z", x, model, batchmode=True, neuron_selection=1)
    np.testing.assert_array_equal(together, compat.explain(model, x, "lrp_z", 1))
    for given, name in (({}, "lrp_epsilon_0_1"), ({"epsilon": 0.25}, "lrp_epsilon_0_25")):
        found = compat.explain(model, x, "lrp_epsilon", 1, framework="PyTorch", **given)
        np.testing.assert_array_equal(found, compat.explain(model, x, name, 1))


@pytest.mark.parametrize("old", [name for name, new in compat.PARAMETERS.items() if new == "last_conv"])
def test_old_names_of_the_layer(branching, old):
    model, x = branching
    found = compat.explain(model, x, "grad_cam", 1, **{old: "stem"})
    np.testing.assert_array_equal(found, compat.explain(model, x, "grad_cam", 1, last_conv="stem"))
    assert not np.array_equal(found, compat.explain(model, x, "grad_cam", 1))


def test_old_names_of_parameters(branching):
    model, x = branching
    found = compat.explain(model, x, "smoothgrad", 1, augment_by_n=3, noise_scale=0.1)
    wanted = sx.explain(model, x, "smoothgrad", 1, convention="signxai", samples=3, noise=0.1).relevance
    np.testing.assert_array_equal(found, wanted)
    newer = compat.explain(model, x, "smoothgrad", 1, num_samples=3, noise_level=0.1)
    np.testing.assert_array_equal(newer, wanted)
    path = compat.explain(model, x, "integrated_gradients", 1, reference_inputs=0.5, steps=4)
    wanted = sx.explain(model, x, "integrated_gradients", 1, convention="signxai", baseline=0.5, steps=4).relevance
    np.testing.assert_array_equal(path, wanted)
    textbook = compat.explain(model, x, "guided_backprop", 1, convention="textbook")
    np.testing.assert_array_equal(textbook, sx.explain(model, x, "guided_backprop", 1).relevance)
    with pytest.raises(ParameterError, match="says 'target' a second time"):
        compat.calculate_relevancemap("gradient", x[0], model, target_class=1, neuron_selection=2)
    with pytest.raises(ParameterError, match="has no parameter 'channels'"):
        compat.calculate_relevancemap("gradient", x[0], model, channels=3)
