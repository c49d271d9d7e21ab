"""One network, some methods, an input: the maps of all frameworks and of the reference, and how they compare."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import attrs
import numpy as np
import pytest
import torch
from first_difference import first_difference
from hypothesis import assume
from hypothesis import strategies as st
from rounding import movement

import signxai_core as sx
from signxai_core import grammar
from signxai_core.registry import registry
from signxai_core.specs import Rule
from signxai_core.specs.conventions import CONVENTIONS
from signxai_core.testing import explain, modern, names, strategies
from signxai_core.testing.conformance import Subject, load_subject

#: Largest difference of two maps, relative to the largest relevance. Where rounding moves the
#: reference farther than that, the difference may be as large as the movement, and where it moves it
#: by a tenth of itself, any: see ``rounding``.
TOLERANCES = {"float64": 1e-8, "float32": 1e-4}


@attrs.frozen(eq=False)
class Example:
    """What is explained: all that is needed to do it again."""

    network: strategies.net.Network
    x: np.ndarray = attrs.field(repr=lambda x: f"array(shape={x.shape}, min={x.min():.4g}, max={x.max():.4g})")
    methods: tuple
    convention: str = "textbook"
    target: object = None
    seed: str | None = None
    parameters: dict = attrs.field(factory=dict)

    def spec(self, method):
        """Return a method with the parameters that its name leaves open."""
        if not isinstance(method, str):
            return method
        spec = grammar.parse(method, registry(), CONVENTIONS[self.convention])
        return grammar.configure(spec, self.taken(method), registry(), method)

    def taken(self, method):
        """Return those of the parameters that a method takes."""
        spec = grammar.parse(method, registry(), CONVENTIONS[self.convention])
        known = grammar.parameters(spec, registry())
        return {key: value for key, value in self.parameters.items() if key in known and not known[key].stated}

    def options(self):
        """Return what ``explain_many`` takes besides model, input, methods and target."""
        named = [self.taken(method) for method in self.methods if isinstance(method, str)]
        return {"convention": self.convention, "seed": self.seed} | {k: v for taken in named for k, v in taken.items()}


class Side(NamedTuple):
    """A backend that computes in one type."""

    subject: Subject
    dtype: str

    def __str__(self):
        return f"{self.subject.name} {self.dtype}"

    @property
    def tolerance(self):
        """Of the type."""
        return TOLERANCES[self.dtype]

    def model(self, network):
        """Return the network's model, or ``None`` where the framework has no such operation."""
        dtype = getattr(torch, self.dtype) if self.subject.build.__module__ == "signxai_torch.network" else self.dtype
        try:
            return self.subject.build(network, dtype)
        except NotImplementedError:
            return None

    def explain(self, example, model, target):
        """Return the explanations by method, in order."""
        x = self.subject.given(example.x.astype(self.dtype))
        options = {key: self.given(value, example) for key, value in example.options().items()}
        found = sx.explain_many(model, x, example.methods, target, backend=self.subject.name, **options)
        return dict(zip(example.methods, found.values(), strict=True))

    def given(self, value, example):
        """Return an option in the layout of the models."""
        of_input = isinstance(value, np.ndarray) and value.shape == example.network.input_shape
        return self.subject.given(value[None])[0] if of_input else value


def sides(*backends):
    """Return these backends in both types."""
    return tuple(Side(load_subject(name), dtype) for name in backends for dtype in TOLERANCES)


BACKENDS = ("torch", "tensorflow")


@attrs.define
class Tally:
    """What was compared: distinct pairs of network and method, of which all frameworks took part in all."""

    pairs: set = attrs.field(factory=set)
    networks: set = attrs.field(factory=set)
    methods: set = attrs.field(factory=set)
    partial: int = 0
    compared: Counter = attrs.field(factory=Counter)
    rounding: Counter = attrs.field(factory=Counter)
    worst: dict = attrs.field(factory=lambda: dict.fromkeys(TOLERANCES, 0.0))

    def add(self, example, *, complete):
        """Count an example that was compared without a disagreement."""
        if not complete:
            self.partial += len(example.methods)
            return
        described = repr((example.network, example.convention, example.target, example.seed, example.parameters))
        self.networks.add(repr(example.network))
        self.methods.update(example.methods)
        self.pairs.update((described, method) for method in example.methods)

    def __str__(self):
        types = (
            f"{dtype}: worst {self.worst[dtype]:.1e}, {self.rounding[dtype]} of {self.compared[dtype]} within rounding"
            for dtype in TOLERANCES
        )
        return (
            f"{len(self.pairs)} pairs, {len(self.networks)} networks, {len(self.methods)} methods in all frameworks; "
            f"{self.partial} pairs without TensorFlow; {'; '.join(types)}"
        )


def check(example, backends=BACKENDS, tally=None):
    """Fail with network, method and place where any two of the frameworks and the reference disagree."""
    tally = tally or Tally()
    network, x, seed = example.network, example.x, example.seed
    expected = {method: explain(network, x, example.spec(method), example.target, seed) for method in example.methods}
    target = next(iter(expected.values())).target
    models = {side: side.model(network) for side in sides(*backends)}
    found = {}
    for side, model in models.items():
        if model is not None:
            # At a tie, rounding to float32 may choose another class.
            found[side] = side.explain(example, model, example.target if side.dtype == "float64" else target)
    for side, results in found.items():
        _same_output(example, side, results, expected, tally)
    for method, right in expected.items():
        for dtype in TOLERANCES:
            maps = {
                side: side.subject.neutral(results[method].relevance)
                for side, results in found.items()
                if side.dtype == dtype
            }
            if maps:
                _same_maps(example, method, right, maps, models, tally)
    tally.add(example, complete=len(found) == len(models))


