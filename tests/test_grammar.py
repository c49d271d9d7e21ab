"""Names: every one the grammar allows parses and prints, every other one is refused with the place."""

from __future__ import annotations

import attrs
import pytest
from golden import PUBLISHED
from hypothesis import given
from hypothesis import strategies as st

import signxai_core as sx
from signxai_core.errors import NameSyntaxError, ParameterError, PlanError, UnknownNameError
from signxai_core.grammar import number_to_text
from signxai_core.grammar.numbers import match_number
from signxai_core.specs import MISSING, ArrayValue, Sign

ALIASES = {
    "input_t_gradient": "gradient_x_input",
    "zblrp_epsilon_10_VGG106ILSVRC": "zblrp_epsilon_10_VGG16ILSVRC",
    "zblrp_epsilon_20_VGG206ILSVRC": "zblrp_epsilon_20_VGG16ILSVRC",
    "zblrp_epsilon_0_25_std_x_VGG256ILSVRC": "zblrp_epsilon_0_25_std_x_VGG16ILSVRC",
    "zblrp_epsilon_0_5_std_x_VGG56ILSVRC": "zblrp_epsilon_0_5_std_x_VGG16ILSVRC",
}


@pytest.mark.parametrize("convention", ["textbook", "signxai"])
@pytest.mark.parametrize("name", [*PUBLISHED, *sx.methods()])
def test_published_names_round_trip(name, convention):
    spec = sx.parse(name, convention=convention)
    assert sx.name(spec) == ALIASES.get(name, name)
    assert sx.parse(sx.name(spec), convention=convention) == spec


def test_the_table_holds_the_published_152():
    listed = sx.methods()
    assert len(listed) == len(set(listed)) == 152
    assert {ALIASES.get(name, name) for name in PUBLISHED} <= {*listed}
    assert {"smoothgrad_x_input", "random_uniform", "grad_cam_MNISTCNN", "guided_grad_cam_VGG16MITPL365"} <= {*listed}


numbers = st.decimals(0, 1000, places=4, allow_nan=False).map(float)
signed = st.decimals(-1000, 1000, places=4, allow_nan=False).map(float)
chains = st.one_of(
    st.sampled_from(["z", "zplus", "flat", "w2", "sequential_composite_a", "epsilon_plus", "excitation_backprop"]),
    numbers.map(lambda v: f"epsilon_{number_to_text(v)}"),
    numbers.map(lambda v: f"epsilon_{number_to_text(v)}_std_x"),
    numbers.map(lambda v: f"gamma_{number_to_text(v)}"),
    st.integers(0, 50).map(lambda beta: f"alpha_{beta + 1}_beta_{beta}"),
)
presets = st.sampled_from(["", "_VGG16ILSVRC", "_VGG16MITPL365", "_MNISTCNN"])
mu = st.one_of(st.just(""), signed.map(lambda v: f"_mu_{number_to_text(v)}"))
lrp = st.one_of(
    st.builds("{}_{}{}".format, st.sampled_from(["lrp", "lrpz", "zblrp", "w2lrp", "flatlrp"]), chains, presets),
    st.builds("lrpsign_{}{}{}".format, chains, mu, presets),
)
bases = ["gradient", "integrated_gradients", "smoothgrad", "vargrad", "guided_backprop", "deconvnet"]
modifiers = st.one_of(
    st.sampled_from(["", "_x_input", "_x_sign", "_x_sign_mu"]),
    signed.map(lambda v: f"_x_sign_mu_{number_to_text(v)}"),
)
gradients = st.builds("{}{}".format, st.sampled_from(bases), modifiers)
cams = st.builds(
    "{}{}{}".format, st.sampled_from(["", "guided_"]), st.sampled_from(["grad_cam", "grad_cam_timeseries"]), presets
)
names = st.one_of(lrp, gradients, cams)


@given(names, st.sampled_from(["textbook", "signxai"]))
def test_every_name_of_the_grammar_round_trips(name, convention):
    spec = sx.parse(name, convention=convention)
    assert sx.name(spec) == name
    assert hash(spec) == hash(sx.parse(name, convention=convention))


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_numbers_round_trip(value):
    tokens = number_to_text(value).split("_")
    assert (len(tokens), value) in list(match_number(tokens, 0))


@given(st.text("abcdefgrlpz_0123", max_size=30))
def test_other_texts_are_refused_with_the_place(text):
    try:
        spec = sx.parse(text)
    except NameSyntaxError as error:
        assert error.name == text
        assert 0 <= error.position <= len(text)
    else:
        assert sx.parse(sx.name(spec)) == spec


