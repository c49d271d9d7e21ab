"""Weights from Keras to PyTorch and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras
import torch
from torch import nn

from signxai_core.errors import ModelError
from signxai_tf.porting import copy_weights

#: Keras 3.15 with NumPy 2.4, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

L = keras.layers
TYPE = "float64"


@pytest.fixture(autouse=True)
def _float64():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(TYPE)
    yield
    keras.config.set_dtype_policy(before)


def sequential(shape, *layers):
    """A Keras model with random numbers in all its weights, the variances positive."""
    model = keras.Sequential([keras.Input(shape, dtype=TYPE), *layers])
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


def module(*layers):
    made = nn.Sequential(*layers).double().eval()
    random = np.random.default_rng(1)
    with torch.no_grad():
        for tensor in (*made.parameters(), *(b for b in made.buffers() if b.is_floating_point())):
            tensor.copy_(torch.from_numpy(random.uniform(0.5, 1.5, tensor.shape)))
    return made


def first(x):
    return np.moveaxis(x, -1, 1)


def agree(keras_model, torch_model, x):
    ours = keras_model(x, training=False).numpy()
    theirs = torch_model(torch.from_numpy(np.ascontiguousarray(first(x)))).detach().numpy()
    theirs = np.moveaxis(theirs, 1, -1) if theirs.ndim > 2 else theirs
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


CASES = {
    "dense": (
        (5,),
        lambda: [L.Dense(4), L.Dense(3, use_bias=False)],
        lambda: [nn.Linear(5, 4), nn.Linear(4, 3, bias=False)],
    ),
    "conv1d": ((9, 4), lambda: [L.Conv1D(6, 3, groups=2)], lambda: [nn.Conv1d(4, 6, 3, groups=2)]),
    "conv2d": (
        (7, 8, 3),
        lambda: [L.Conv2D(4, (3, 2), strides=2), L.Conv2D(2, 1)],
        lambda: [nn.Conv2d(3, 4, (3, 2), 2), nn.Conv2d(4, 2, 1)],
    ),
    "conv3d": ((4, 5, 6, 2), lambda: [L.Conv3D(3, (1, 2, 3))], lambda: [nn.Conv3d(2, 3, (1, 2, 3))]),
    "dilation": ((9, 9, 2), lambda: [L.Conv2D(3, 3, dilation_rate=2)], lambda: [nn.Conv2d(2, 3, 3, dilation=2)]),
    "depthwise1d": (
        (9, 3),
        lambda: [L.DepthwiseConv1D(3, depth_multiplier=2)],
        lambda: [nn.Conv1d(3, 6, 3, groups=3)],
    ),
    "depthwise2d": (
        (7, 8, 3),
        lambda: [L.DepthwiseConv2D((3, 2), depth_multiplier=2)],
        lambda: [nn.Conv2d(3, 6, (3, 2), groups=3)],
    ),
    "transposed1d": ((5, 3), lambda: [L.Conv1DTranspose(4, 3)], lambda: [nn.ConvTranspose1d(3, 4, 3)]),
    "transposed2d": (
        (4, 5, 3),
        lambda: [L.Conv2DTranspose(4, (3, 2), strides=2)],
        lambda: [nn.ConvTranspose2d(3, 4, (3, 2), 2)],
    ),
    "transposed3d": (
        (3, 4, 3, 2),
        lambda: [L.Conv3DTranspose(3, 2, strides=2)],
        lambda: [nn.ConvTranspose3d(2, 3, 2, 2)],
    ),
    "batch_norm": (
        (5, 5, 2),
        lambda: [L.Conv2D(3, 3), L.BatchNormalization(epsilon=1e-5)],
        lambda: [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)],
    ),
    "layer_norm": ((6,), lambda: [L.LayerNormalization(epsilon=1e-5)], lambda: [nn.LayerNorm(6)]),
    "flatten": (
        (6, 7, 2),
        lambda: [L.Conv2D(3, 3), L.Flatten(), L.Dropout(0.5), L.Dense(4), L.Dense(3)],
        lambda: [nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(60, 4), nn.Linear(4, 3)],
    ),
    "flatten_series": (
        (6, 2),
        lambda: [L.Conv1D(3, 3), L.Flatten(), L.BatchNormalization(epsilon=1e-5), L.Dense(4)],
        lambda: [nn.Conv1d(2, 3, 3), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 4)],
    ),
    "flatten_input": ((4, 5, 3), lambda: [L.Flatten(), L.Dense(4)], lambda: [nn.Flatten(), nn.Linear(60, 4)]),
    "global_pooling": (
        (4, 5, 3),
        lambda: [L.Conv2D(6, 2), L.GlobalAveragePooling2D(), L.Dense(4)],
        lambda: [nn.Conv2d(3, 6, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_both_ways(case):
    shape, ours, theirs = CASES[case]
    x = np.random.default_rng(2).normal(size=(2, *shape))
    keras_model, torch_model = sequential(shape, *ours()), module(*theirs())
    assert not agree(keras_model, torch_model, x)
    paired = copy_weights(keras_model, torch_model)
    assert agree(keras_model, torch_model, x)
    before, fresh = torch_model.state_dict(), sequential(shape, *ours())
    fresh.set_weights([weight * 0 + 3 for weight in fresh.get_weights()])
    assert [two for two, _ in copy_weights(torch_model, fresh)] == [two for _, two in paired]
    assert agree(fresh, torch_model, x)
    assert all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), keras_model.get_weights(), strict=True))
    assert all(torch.equal(before[key], value) for key, value in torch_model.state_dict().items())


def test_embedding():
    keras_model = keras.Sequential([keras.Input((3,), dtype="int32"), L.Embedding(7, 4)])
    torch_model = nn.Sequential(nn.Embedding(7, 4)).double()
    copy_weights(torch_model, keras_model)
    x = np.array([[1, 6, 0]])
    np.testing.assert_array_equal(keras_model(x).numpy(), torch_model(torch.from_numpy(x)).detach().numpy())


def test_what_a_layer_goes_without_is_neutral():
    keras_model = sequential((4, 4, 2), L.Conv2D(3, 2, use_bias=False), L.BatchNormalization(scale=False, epsilon=1e-5))
    torch_model = module(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3))
    copy_weights(keras_model, torch_model)
    assert agree(keras_model, torch_model, np.random.default_rng(0).normal(size=(2, 4, 4, 2)))
    copy_weights(torch_model, keras_model)
    with torch.no_grad():
        torch_model[1].weight.mul_(2)
    with pytest.raises(ModelError, match=r"'1' \(BatchNorm2d\) and .* cannot be copied: the destination has no gamma"):
        copy_weights(torch_model, keras_model)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.inner, self.head = (
            L.Conv2D(3, 2, name="conv"),
            keras.Sequential(name="inner"),
            L.Dense(2, name="head"),
        )
        self.inner.add(L.Conv2D(4, 2, name="second"))

    def call(self, x):
        x = self.inner(self.conv(x))
        return self.head(keras.ops.reshape(x, (-1, 3 * 2 * 4)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 5, 4, 2)))
    return model, module(nn.Conv2d(2, 3, 2), nn.Conv2d(3, 4, 2), nn.Flatten(), nn.Linear(24, 2))


def test_flattened_out_of_sight_has_to_be_told():
    model, twin = subclassed()
    text = (
        "'head' (Dense) reads 24 features, and the layer before it gives 4: they are flattened or joined in an order "
        "that cannot be seen; say how its inputs are laid out: feature_maps={'head': (height, width, channels)}, or "
        "(24,) where it is the same in both models. Nothing was changed"
    )
    with pytest.raises(ModelError) as raised:
        copy_weights(model, twin)
    assert str(raised.value) == text
    assert copy_weights(model, twin, feature_maps={"head": (3, 2, 4)}) == (
        ("conv", "0"), ("inner.second", "1"), ("head", "3"),
    )  # fmt: skip
    assert agree(model, twin, np.random.default_rng(0).normal(size=(2, 5, 4, 2)))
    copy_weights(model, twin, feature_maps={"head": (24,)})
    np.testing.assert_array_equal(twin[3].weight.detach().numpy(), model.head.kernel.numpy().T)


def test_pairs():
    keras_model = sequential((4,), L.Dense(4, name="one"), L.Dense(4, name="two"))
    torch_model = module(nn.Linear(4, 4), nn.Linear(4, 4))
    copy_weights(keras_model, torch_model, pairs={"one": "1", "two": "0"})
    np.testing.assert_array_equal(torch_model[1].weight.detach().numpy(), keras_model.layers[0].kernel.numpy().T)
    with pytest.raises(ModelError) as raised:
        copy_weights(keras_model, torch_model, pairs={"one": "1", "three": "2"})
    assert str(raised.value) == (
        "pairs does not fit the models: 'two' of the source is not paired; '0' of the destination is not paired; the "
        "source has no layer with weights 'three'; the destination has no layer with weights '2'"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (
            lambda: [L.Conv2D(3, 2, strides=2, name="c")],
            lambda: [nn.Conv2d(2, 3, 2)],
            ("the weights of 'c' (Conv2D) and '0' (Conv2d) cannot be copied: their strides differ: (2, 2) in Keras, "
            "(1, 1) in PyTorch. Nothing was changed"),
        ),
        (
            lambda: [L.Conv2D(3, 2, name="c")],
            lambda: [nn.Conv2d(2, 3, 3)],
            "the kernel gives an array of shape (3, 2, 2, 2), and (3, 2, 3, 3) is needed",
        ),
        (
            lambda: [L.Conv2D(4, 2, name="c")],
            lambda: [nn.Conv2d(2, 4, 2, groups=2)],
            "their groups differ: 1 in Keras, 2 in PyTorch",
        ),
        (
            lambda: [L.Conv2D(3, 1), L.BatchNormalization(name="b")],
            lambda: [nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)],
            "their epsilons differ: 0.001 in Keras, 1e-05 in PyTorch",
        ),
        (
            lambda: [L.Conv2D(3, 1, name="c")],
            lambda: [nn.Linear(2, 3)],
            "the twin of a Conv2D is a torch.nn.Conv2d",
        ),
        (
            lambda: [L.SeparableConv2D(3, 2, name="s")],
            lambda: [nn.Conv2d(2, 3, 2)],
            "layers of type SeparableConv2D are not known; known are BatchNormalization, Bidirectional, Conv1D, ",
        ),
        (
            lambda: [L.Conv2D(3, 2, name="c")],
            lambda: [nn.Conv2d(2, 3, 2, bias=False)],
            "the destination has no bias",
        ),
        (
            lambda: [L.Conv2D(3, 2, name="c")],
            lambda: [nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3)],
            ("the source has 1 layers with weights, the destination 2: '1' (BatchNorm2d) of the destination is the "
            "first without a partner"),
        ),
        (
            lambda: [L.Conv2D(3, 1), L.BatchNormalization(name="b", epsilon=1e-5)],
            lambda: [nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)],
            "the PyTorch layer keeps no running statistics (track_running_stats=False)",
        ),
        (
            lambda: [L.Flatten(), L.Dense(40, name="d"), L.Reshape((2, 2, 10)), L.Conv2D(3, 2, name="c")],
            lambda: [nn.Flatten(), nn.Linear(32, 40), nn.Unflatten(1, (10, 2, 2)), nn.Conv2d(10, 3, 2)],
            "'c' (Conv2D) reads 10 channels, and 'd' before it gives 40 features: where these are reshaped",
        ),
        (
            lambda: [L.Conv2D(3, 2, dtype="float32", name="c")],
            lambda: [nn.Conv2d(2, 3, 2)],
            "the kernel is float32 in the source and float64 in the other",
        ),
    ],
)  # fmt: skip
def test_refusals_name_the_layer_and_change_nothing(ours, theirs, text):
    keras_model, torch_model = sequential((4, 4, 2), *ours()), module(*theirs())
    before = {key: value.clone() for key, value in torch_model.state_dict().items()}
    with pytest.raises(ModelError) as raised:
        copy_weights(keras_model, torch_model)
    assert text in str(raised.value)
    assert all(torch.equal(before[key], value) for key, value in torch_model.state_dict().items())


def test_the_last_layer_that_does_not_fit_keeps_the_first_unchanged():
    keras_model = sequential((4,), L.Dense(3, name="a"), L.Dense(2, name="b"))
    before = keras_model.get_weights()
    with pytest.raises(ModelError, match=r"'1' \(Linear\) and 'b' \(Dense\) cannot be copied: the kernel gives"):
        copy_weights(module(nn.Linear(4, 3), nn.Linear(3, 5)), keras_model)
    assert all(np.array_equal(a, b) for a, b in zip(before, keras_model.get_weights(), strict=True))


def test_models_that_cannot_be_ported():
    model = sequential((4,), L.Dense(3))
    with pytest.raises(ModelError, match=r"copied between a keras.Model and a torch.nn.Module, got Sequential and Seq"):
        copy_weights(model, model)
    with pytest.raises(ModelError, match=r"got Linear and list"):
        copy_weights(nn.Linear(2, 3), [])
    with pytest.raises(ModelError, match=r"'unbuilt' has no weights yet: call it once on an example"):
        copy_weights(keras.Sequential([L.Dense(3)], name="unbuilt"), nn.Linear(4, 3))
    with pytest.raises(ModelError, match=r"'0' \(LazyLinear\) has no weight yet: call the model once"):
        copy_weights(model, nn.Sequential(nn.LazyLinear(3)))
    with pytest.raises(ModelError, match=r"feature_maps names 'x', which is no layer with weights"):
        copy_weights(model, module(nn.Linear(4, 3)), feature_maps={"x": (4,)})
    with pytest.raises(ModelError, match=r"reads 4 features, not those of a feature map of shape \(2, 3\); say how"):
        copy_weights(model, module(nn.Linear(4, 3)), feature_maps={model.layers[0].name: (2, 3)})
