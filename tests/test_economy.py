"""No more products than a rule needs, and the same numbers: what makes the engine fast is counted, not timed."""

from __future__ import annotations

import itertools
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from equivalence import Example, check
from torch import nn

import signxai_core as sx
from signxai_core.engine.walk import Walk
from signxai_core.specs import KEEP, NEGATIVE, ONES, POSITIVE, ZERO, Constant, Mix, Rule, Share, Stabiliser, Term, Where
from signxai_core.testing import network as net
from signxai_torch import parts
from signxai_torch.backend import TorchBackend

NONE = Mix(0, 0)
WIDTH = 80  # products per output; from 64 on, an output may be taken as the difference of two others


@pytest.fixture
def network():
    draw = np.random.default_rng(0)
    return net.Network(
        [
            net.Dense(name="first", weight=draw.normal(size=(WIDTH, 6)), bias=draw.normal(size=WIDTH)),
            net.Activation(name="relu", inputs="first"),
            net.Dense(name="wide", inputs="relu", weight=draw.normal(size=(9, WIDTH)), bias=draw.normal(size=9)),
            net.BatchNorm(
                name="norm",
                inputs="wide",
                gamma=draw.normal(size=9),
                beta=draw.normal(size=9),
                mean=draw.normal(size=9),
                var=draw.uniform(0.5, 2, size=9),
            ),
        ],
        input_shape=(6,),
    )


@pytest.fixture
def counted(monkeypatch):
    """Count the products of every operation."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(name):
        original = getattr(TorchBackend, name)

        def counting(self, operation, *args):
            counts[name, operation.path] += 1
            return original(self, operation, *args)

        monkeypatch.setattr(TorchBackend, name, counting)

    for name in ("linear", "pull", "scale_weight"):
        count(name)
    return counts


def model_of(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3)).double().eval()


@pytest.mark.parametrize(
    ("name", "products"),
    [
        ("lrp_epsilon_0_1", {"pull": 1}),  # z is the recorded one
        ("lrp_alpha_1_beta_0", {"linear": 1, "pull": 1}),  # the input is not negative: half of the terms are 0
        ("lrp_alpha_2_beta_1", {"linear": 1, "pull": 2}),  # z − z⁺ is z⁻
        ("lrpsign_epsilon_0_25_std_x", {"pull": 1}),
    ],
)
def test_products_of_a_wide_operation_behind_a_relu(counted, name, products):
    sx.explain(model_of(WIDTH), np.random.default_rng(1).normal(size=(2, 6)), name)
    assert {what: count for (what, path), count in counted.items() if path == "2"} == products


def test_a_narrow_operation_is_not_a_difference(counted):
    sx.explain(model_of(8), np.random.default_rng(1).normal(size=(2, 6)), "lrp_alpha_2_beta_1")
    assert counted["linear", "2"] == 2


def test_coarse_products_are_not_subtracted(counted, monkeypatch):
    monkeypatch.setattr("signxai_torch.run._rounding", lambda x: 2.0**-11)  # TF32, on some accelerators
    sx.explain(model_of(WIDTH), np.random.default_rng(1).normal(size=(2, 6)), "lrp_alpha_2_beta_1")
    assert counted["linear", "2"] == 2


ALIKE = ("lrp_epsilon_0_1", "lrp_epsilon_0_5", "lrp_alpha_2_beta_1", "lrp_alpha_3_beta_2", "lrp_gamma_0_25", "gradient")


def test_what_streams_pull_alike_is_pulled_at_once(counted):
    """Where the weight is large: both epsilons need W, both alpha-betas W⁺ and W⁻, gamma its own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3))
    model, x = model.double().eval(), np.random.default_rng(1).normal(size=(2, 6))
    many = sx.explain_many(model, x, ALIKE[:-1])
    assert counted["pull", "2"] == 4
    for name, found in many.items():
        alone = sx.explain(model, x, name).relevance
        assert np.abs(found.relevance - alone).max() <= 1e-12 * np.abs(alone).max(), name


