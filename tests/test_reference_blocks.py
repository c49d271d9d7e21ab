"""Gates, normalisations, attention and recurrence in the reference and both builders: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import signxai_core as sx
from signxai_core import grammar
from signxai_core.registry import registry
from signxai_core.specs import Composite, Entry, Exact, MethodSpec, Where
from signxai_core.specs.conventions import CONVENTIONS
from signxai_core.testing import network as net
from signxai_core.testing.composed import jacobians
from signxai_core.testing.lowering import lower
from signxai_core.testing.reference import explain, forward
from signxai_torch.network import build

TEXTBOOK = CONVENTIONS["textbook"]
GRADIENT = MethodSpec(family="gradient", composite=Composite([Entry(Where(), Exact())]))
SHAPES = {"vector": (4,), "series": (4, 3), "image": (4, 3, 2)}


def weights(*shape, seed=0):
    return np.random.default_rng([*shape, seed]).normal(size=shape) / shape[-1] ** 0.5


def norms():
    affine = {"weight": weights(4) + 1, "bias": weights(4, seed=1)}
    yield "layer_norm", net.Norm(name="last", **affine)
    yield "layer_norm_unbiased", net.Norm(name="last", weight=affine["weight"])
    yield "rms_norm", net.Norm(name="last", weight=affine["weight"], centred=False)
    yield "group_norm", net.Norm(name="last", groups=2, **affine)
    yield "instance_norm", net.Norm(name="last", groups=4, **affine)


def gated(*, broadcast):
    dense = net.Dense(name="a", weight=weights(4, 4), bias=weights(4), inputs="pooled" if broadcast else "input")
    pooled = [net.GlobalAvgPool(name="pooled")] if broadcast else []
    return [*pooled, dense, net.Activation(name="gate", inputs="a", of="softplus")]


def blocks():
    for name, shape in SHAPES.items():
        for kind, norm in norms():
            if norm.groups is None or len(shape) > 1:
                yield f"{kind}_{name}", shape, [norm]
        yield f"dense_{name}", shape, [net.Dense(name="last", weight=weights(5, 4), bias=weights(5))]
        yield f"softmax_{name}", shape, [net.Softmax(name="last")]
        for broadcast in {False, len(shape) > 1}:
            label = f"{'broadcast_' if broadcast else ''}{name}"
            other = net.Dense(name="other", weight=weights(4, 4, seed=3))
            product = net.Multiply(name="last", inputs=("other", "gate", "input"))
            yield f"multiply_{label}", shape, [*gated(broadcast=broadcast), other, product]
            quotient = net.Divide(name="last", inputs=("input", "gate"))
            yield f"divide_{label}", shape, [*gated(broadcast=broadcast), quotient]
    yield "matrix_products", SHAPES["series"], matrix_products()
    yield "take_and_stack", SHAPES["series"], taken()
    projections = {name: weights(4, 4, seed=i) for i, name in enumerate(("query", "key", "value", "out"))}
    for heads in (1, 4):  # whose scale is a number of float32, to which Keras rounds it
        attention = net.Attention(name="last", biases=weights(4, 4, seed=9), heads=heads, **projections)
        yield f"attention_{heads}", SHAPES["series"], [attention]
    for cell, parts in (("lstm", 4), ("gru", 3), ("rnn", 1)):
        for reverse in (False, True):
            arrays = {"weight": weights(3 * parts, 4), "recurrent": weights(3 * parts, 3)}
            biases = weights(2, 3 * parts)
            layer = net.Recurrent(name="last", cell=cell, biases=biases, reverse=reverse, **arrays)
            yield f"{cell}{'_reverse' if reverse else ''}", SHAPES["series"], [layer]


def matrix_products():
    return [
        net.MatrixProduct(name="scores", inputs=("input", "input"), transposed=True),
        net.Softmax(name="shares", inputs="scores"),
        net.MatrixProduct(name="last", inputs=("input", "shares")),
    ]


def taken():
    return [
        net.Take(name="place", axis=1, start=1, stop=2),
        net.Flatten(name="flat_place", inputs="place"),
        net.Take(name="channels", start=1, stop=3, inputs="flat_place"),
        net.Stack(name="last", inputs=("channels", "channels")),
    ]


BLOCKS = {name: (shape, nodes) for name, shape, nodes in blocks()}


def network_of(name):
    """Return a classifier with the block and a batch for it."""
    shape, nodes = BLOCKS[name]
    size = int(np.prod(net.Network(nodes, shape).output_shape))
    head = [net.Flatten(name="flat", inputs="last"), net.Dense(name="out", inputs="flat", weight=weights(3, size))]
    return net.Network([*nodes, *head], shape), np.random.default_rng(5).normal(size=(2, *shape))


@pytest.mark.parametrize("name", BLOCKS)
def test_values_and_gradients_are_those_of_pytorch(name):
    network, x = network_of(name)
    given = torch.tensor(x, requires_grad=True)
    output = build(network)(given)
    found = explain(network, x, GRADIENT)
    np.testing.assert_allclose(found.output, output.detach().numpy(), rtol=1e-11, atol=1e-12)
    (gradient,) = torch.autograd.grad(output[range(2), found.target].sum(), given)
    np.testing.assert_allclose(found.relevance, gradient.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", BLOCKS)
def test_values_are_those_of_keras(name):
    builder = pytest.importorskip("signxai_tf.network")
    network, x = network_of(name)
    output = builder.build(network)(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(forward(network, x), np.asarray(output), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", BLOCKS)
def test_plain_nodes_keep_the_names_and_shapes(name):
    network, _ = network_of(name)
    plain = lower(network)
    assert {key: plain.shapes[key] for key in network.shapes} == dict(network.shapes)
    assert not any(isinstance(node, (net.Attention, net.Recurrent)) for node in plain.nodes)


def test_a_frozen_statistic_is_a_constant():
    # x = (3, −1): mean 1, variance 4; the deviation is the root of 4 + 5
    norm = net.Norm(name="n", weight=[3, 6], eps=5)
    (frozen,) = jacobians(norm, [np.array([3.0, -1.0])], frozen=True)
    np.testing.assert_allclose(frozen, [[1 / 2, -1 / 2], [-1, 1]])
    (exact,) = jacobians(norm, [np.array([3.0, -1.0])])
    np.testing.assert_allclose(exact, np.array([[1 / 2, -1 / 2], [-1, 1]]) * 5 / 9)


WRONG = {
    "expected inputs of one shape": (net.Multiply(name="n", inputs=("input", "a")), (4, 3)),
    "one number per channel in the second": (net.Divide(name="n", inputs=("input", "a")), (4, 3)),
    "3 columns of the first input do not fit": (net.MatrixProduct(name="n", inputs=("input", "input")), (4, 3)),
    "expected two series": (net.MatrixProduct(name="n", inputs=("a", "a")), (4,)),
    "no axis 2": (net.Take(name="n", axis=2, start=0, stop=1), (4, 3)),
    "no places 1 to 5 on an axis of 4": (net.Take(name="n", start=1, stop=5), (4, 3)),
    "expected vectors of one size": (net.Stack(name="n", inputs=("input", "a")), (4, 3)),
    "3 groups do not fit": (net.Norm(name="n", weight=np.ones(4), groups=3), (4, 3)),
    "eps must be positive": (net.Norm(name="n", weight=np.ones(4), eps=0), (4, 3)),
    "bias must have shape (4,)": (net.Norm(name="n", weight=np.ones(4), bias=np.ones(3)), (4, 3)),
    "4 channels cannot be divided into 3 heads": (
        net.Attention(
            name="n", heads=3, biases=np.ones((4, 4)), **dict.fromkeys(("query", "key", "value", "out"), np.eye(4))
        ),
        (4, 3),
    ),
    "recurrent must have shape (8, 2)": (
        net.Recurrent(name="n", cell="lstm", weight=np.ones((8, 4)), recurrent=np.ones((7, 2)), biases=np.ones((2, 8))),
        (4, 3),
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_named(message):
    node, shape = WRONG[message]
    first = net.Dense(name="a", weight=np.ones((2, 4)))
    with pytest.raises(ValueError, match="node 'n'") as caught:
        net.Network([first, node] if "a" in node.inputs else [node], shape)
    assert message in str(caught.value)


CHAINS = (
    "z",
    "epsilon_0_1",
    "alpha_2_beta_1",
    "gamma_0_25",
    "epsilon_0_25_std_x",
    "sequential_composite_a",
    "attn",
    "cp",
)
LRP = [*(f"lrp_{chain}" for chain in CHAINS), "lrpsign_epsilon_0_1", "w2lrp_z", "flatlrp_epsilon_0_1", "zblrp_z"]


def spec_of(name):
    return grammar.configure(grammar.parse(name, registry(), TEXTBOOK), bounds(name), registry(), name)


def bounds(name):
    return {"low": -4.0, "high": 4.0} if name.startswith("zb") else {}


def has_first(network):
    """Return whether a layer is reached without a product or a pooling of activations."""
    names = {"input"}
    for node in network.nodes:
        if names.intersection(node.inputs):
            if isinstance(node, (net.Dense, net.Attention, net.Recurrent)):
                return True
            if isinstance(node, (net.Norm, net.Flatten, net.Take, net.Stack)):
                names.add(node.name)
    return False


@pytest.mark.parametrize("name", BLOCKS)
def test_relevance_is_that_of_the_library(name):
    network, x = network_of(name)
    model = build(network)
    for method in LRP:
        if method[:4] != "lrp_" and not has_first(network):
            continue
        right = explain(network, x, spec_of(method)).relevance
        ours = sx.explain(model, x, method, **bounds(method)).relevance
        assert np.abs(ours - right).max() <= 1e-9 * np.abs(right).max(), method


def test_shares_by_hand():
    # y = a · b · σ(c) with a = 2 x₁, b = 3 x₂, c = x₃ at x = (1, 1, 0): y = 3
    nodes = [
        net.Dense(name="a", weight=[[2, 0, 0]]),
        net.Dense(name="b", weight=[[0, 3, 0]]),
        net.Dense(name="c", weight=[[0, 0, 1]]),
        net.Activation(name="gate", inputs="c", of="sigmoid"),
        net.Multiply(name="inner", inputs=("b", "gate")),
        net.Multiply(name="y", inputs=("a", "inner")),
    ]
    network = net.Network(nodes, (3,))
    found = {name: explain(network, [[1, 1, 0.0]], spec_of(name)).relevance[0].tolist() for name in ("lrp_z", "lrp_cp")}
    assert found["lrp_z"] == [1.5, 1.5, 0.0]
    np.testing.assert_allclose(found["lrp_cp"], found["lrp_z"], rtol=1e-5)
    np.testing.assert_allclose(explain(network, [[1, 1, 0.0]], spec_of("lrp_attn")).relevance, [[1, 1, 0]], rtol=1e-5)