@pytest.mark.parametrize(
    ("name", "position", "expected", "nearest"),
    [
        ("lrp_epsilonn_0_1", 4, "'epsilon_<number>'", "lrp_epsilon_0_1"),
        ("lrp_epsilon", 11, "a number for {epsilon}", "lrp_epsilon_1"),
        ("lrp_epsilon_0_1_stdx", 16, "'std_x'", "lrp_epsilon_0_1_std_x"),
        ("gradient_x_signs", 11, "'sign'", "gradient_x_sign"),
        ("smoothgrad_x_sign_mu_neg", 21, "a number", "smoothgrad_x_sign_mu_0"),
        ("grad_cam_VGG17", 9, "preset VGG16ILSVRC", None),
        ("gradcam", 0, "'grad_cam'", "grad_cam"),
        ("lrp_z_extra", 6, "the end of the name", None),
    ],
)
def test_errors_show_place_expectation_and_nearest(name, position, expected, nearest):
    with pytest.raises(NameSyntaxError) as caught:
        sx.parse(name)
    assert caught.value.position == position
    assert expected in caught.value.expected
    assert nearest is None or nearest in caught.value.nearest
    lines = str(caught.value).splitlines()
    assert lines[2].index("^") - 4 == position
    assert f"unknown method name {name!r}" in lines[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lrp_alpha_2_beta_0", "beta must be alpha - 1 = 1, got beta = 0"),
        ("lrp_epsilon_0_1_mu_0", "'mu' needs a sign to apply to; the input-layer rule of 'lrp' has none"),
        ("lrp_epsilon_neg_1", "epsilon must be a finite number >= 0, got -1.0"),
        ("lrp_gamma_neg_1", "gamma must be >= 0, got -1.0"),
    ],
)
def test_numbers_that_make_no_method(name, reason):
    with pytest.raises(NameSyntaxError, match="unknown method name") as caught:
        sx.parse(name)
    assert reason in str(caught.value)


def test_a_name_is_a_string():
    with pytest.raises(NameSyntaxError, match="a name is a string, got int"):
        sx.parse(3)


def test_unknown_convention():
    with pytest.raises(UnknownNameError, match=r"unknown convention 'signxa'; did you mean signxai\? Known: textbook"):
        sx.parse("lrp_z", convention="signxa")


def test_a_changed_method_has_no_name():
    spec = attrs.evolve(sx.parse("lrp_z"), seed="one")
    with pytest.raises(PlanError, match="this method has no name in the grammar"):
        sx.name(spec)


def test_unsaid_numbers_are_parameters():
    assert sx.parse("gradient_x_sign_mu").modifier == Sign(MISSING)
    assert sx.parse("gradient_x_sign").modifier == Sign()
    assert sx.parse("gradient_x_sign_mu_0").modifier == Sign(0)


def test_configure(branching):
    model, x = branching
    with pytest.raises(ParameterError, match=r"method 'lrp_z' has no parameter 'mu'; parameters it has: none"):
        sx.explain(model, x, "lrp_z", mu=1)
    with pytest.raises(
        ParameterError, match=r"has no parameter 'stepps'; parameters it has: steps = 50, baseline = 0.0"
    ):
        sx.explain(model, x, "integrated_gradients", stepps=1)
    with pytest.raises(ParameterError, match=r"needs the parameter mu: its name does not say the value. Give mu=..."):
        sx.explain(model, x, "gradient_x_sign_mu")
    with pytest.raises(ParameterError, match=r"needs the parameters low, high"):
        sx.explain(model, x, "zblrp_z")
    with pytest.raises(ParameterError, match=r"cannot take samples = 0: samples must be a whole number >= 1, got 0"):
        sx.explain(model, x, "smoothgrad", samples=0)
    with pytest.raises(ParameterError, match=r"cannot take epsilon = 'a': expected a number, got 'a'"):
        sx.explain(model, x, "lrp_epsilon_1", epsilon="a")
    with pytest.raises(ParameterError, match=r"cannot take alpha = 3: beta must be alpha - 1 = 2, got beta = 0"):
        sx.explain(model, x, "lrp_alpha_1_beta_0", alpha=3)


def test_parameters_replace_what_a_name_says(branching):
    model, x = branching
    given_numbers = sx.explain(model, x, "lrp_alpha_1_beta_0", alpha=3, beta=2)
    assert given_numbers.method == "lrp_alpha_3_beta_2"
    assert sx.explain(model, x, "lrp_epsilon_1", epsilon=0.25).method == "lrp_epsilon_0_25"
    assert sx.explain(model, x, "lrpsign_z", mu=0.5).method == "lrpsign_z_mu_0_5"
    assert sx.explain(model, x, "lrpsign_z", mu=x[0]).spec.input_layer.times == Sign(ArrayValue(x[0]))


def test_many_gives_parameters_to_those_that_leave_them_open(branching):
    model, x = branching
    maps = sx.explain_many(model, x, ["gradient_x_sign_mu", "gradient_x_sign_mu_0_5", "gradient_x_sign"], mu=0.25)
    assert [result.method for result in maps.values()] == [
        "gradient_x_sign_mu_0_25",
        "gradient_x_sign_mu_0_5",
        "gradient_x_sign",
    ]
    with pytest.raises(ParameterError, match="none of the methods takes the parameter 'epsilon'"):
        sx.explain_many(model, x, ["lrp_epsilon_1", "smoothgrad"], epsilon=3)
    with pytest.raises(ParameterError, match="methods must be several names, got one: 'lrp_z'"):
        sx.explain_many(model, x, "lrp_z")
    with pytest.raises(ParameterError, match="methods is empty"):
        sx.explain_many(model, x, [])


def test_methods_without_a_name_are_kept_apart(branching):
    model, x = branching
    nameless = [attrs.evolve(sx.parse("lrp_z"), seed=seed, phrase=None) for seed in ("one", "logit")]
    maps = sx.explain_many(model, x, [attrs.evolve(sx.parse("lrpz_z"), seed="one", phrase=None), *nameless[:1]])
    assert len(maps) == 2
    assert all(result.relevance.shape == x.shape for result in maps.values())