@pytest.mark.parametrize("heavy", [0, 10**9])
@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_streams_that_are_pulled_together_are_the_reference(monkeypatch, axes, heavy):
    """For every kind of weight, padding, strides and groups, whether it is large or not."""
    monkeypatch.setattr("signxai_core.engine.structure._HEAVY", heavy)
    draw = np.random.default_rng(axes)
    if axes:
        kernel = (3,) * axes
        statistics = {k: draw.uniform(0.5, 2, 4) for k in ("mean", "var", "gamma", "beta")}
        nodes = [
            net.Conv(name="a", weight=draw.normal(size=(4, 2, *kernel)), bias=draw.normal(size=4), padding=1),
            net.BatchNorm(name="b", inputs="a", **statistics),
            net.Activation(name="c", inputs="b"),
            net.Conv(
                name="d", inputs="c", weight=draw.normal(size=(4, 4, *kernel)), stride=2, mode="reflect", padding=1
            ),
            net.ConvTranspose(name="e", inputs="d", weight=draw.normal(size=(4, 2, *(2,) * axes))),
            net.Flatten(name="f", inputs="e"),
        ]
        shape = (2, *(5, 4, 3)[:axes])
    else:
        nodes = [
            net.Dense(name="d", weight=draw.normal(size=(7, 6)), bias=draw.normal(size=7)),
            net.Activation(name="f", inputs="d"),
        ]
        shape = (6,)
    size = int(np.prod(net.Network(nodes, shape).output_shape))
    last = net.Dense(name="out", inputs="f", weight=draw.normal(size=(3, size)), bias=draw.normal(size=3))
    check(Example(net.Network([*nodes, last], shape), draw.normal(size=(2, *shape)), ALIKE))


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
def test_differences_are_the_reference(network, convention):
    x = np.random.default_rng(1).normal(size=(3, 6))
    names = ("lrp_alpha_2_beta_1", "lrp_alpha_1_4_beta_0_4", "lrp_alpha_1_beta_0", "lrp_gamma_0_25", "lrp_epsilon_0_1")
    check(Example(network, x, names, convention))


@pytest.mark.parametrize("held", [0, 2**23])
@pytest.mark.parametrize("name", ["lrp_alpha_2_beta_1", "w2lrp_alpha_1_beta_0", "lrp_gamma_0_25", "lrp_epsilon_plus"])
@pytest.mark.parametrize("model", ["dense", "convolution"])
def test_weights_in_parts_are_the_whole(monkeypatch, name, model, held):
    """A large weight is mapped a few units at a time; here so few that even these are large."""
    torch.manual_seed(0)
    shape = (4, 6) if model == "dense" else (4, 3, 9)
    layers = {
        "dense": [nn.Linear(6, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 19)],
        "convolution": [nn.Conv1d(3, 20, 3), nn.ReLU(), nn.Conv1d(20, 17, 3), nn.BatchNorm1d(17), nn.Flatten()],
    }
    network = nn.Sequential(*layers[model], nn.LazyLinear(3)).double()
    x = np.random.default_rng(1).normal(size=shape)
    network(torch.tensor(x))  # gives batch-normalisation statistics
    network.eval()
    whole = sx.explain(network, x, name).relevance
    used = []
    write = parts.InParts._write
    monkeypatch.setattr(parts.InParts, "_write", lambda self, *args: used.append(1) or write(self, *args))
    monkeypatch.setattr(parts, "PART", 20)
    monkeypatch.setattr(parts, "WHOLE", held)
    in_parts = sx.explain(network, x, name).relevance
    assert used or model == "dense"
    np.testing.assert_allclose(in_parts, whole, rtol=1e-12, atol=1e-14)


def test_a_large_dense_weight_is_mapped_once(monkeypatch):
    model, x = model_of(30), np.random.default_rng(1).normal(size=(4, 6))
    written = []
    write = parts.InParts._write
    monkeypatch.setattr(parts, "PART", 20)
    monkeypatch.setattr(
        parts.InParts,
        "_write",
        lambda self, start, memory: written.append(memory.numel()) or write(self, start, memory),
    )
    sx.explain(model, x, "lrp_alpha_1_beta_0")
    # Of the last layer the positive part, of the first one, whose input has both signs, both parts.
    assert sum(written) == 3 * 30 + 2 * 30 * 6
    assert len(written) > 3, "some units at a time"


@pytest.mark.parametrize("name", ["lrp_epsilon_0_1", "lrp_gamma_0_25", "lrp_z"])
def test_behind_a_relu_no_sign_is_looked_at(monkeypatch, name):
    """What a ReLU hands back is 0 where z is not positive: max(z, 0) is all that counts."""
    seen = []
    quotient = TorchBackend.quotient

    def looking(self, a, b, epsilon, **how):
        seen.append((tuple(b.shape), how["positive"]))
        return quotient(self, a, b, epsilon, **how)

    monkeypatch.setattr(TorchBackend, "quotient", looking)
    sx.explain(model_of(WIDTH), np.random.default_rng(1).normal(size=(2, 6)), name)
    hidden = [positive for shape, positive in seen if shape == (2, WIDTH)]
    assert len(hidden) == 1, "where z < 0 there is no relevance to share out"
    # Of gamma's sums, the cells alone do not say that they are positive where z is.
    assert hidden[0] == (name != "lrp_gamma_0_25")


