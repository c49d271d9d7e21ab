"""What must hold whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import BatchNormed, Branching, Series, seeded

import signxai_core as sx

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 2, 6, 6))
CASES = {
    "branching": (lambda: seeded(Branching, bias=True), IMAGES),
    "batch_normed": (lambda: seeded(BatchNormed), RNG.normal(size=(8, 3, 7, 5))),
    "series": (lambda: seeded(Series), RNG.normal(size=(8, 3, 32))),
}


def names_for(x: np.ndarray) -> list[str]:
    return [name for name in sx.methods() if "timeseries" not in name or x.ndim == 3]


def worst(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def test_lrp_z_is_gradient_times_input_without_biases():
    model = seeded(Branching, bias=False)
    ours = sx.explain(model, IMAGES, "lrp_z")
    x = torch.tensor(IMAGES, requires_grad=True)
    logits = model(x)
    (gradient,) = torch.autograd.grad(logits.max(dim=1).values.sum(), x)
    assert worst(ours.relevance, gradient.numpy() * IMAGES) < 1e-10
    np.testing.assert_allclose(ours.conservation.total, logits.max(dim=1).values.detach(), rtol=1e-10)
    assert np.abs(ours.conservation.gap).max() < 1e-10


@pytest.mark.parametrize("method", ["lrp_zplus", "lrp_gamma_0_25", "flatlrp_z", "w2lrp_z"])
def test_relevance_is_conserved_without_biases(method):
    # Not alpha-beta with beta > 0: where nothing contributes negatively that share is lost by definition.
    result = sx.explain(seeded(Branching, bias=False), np.abs(IMAGES), method)
    np.testing.assert_allclose(result.conservation.total, result.conservation.expected, rtol=1e-9)


@pytest.mark.parametrize("seed", ["one", "logit"])
def test_a_gradient_times_the_input_sums_to_the_logit_without_biases(seed):
    model = seeded(Branching, bias=False)
    for name in ("gradient_x_input", "input_t_gradient"):
        result = sx.explain(model, IMAGES, name, 2, seed=seed)
        logits = result.output[:, 2]
        np.testing.assert_allclose(result.conservation.expected, logits if seed == "one" else logits**2, rtol=1e-12)
        assert np.abs(result.conservation.gap).max() < 1e-9 * np.abs(logits).max()
    smooth = sx.explain(model, IMAGES, "smoothgrad_x_input", 2, samples=2)
    np.testing.assert_allclose(smooth.conservation.expected, smooth.output[:, 2])
    squared = sx.explain(model, IMAGES, "gradient_x_input", lambda y: y[:, 2] ** 2, seed=seed)
    assert np.abs(squared.conservation.gap).max() < 1e-9 * np.abs(squared.conservation.total).max()
    np.testing.assert_array_equal(sx.explain(model, IMAGES, "gradient_x_sign", 2).conservation.expected, 1.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lrp_zplus", "lrp_alpha_1_beta_0"),
        ("lrp_gamma_0", "lrp_z"),
        ("lrp_epsilon_0", "lrp_z"),
        ("lrpz_z", "lrp_z"),
        ("lrpsign_epsilon_0_1", "lrpsign_epsilon_0_1_mu_0"),
        ("input_t_gradient", "gradient_x_input"),
    ],
)
@pytest.mark.parametrize("case", CASES)
def test_methods_that_are_the_same(case, one, other):
    make, x = CASES[case]
    model = make()
    assert worst(sx.explain(model, x, one).relevance, sx.explain(model, x, other).relevance) < 1e-12


@pytest.mark.parametrize("base", ["gradient", "guided_backprop", "deconvnet", "smoothgrad"])
@pytest.mark.parametrize("case", CASES)
def test_sign_is_the_map_times_the_sign_of_the_input(case, base):
    make, x = CASES[case]
    names = [base, f"{base}_x_sign", f"{base}_x_sign_mu_0_5", f"{base}_x_input"]
    maps = sx.explain_many(make(), x, names)
    plain = maps[base].relevance
    np.testing.assert_array_equal(maps[names[1]].relevance, plain * np.where(x >= 0, 1, -1))
    np.testing.assert_array_equal(maps[names[2]].relevance, plain * np.where(x >= 0.5, 1, -1))
    np.testing.assert_allclose(maps[names[3]].relevance, plain * x, rtol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_integrated_gradients_are_complete(case):
    make, x = CASES[case]
    result = sx.explain(make(), x, "integrated_gradients", steps=400)
    # Gauss-Legendre on a piecewise linear path converges as 1 / steps.
    assert np.abs(result.conservation.gap).max() < 1e-2
    model = make()
    zero = model(torch.zeros(x.shape, dtype=torch.float64)).detach().numpy()
    rows = np.arange(len(x))
    expected = result.output[rows, result.target] - zero[rows, result.target]
    np.testing.assert_allclose(result.conservation.expected, expected)


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
@pytest.mark.parametrize("case", CASES)
def test_a_batch_equals_its_samples(case, convention):
    make, x = CASES[case]
    model, names = make(), names_for(x)
    given = {"mu": 0.25, "samples": 5, "steps": 8}
    together = sx.explain_many(model, x, names, convention=convention, **given)
    alone = [sx.explain_many(model, x[i : i + 1], names, convention=convention, **given) for i in range(len(x))]
    for name in names:
        ours = together[name].relevance
        assert ours.shape == x.shape
        assert np.isfinite(ours).all(), name
        assert worst(ours, np.concatenate([part[name].relevance for part in alone])) < 1e-10, name


@pytest.mark.parametrize("case", CASES)
def test_many_equals_one_by_one(case):
    make, x = CASES[case]
    model, names = make(), names_for(x)
    together = sx.explain_many(model, x, names, mu=0.25, samples=5, steps=8)
    for name in names:
        given = {"mu": 0.25} if name.endswith("_mu") else {}
        given |= {"samples": 5} if name.startswith(("smooth", "var")) else {}
        given |= {"steps": 8} if name.startswith("integrated") else {}
        np.testing.assert_allclose(
            together[name].relevance, sx.explain(model, x, name, **given).relevance, rtol=1e-12, atol=1e-15
        )


def test_batch_norm_is_folded_into_its_convolution():
    """A batch-norm network and the same function without batch-norm have the same maps."""
    model = seeded(BatchNormed)
    folded = seeded(BatchNormed)
    for number in (1, 2):
        conv, bn = getattr(folded, f"conv{number}"), getattr(folded, f"bn{number}")
        fused = torch.nn.utils.fuse_conv_bn_eval(conv, bn)
        setattr(folded, f"conv{number}", fused)
        setattr(folded, f"bn{number}", torch.nn.Identity())
    x = CASES["batch_normed"][1]
    names = ["lrp_z", "lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_gamma_0_25", "w2lrp_z", "lrpsign_zplus"]
    ours = sx.explain_many(model, x, names)
    theirs = sx.explain_many(folded, x, names)
    for name in names:
        assert worst(ours[name].relevance, theirs[name].relevance) < 1e-10, name


def test_scaling_in_front_of_the_first_layer_hands_relevance_on():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    tail = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3))
    mean, std = torch.rand(1, 3, 1, 1), torch.rand(1, 3, 1, 1) + 0.5

    class Normalising(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.tail = conv, tail
            self.register_buffer("mean", mean)
            self.register_buffer("std", std)

        def forward(self, x):
            return self.tail(self.conv((x - self.mean) / self.std))

    model = Normalising().double()
    x = RNG.uniform(0.1, 1, size=(2, 3, 4, 4))
    outside = torch.nn.Sequential(conv, tail).double()
    scaled = (x - mean.double().numpy()) / std.double().numpy()
    for name in ("lrpsign_epsilon_0_1", "lrpsign_epsilon_0_1_mu_0_5", "w2lrp_z", "flatlrp_zplus"):
        # SIGN, thresholds and ones are about what the first layer reads.
        inside = sx.explain(model, x, name).relevance
        np.testing.assert_allclose(inside, sx.explain(outside, scaled, name).relevance, rtol=1e-9, atol=1e-12)
    # Rules of contributions alone take the scaling as part of the layer.
    plain = sx.explain(model, x, "lrpz_epsilon_0_1").relevance
    folded = sx.explain(model, x, "lrp_epsilon_0_1").relevance
    assert np.abs(plain - folded).max() > 1e-6


def test_zero_times_bounds_is_w_square_like_and_finite():
    model = seeded(Branching, bias=True)
    result = sx.explain(model, IMAGES, "zblrp_z", low=np.array([-4.0, -5.0]), high=5.0)
    by_image = sx.explain(
        model, IMAGES, "zblrp_z", low=np.array([-4.0, -5.0])[:, None, None] * np.ones((2, 6, 6)), high=5.0
    )
    np.testing.assert_allclose(result.relevance, by_image.relevance)


def test_mu_may_be_an_array():
    model = seeded(Branching, bias=True)
    mu = RNG.normal(size=(2, 6, 6))
    ours = sx.explain(model, IMAGES, "lrpsign_epsilon_0_1", mu=mu).relevance
    plain = sx.explain(model, IMAGES, "lrpsign_epsilon_0_1").relevance
    flip = np.where(mu <= IMAGES, 1, -1) * np.where(IMAGES >= 0, 1, -1)
    np.testing.assert_allclose(ours, plain * flip)


def test_smoothgrad_and_vargrad_share_their_noise_and_leave_the_input():
    make, x = CASES["branching"]
    before = x.copy()
    model = make()
    maps = sx.explain_many(model, x, ["smoothgrad", "vargrad"], samples=7, noise=0.1, random_state=3)
    np.testing.assert_array_equal(x, before)
    drawn = np.random.default_rng(3).standard_normal((7, *x.shape[1:]))
    target = maps["smoothgrad"].target
    for i in range(len(x)):
        noisy = x[i] + 0.1 * (x[i].max() - x[i].min()) * drawn
        gradients = sx.explain(model, noisy, "gradient", int(target[i])).relevance
        np.testing.assert_allclose(maps["smoothgrad"].relevance[i], gradients.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(maps["vargrad"].relevance[i], gradients.var(axis=0), atol=1e-12)


def test_scaling_behind_an_einsum_is_an_operation_of_its_own():
    """Its weight has no layout that channels could be scaled in, so nothing is folded into it."""

    class Einsum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.weight = torch.nn.Parameter(torch.rand(6, 4, generator=generator) - 0.5)
            self.scale = torch.nn.Parameter(torch.rand(6, generator=generator) + 0.5)

        def forward(self, x):
            return torch.relu(torch.einsum("npi,oi->npo", x, self.weight) * self.scale).sum(dim=1)

    x = RNG.normal(size=(2, 3, 4))
    ours = sx.explain(Einsum().double(), x, "lrp_z").relevance
    theirs = sx.explain(Einsum().double(), x, "gradient_x_input").relevance
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("method", ["lrp_alpha_2_beta_1", "lrp_gamma_0_25", "lrp_zplus"])
def test_constants_that_join_the_activations_may_be_negative(method):
    """Terms are dropped where x cannot be negative; a constant that is concatenated can be."""

    class Joined(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = torch.nn.Linear(4, 3), torch.nn.Linear(5, 2)

        def forward(self, x):
            constant = torch.full((len(x), 2), -2.0, dtype=x.dtype)
            return self.second(torch.cat([torch.relu(self.first(x)), constant], dim=1))

    x = RNG.normal(size=(3, 4))
    model = Joined().double()
    ours = sx.explain(model, x, method).relevance
    dense = torch.nn.Sequential(model.first, torch.nn.ReLU(), Negatives(), model.second)
    np.testing.assert_allclose(ours, sx.explain(dense, x, method).relevance, rtol=1e-10)


class Negatives(torch.nn.Module):
    """The same constants, made of the input by a function whose sign is not known."""

    def forward(self, x):
        known = x[:, :1] - x[:, :1]
        return torch.cat([x, known - 2.0, known - 2.0], dim=1)