def _same_output(example, side, results, expected, tally):
    for method, right in expected.items():
        found = results[method]
        np.testing.assert_array_equal(found.target, right.target, err_msg=f"class of {side}")
        assert found.output.shape == right.output.shape, f"output of {side}"
        largest, apart = np.abs(right.output).max(), np.abs(found.output - right.output).max()
        if not apart <= TOLERANCES[side.dtype] * largest:
            moved = _moved(example, method, right, side.dtype, of="output")
            where = f"output of {side}: {apart:.2e} of {largest:.2e}, rounding moves it by {moved:.2e}\n{example!r}"
            assert _is_rounding(apart, moved, largest), where
            tally.rounding[side.dtype] += 1


def _moved(example, method, right, dtype, **of):
    return movement(example.network, example.x, example.spec(method), right.target, example.seed, dtype, **of)


def _is_rounding(apart, moved, largest):
    # What rounding moves by a tenth of itself has no digits to compare: 1 / z with a z that is rounding.
    return apart <= moved or (moved > largest / 10 and np.isfinite(apart))


def _same_maps(example, method, right, maps, models, tally):
    """Compare the maps of all backends in one type with each other and with the reference."""
    dtype = next(iter(maps)).dtype
    largest = np.abs(right.relevance).max()
    apart = np.ptp(np.stack([right.relevance, *maps.values()]), axis=0).max()
    tally.compared[dtype] += 1
    if apart <= TOLERANCES[dtype] * largest:
        tally.worst[dtype] = max(tally.worst[dtype], apart / largest if largest else 0.0)
        return
    moved = _moved(example, method, right, dtype)
    if _is_rounding(apart, moved, largest):
        tally.rounding[dtype] += 1
        return
    distance = {side: np.abs(map_ - right.relevance).max() for side, map_ in maps.items()}
    side = max(maps, key=lambda one: np.nan_to_num(distance[one], nan=np.inf))
    distances = ", ".join(f"{one} is {distance[one]:.2e} from the reference" for one in maps)
    where = first_difference(example, side, models[side], example.spec(method), right.target)
    pytest.fail(
        f"{method} ({example.convention}): {distances}; the largest relevance is {largest:.2e}, rounding moves it by "
        f"{moved:.2e}\n{example!r}\n{where}"
    )


def is_open(network, spec):
    """Return whether the definitions leave open what is right; see test_differences."""
    rules = [rule for rule in (spec.input_layer, *(e.rule for e in spec.composite.entries)) if isinstance(rule, Rule)]
    padded = any(getattr(node, "mode", "zeros") != "zeros" for node in network.nodes)
    return padded and any(rule.stabiliser.scale == "std" for rule in rules)


def targets(network, samples):
    """Draw what may be given as target."""
    index = st.integers(0, network.output_shape[0] - 1)
    return st.one_of(st.none(), index, st.lists(index, min_size=samples, max_size=samples))


SEEDS = (None, None, "one", "logit")


@st.composite
def shifts(draw, shape, *, channels):
    """Draw what is added to a number: nothing, or an array of the input's shape or of one number per channel."""
    shapes = [(), (), (), shape, shape[:1]] if channels else [(), (), (), shape]
    chosen = draw(st.sampled_from(shapes))
    steps = np.random.default_rng(draw(st.integers(0, 2**16))).integers(-2, 3, chosen) if chosen else 0
    return steps / 4


@st.composite
def examples(draw):
    """Draw a network, an input and a few methods of the grammar, with the parameters that they leave open."""
    # TensorFlow has few operations with three axes.
    network = draw(strategies.networks(axes=draw(st.sampled_from((0, 1, 2, 1, 2, 1, 2, 3)))))
    return draw(_explained(network, draw(strategies.inputs(network)), most=20))


@st.composite
def modern_examples(draw):
    """Draw a network with gates, normalisations, attention or recurrence, and the rest as in ``examples``."""
    network = draw(modern.networks())
    # Where a normalised number is 0, some of its algebraic forms hand on relevance, and some do not.
    return draw(_explained(network, draw(strategies.inputs(network, samples=2, generic=True)), most=6))


@st.composite
def _explained(draw, network, x, most):
    axes = len(network.input_shape) - 1
    methods = [names.lrp_names(), names.lrp_names(), names.gradient_names()]
    if any(isinstance(node, strategies.net.Conv) for node in network.nodes):
        methods.append(names.cam_names(series=axes == 1))
    convention = draw(st.sampled_from(tuple(CONVENTIONS)))
    parameters = draw(st.fixed_dictionaries(names.PARAMETERS))
    for key in ("mu", "low", "high", "baseline"):
        parameters[key] += draw(shifts(network.input_shape, channels=key in ("low", "high")))
    example = Example(
        network,
        x,
        tuple(draw(st.lists(st.one_of(methods), min_size=1, max_size=most, unique=True))),
        convention,
        draw(targets(network, len(x))),
        draw(st.sampled_from(SEEDS)),
        parameters,
    )
    kept = tuple(method for method in example.methods if not is_open(network, example.spec(method)))
    assume(kept)
    return attrs.evolve(example, methods=kept)