def test_z_counts_where_relevance_does_not_vanish_with_the_relu(network):
    """The flat rule behind a ReLU gives relevance to units that are 0, so that their z is needed."""
    flat = sx.rules()["flat"]()
    spec = sx.with_rules("lrp_epsilon_0_1", {"wide": flat})
    x = np.random.default_rng(1).normal(size=(3, 6))
    check(Example(network, x, (spec, sx.parse("lrp_epsilon_0_1"), sx.parse("lrp_gamma_0_25"))))


def test_one_walk_serves_methods_that_need_z_and_methods_that_do_not(network):
    """What was computed from max(z, 0) alone is of no use where relevance is not 0 with it."""
    flat = sx.rules()["flat"]()
    x = np.random.default_rng(1).normal(size=(3, 6))
    wide = net.Dense(name="more", inputs="relu", weight=np.random.default_rng(2).normal(size=(90, WIDTH)))
    relu = net.Activation(name="again", inputs="more")
    out = net.Dense(name="out", inputs="again", weight=np.random.default_rng(3).normal(size=(3, 90)))
    deep = net.Network([*network.nodes[:2], wide, relu, out], input_shape=(6,))
    plain = sx.parse("lrp_alpha_2_beta_1")
    methods = plain, sx.with_rules(plain, {"out": flat})
    check(Example(deep, x, methods))
    check(Example(deep, x, methods[::-1]))


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_weights_replaced_by_a_number_have_its_sign(network, value):
    rule = Rule((Share((Term(KEEP, Constant(value), ZERO),)),), name="constant")
    spec = sx.with_rules("lrp_z", {"wide": rule})
    check(Example(network, np.random.default_rng(1).normal(size=(3, 6)), (spec,)))


def test_an_input_without_negative_numbers_saves_products(counted, network):
    x = np.random.default_rng(1).uniform(size=(2, 6))
    sx.explain(model_of(WIDTH), x, "lrp_alpha_1_beta_0")
    assert (counted["linear", "0"], counted["pull", "0"]) == (1, 1)
    counted.clear()
    sx.explain(model_of(WIDTH), x - 0.5, "lrp_alpha_1_beta_0")
    assert (counted["linear", "0"], counted["pull", "0"]) == (2, 2)
    check(Example(network, x, ("lrp_alpha_2_beta_1", "lrp_gamma_0_25", "w2lrp_alpha_1_beta_0", "lrpsign_z")))


@pytest.mark.parametrize("name", ["lrp_epsilon_0_1", "lrp_sequential_composite_b", "gradient", "lrp_z"])
def test_arrays_are_freed_as_the_walk_goes(monkeypatch, name):
    """After every step, nothing of the operations behind it is alive."""
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 3)).double().eval()
    alive = []
    visit = Walk.visit

    def watched(self, position, streams):
        recording = self.structure.recording
        if not alive:
            watched.refs = [weakref.ref(array) for array in recording.values.values()]
        found = visit(self, position, streams)
        alive.append(sum(ref() is not None for ref in watched.refs))
        return found

    monkeypatch.setattr(Walk, "visit", watched)
    sx.explain(model, np.random.default_rng(1).normal(size=(2, 4, 8)), name)
    assert all(later <= earlier for earlier, later in itertools.pairwise(alive))
    # At the last step: input, output, and what the step itself reads.
    assert alive[-1] <= 5


