"""Where engine and reference are known to differ: an agreement fails here, and the entry goes.

Either the definitions leave open what is right, or one side is wrong; each entry is the smallest example.
"""

from __future__ import annotations

import numpy as np
import pytest
from equivalence import BACKENDS, Example, check

import signxai_core as sx
from signxai_core.specs import UNWEIGHTED, WEIGHTED, Composite, Entry, Exact, MethodSpec, Pass, Where
from signxai_core.testing import network as net

_RULES = sx.rules()
_RANDOM = np.random.default_rng(5)


def lrp(*entries, fold=True, first=None):
    rest = (
        Entry(Where(kinds=WEIGHTED), _RULES["epsilon"](epsilon=0.25)),
        Entry(Where(kinds=UNWEIGHTED), _RULES["norm"]()),
        Entry(Where(kinds={"activation", "dropout"}), Pass()),
        Entry(Where(kinds={"max_pooling", "shape"}), Exact()),
    )
    return MethodSpec(
        family="lrp", composite=Composite((*entries, *rest), fold_normalisation=fold), seed="logit", input_layer=first
    )


def dense(name, inputs, out, features):
    return net.Dense(name=name, inputs=inputs, weight=_RANDOM.normal(size=(out, features)))


def image(*front, padding=0, mode="zeros"):
    """Return a network of a convolution on a (1, 4, 4) input, with something in front."""
    inputs = front[-1].name if front else net.INPUT
    weight = _RANDOM.normal(size=(2, 1, 2, 2))
    conv = net.Conv(name="conv", inputs=inputs, weight=weight, padding=padding, mode=mode)
    width = 2 * (3 + 2 * padding) ** 2
    return net.Network(
        [*front, conv, net.Flatten(name="flat", inputs="conv"), dense("out", "flat", 3, width)], (1, 4, 4)
    )


def chain(*nodes, size=3):
    return net.Network(nodes, (size,))


_NORM = net.BatchNorm(name="norm", inputs="a", mean=[0.1, 0, 1], var=[1, 2, 3], gamma=[1, 2, -1], beta=[0, 1, 0.5])

_SHIFT = net.Scaling(name="shift", inputs="drop", shift=0.5)

OPEN = {
    "padding-of-convolution-and-std": (image(padding=1, mode="reflect"), sx.parse("lrp_epsilon_0_5_std_x"), None),
    "normalisation-between-exact-and-rule": (
        chain(dense("a", "input", 3, 3), _NORM, dense("out", "norm", 3, 3)),
        lrp(Entry(Where(path="a"), Exact())),
        None,
    ),
}
# PyTorch records dropout at inference, TensorFlow does not; it must not end the chain that is folded.
_DROPOUT = chain(dense("a", "input", 3, 3), net.Dropout(name="drop", inputs="a"), _SHIFT, dense("out", "shift", 3, 3))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPEN)
@pytest.mark.xfail(strict=True, reason="known difference of engine and reference", raises=pytest.fail.Exception)
def test_known_differences(name, backend):
    network, spec, seed = OPEN[name]
    x = np.random.default_rng(1).normal(size=(2, *network.input_shape))
    check(Example(network, x, (spec,), seed=seed), (backend,))


def test_dropout_between_operations_that_are_folded():
    x = np.random.default_rng(1).normal(size=(2, 3))
    check(Example(_DROPOUT, x, (lrp(),)))
