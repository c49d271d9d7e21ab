"""The reference on networks of every kind: against PyTorch, and folded against unfolded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signxai_core.specs import (
    KEEP,
    UNWEIGHTED,
    WEIGHTED,
    Composite,
    Entry,
    Exact,
    MethodSpec,
    Pass,
    Rule,
    Share,
    Stabiliser,
    Term,
    Where,
)
from signxai_core.testing import network as net
from signxai_core.testing import strategies
from signxai_core.testing.planning import plan
from signxai_core.testing.reference import explain, forward
from signxai_torch.network import build

GRADIENT = MethodSpec(family="gradient", composite=Composite([Entry(Where(), Exact())]))
Z = Rule((Share((Term(KEEP, KEEP, KEEP),)),))


def composite(rule, *, fold=True):
    entries = [
        Entry(Where(kinds=WEIGHTED), rule),
        Entry(Where(kinds=UNWEIGHTED), Rule(Z.shares, stabiliser=Stabiliser(1e-9, "relative"))),
        Entry(Where(kinds={"activation"}), Pass()),
    ]
    return Composite(entries, fold_normalisation=fold)


def _geometries():
    for axes, size in ((1, (7,)), (2, (5, 4)), (3, (3, 4, 3))):
        kernel = (2,) * axes
        wide = (3,) * axes
        yield (4, *size), net.Conv(name="n", weight=_w(4, 2, *kernel), bias=_w(4), groups=2, stride=2, padding=1)
        yield (2, *size), net.Conv(name="n", weight=_w(3, 2, *kernel), dilation=2, padding=1)
        for mode in ("reflect", "replicate", "circular"):
            yield (2, *size), net.Conv(name="n", weight=_w(3, 2, *wide), bias=_w(3), padding=1, mode=mode)
        yield (
            (4, *size),
            net.ConvTranspose(
                name="n", weight=_w(4, 3, *wide), bias=_w(6), groups=2, stride=2, padding=1, output_padding=1
            ),
        )
        yield (2, *size), net.ConvTranspose(name="n", weight=_w(2, 3, *kernel), dilation=2)
        yield (2, *size), net.MaxPool(name="n", kernel=3, stride=2, padding=1)
        yield (2, *size), net.AvgPool(name="n", kernel=3, stride=2, padding=1, count_include_pad=False)
        yield (2, *size), net.AvgPool(name="n", kernel=2, padding=1)
        yield (2, *size), net.Pad(name="n", amounts=[(i, 2 - i) for i in range(axes)])
    for of in net.ACTIVATIONS:
        yield (5,), net.Activation(name="n", of=of, alpha=0.3)


def _label(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else repr(value).split("array")[0].strip(" ,")


def _w(*shape):
    return np.random.default_rng(list(shape)).normal(size=shape)


def _compare(network, x):
    module = build(network.without_head(), torch.float64)
    tensor = torch.tensor(x, requires_grad=True)
    output = module(tensor)
    result = explain(network, x, GRADIENT)
    # 1e-12: both sum a few hundred products in float64, in another order.
    np.testing.assert_allclose(result.output, output.detach().numpy(), rtol=1e-12, atol=1e-12)
    output[range(len(x)), result.target].sum().backward()
    np.testing.assert_allclose(result.relevance, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("shape", "node"), list(_geometries()), ids=_label)
def test_every_geometry_equals_torch(shape, node):
    width = int(np.prod(net.Network([node], shape).output_shape))
    head = [net.Flatten(name="flat", inputs="n"), net.Dense(name="out", inputs="flat", weight=_w(3, width))]
    _compare(net.Network([node, *head], shape), _w(2, *shape))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_networks_equal_torch(data):
    network = data.draw(strategies.networks())
    _compare(network, data.draw(strategies.inputs(network)))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_rules_on_random_networks_are_finite(data):
    network = data.draw(strategies.networks())
    x = data.draw(strategies.inputs(network))
    rule = data.draw(strategies.rules())
    fold = data.draw(st.booleans())
    spec = MethodSpec(family="lrp", composite=composite(rule, fold=fold), input_layer=rule, seed="logit")
    assert np.isfinite(explain(network, x, spec).relevance).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_folded_operations_compute_the_same(data):
    network = data.draw(strategies.networks()).without_head()
    x = data.draw(strategies.inputs(network, samples=1))
    for operation in plan(network, composite(Z)).operations:
        if operation.linear is not None:
            below = [_tensor_of(network, name, x) for name in operation.inputs]
            z = operation.linear.matrix() @ np.concatenate(below) + operation.linear.constant()
            np.testing.assert_allclose(z, _tensor_of(network, operation.output, x), rtol=1e-11, atol=1e-11)


def _tensor_of(network, name, x):
    if name == net.INPUT:
        return x.ravel()
    used, wanted = [], {name}
    for node in reversed(network.nodes):
        if node.name in wanted:
            used.insert(0, node)
            wanted.update(node.inputs)
    module = build(net.Network(used, network.input_shape), torch.float64)
    return module(torch.tensor(x)).detach().numpy().ravel()


def test_normalisation_is_folded_into_the_operation_before_it_first():
    own = {"mean": np.zeros(2), "var": np.ones(2), "gamma": np.ones(2), "beta": np.ones(2)}
    nodes = [
        net.Scaling(name="front"),
        net.Conv(name="a", inputs="front", weight=_w(2, 1, 1)),
        net.BatchNorm(name="norm", inputs="a", **own),
        net.Pad(name="pad", inputs="norm", amounts=[(1, 1)]),
        net.Conv(name="b", inputs="pad", weight=_w(2, 2, 1)),
        net.Activation(name="relu", inputs="b"),
        net.BatchNorm(name="alone", inputs="relu", **own),
        net.Flatten(name="flat", inputs="alone"),
    ]
    network = net.Network(nodes, (1, 3))
    folded = [(o.inputs, o.output) for o in plan(network, composite(Z)).operations]
    assert folded == [
        (("input",), "norm"),
        (("norm",), "b"),
        (("b",), "relu"),
        (("relu",), "alone"),
        (("alone",), "flat"),
    ]
    # Zero padding belongs to the convolution behind it in every convention.
    assert len(plan(network, composite(Z, fold=False)).operations) == len(nodes) - 1
    assert len(plan(network, GRADIENT.composite).operations) == len(nodes)


def test_reused_layers_are_one_module():
    own = {"weight": _w(2, 2), "layer": "shared"}
    nodes = [net.Dense(name="a", **own), net.Dense(name="b", inputs="a", **own)]
    module = build(net.Network(nodes, (2,)), torch.float32)
    assert [name for name, _ in module.named_modules()] == ["", "shared"]
    assert not module.training
    expected = own["weight"] @ own["weight"] @ [1, 2]
    np.testing.assert_allclose(forward(net.Network(nodes, (2,)), [[1, 2]]), [expected])