def test_a_scale_behind_is_pulled_through_where_that_is_cheaper_than_the_weight(counted):
    """Batch-normalisation is folded into the weight only where the weight itself is mapped."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 40, 5), nn.BatchNorm1d(40), nn.Flatten(), nn.Linear(80, 2)).double().eval()
    x = np.random.default_rng(1).normal(size=(1, 3, 6))
    sx.explain(model, x, "lrp_epsilon_0_1")
    assert counted["scale_weight", "0"] == 0
    sx.explain(model, x, "lrp_alpha_1_beta_0")
    assert counted["scale_weight", "0"] == 1


@pytest.mark.parametrize(
    "shares",
    [
        (Share((Term(NEGATIVE, POSITIVE, NEGATIVE),)),),  # behind the ReLU nothing is left of it but b⁻
        (Share((Term(KEEP, POSITIVE, NONE),), weight=2.0), Share((Term(KEEP, NEGATIVE, NEGATIVE),), weight=-1.0)),
        (Share((Term(KEEP, POSITIVE, POSITIVE),), weight=2.0), Share((Term(KEEP, NEGATIVE, NONE),), weight=-1.0)),
        (Share((Term(KEEP, KEEP, KEEP),), weight=2.0), Share((Term(KEEP, POSITIVE, POSITIVE, -1),), weight=-1.0)),
    ],
)
@pytest.mark.parametrize("epsilon", [0.0, 0.25])
@pytest.mark.parametrize("times", [None, ONES])
def test_sums_that_cannot_be_positive_are_the_reference(network, shares, times, epsilon):
    spec = sx.with_rules("lrp_z", {"wide": Rule(shares, stabiliser=Stabiliser(epsilon), times=times, name="one sign")})
    check(Example(network, np.random.default_rng(1).normal(size=(3, 6)), (spec, sx.parse("lrp_alpha_2_beta_1"))))


@pytest.mark.parametrize("inputs", [("a", "a", "b"), ("a", "b", "a"), ("b", "a")])
def test_relevance_of_sums_is_written_to_nothing_that_is_needed(inputs):
    """A quotient is pulled to every input; what arrives at a tensor from several sides is added up."""
    draw = np.random.default_rng(0)
    nodes = [
        net.Dense(name="a", weight=draw.normal(size=(5, 6))),
        net.Dense(name="b", inputs="a", weight=draw.normal(size=(5, 5))),
        net.Add(name="sum", inputs=inputs),
        net.Activation(name="relu", inputs="sum"),
        net.Add(name="again", inputs=("relu", "sum")),
        net.Dense(name="c", inputs="again", weight=draw.normal(size=(5, 5))),
        net.Add(name="skip", inputs=("c", "again")),
        net.Dense(name="out", inputs="skip", weight=draw.normal(size=(3, 5))),
    ]
    alike = Rule((Share((Term(KEEP, KEEP, KEEP),)),), stabiliser=Stabiliser(0.25), times=ONES, name="alike")
    methods = ("lrp_epsilon_0_1", "lrp_alpha_2_beta_1", "lrp_z", "deconvnet", "gradient", "lrp_gamma_0_25")
    # "again" is a function of one tensor, and "sum" two sums in a framework.
    methods += (sx.with_rules("lrp_z", {Where(kinds={"sum"}, path="skip"): alike}),)
    check(Example(net.Network(nodes, (6,)), draw.normal(size=(2, 6)), methods))


def test_what_a_backend_raises_is_not_taken_for_the_end_of_a_rule(monkeypatch):
    def fails(*_):
        raise StopIteration(("not", "relevance"))

    monkeypatch.setattr(TorchBackend, "pull", fails)
    with pytest.raises(StopIteration):
        sx.explain(model_of(8), np.zeros((1, 6)), "lrp_epsilon_0_1")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN to leave them to")
@pytest.mark.parametrize(("dtype", "matrix_products"), [(torch.float32, 0), (torch.float64, 2)])
def test_convolutions_with_a_kernel_of_one_place_are_left_to_onednn(dtype, matrix_products):
    """PyTorch's own choice on one thread is a matrix product: the model's forward pass has it."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(50, 2)).to(dtype)
    x, threads = torch.rand(2, 3, 5, 5, dtype=dtype), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            sx.explain(model, x, "lrp_zplus", 0)
    finally:
        torch.set_num_threads(threads)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts.get("aten::_slow_conv2d_forward") == 2 + matrix_products
    assert counts.get("aten::_slow_conv2d_backward", 0) == matrix_products


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.Conv1d(4, 6, 1, stride=2, padding=1), (4, 9)),
        (lambda: nn.Conv2d(4, 6, 1, groups=2), (4, 5, 3)),
        (lambda: nn.Conv2d(4, 6, 1, padding="same", dilation=3), (4, 5, 3)),
        (lambda: nn.Conv3d(4, 6, 1, stride=(1, 2, 1)), (4, 3, 4, 2)),
        (lambda: nn.ConvTranspose2d(4, 6, 1, stride=2), (4, 3, 2)),
    ],
    ids=["1-D", "grouped", "same", "3-D", "transposed"],
)
@pytest.mark.parametrize("name", ["gradient", "lrp_alpha_2_beta_1", "w2lrp_epsilon_0_1"])
def test_a_kernel_of_one_place_has_no_dilation(build, shape, name):
    torch.manual_seed(0)
    model = nn.Sequential(build(), nn.ReLU(), nn.Flatten())
    x = torch.randn(2, *shape)
    wanted = sx.explain(model.double(), x.double(), name, 0, convention="textbook").relevance
    found = sx.explain(model.float(), x, name, 0, convention="textbook").relevance
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
