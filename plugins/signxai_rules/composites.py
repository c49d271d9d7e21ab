"""Factories of composites: ``factory(**numbers, convention)`` returns a composite."""

from __future__ import annotations

from signxai_core.specs import AnyRule, Composite, Convention, Entry, Where
from signxai_rules import rules

#: Every operation that the chain rule knows: the gradient family, on any model.
GRADIENT = Composite((Entry(Where(), rules.exact()),), fold_normalisation=False)
_RELU = Where(functions=frozenset({"relu", "relu6"}))
_CONVOLUTIONAL = Where(kinds=frozenset({"convolution"}))
_DENSE = Where(kinds=frozenset({"dense"}))
_LAYERS = Where(kinds=frozenset({"dense", "convolution"}))
#: One input per output: where these stand alone, alpha-beta would multiply relevance by alpha.
_DIAGONAL = Where(kinds=frozenset({"normalisation", "scaling"}))
_SIGNAL = rules.signal_takes_all()
_FIRST_FLAT = Entry(Where(position="first"), rules.flat())


def _lrp(*entries: Entry, convention: Convention, product: AnyRule = _SIGNAL) -> Composite:
    """Complete the entries with what every chain does elsewhere."""
    pooled = rules.norm(convention.sum_epsilon) if convention.sum_epsilon else rules.z()
    own: tuple[Entry, ...] = ()
    if not convention.fold_normalisation:
        own = (Entry(Where(kinds=frozenset({"normalisation"})), rules.reference_normalisation()),)
    rest = (
        Entry(_DIAGONAL, rules.z()),
        Entry(Where(kinds=frozenset({"sum", "average_pooling", "interpolation"})), pooled),
        Entry(Where(kinds=frozenset({"activation", "dropout"})), rules.identity()),
        Entry(Where(kinds=frozenset({"max_pooling", "shape", "selection", "logsumexp"})), rules.exact()),
        Entry(Where(kinds=frozenset({"product", "quotient", "matrix_product"})), product),
        Entry(Where(kinds=frozenset({"softmax"})), rules.softmax()),
        Entry(Where(kinds=frozenset({"step"})), rules.stop()),
    )
    return Composite((*own, *entries, *rest), fold_normalisation=convention.fold_normalisation)


def _uniform(rule: AnyRule, convention: Convention) -> Composite:
    return _lrp(Entry(_LAYERS, rule), convention=convention)


def _two(convolutional: AnyRule, dense: AnyRule, convention: Convention, *first: Entry) -> Composite:
    """One rule for convolutions, one for dense operations."""
    return _lrp(*first, Entry(_DENSE, dense), Entry(_CONVOLUTIONAL, convolutional), convention=convention)


def _transformer(layers: AnyRule, product: AnyRule, convention: Convention) -> Composite:
    return _lrp(Entry(_LAYERS, layers), convention=convention, product=product)


def attn(*, convention: Convention) -> Composite:
    """AttnLRP: products share equally, layers have epsilon 1e-6 (Achtibat et al. 2024)."""
    return _transformer(rules.epsilon(1e-6), rules.equal_shares(), convention)


def attn_gamma(*, gamma: float, convention: Convention) -> Composite:
    """AttnLRP with the gamma rule at layers."""
    return _transformer(rules.gamma(gamma), rules.equal_shares(), convention)


def cp(*, convention: Convention) -> Composite:
    """CP-LRP: gates and activated factors are constants, layers have epsilon 1e-6 (Ali et al. 2022)."""
    return _transformer(rules.epsilon(1e-6), rules.conservative_shares(), convention)


def cp_gamma(*, gamma: float, convention: Convention) -> Composite:
    """CP-LRP with the gamma rule at layers."""
    return _transformer(rules.gamma(gamma), rules.conservative_shares(), convention)


def z(*, convention: Convention) -> Composite:
    """The z rule everywhere."""
    return _uniform(rules.z(), convention)


def epsilon(*, epsilon: float, convention: Convention) -> Composite:
    """The epsilon rule everywhere."""
    return _uniform(rules.epsilon(epsilon), convention)


def std_epsilon(*, epsilon: float, convention: Convention) -> Composite:
    """The std-epsilon rule everywhere; the number is k in ``k · std(x)``."""
    return _uniform(rules.std_epsilon(epsilon), convention)


def alpha_beta(*, alpha: float, beta: float, convention: Convention) -> Composite:
    """The alpha-beta rule everywhere; ``beta`` must be ``alpha − 1``."""
    if abs(alpha - 1 - beta) > 1e-9:  # both numbers were written in decimals: 1.4 − 1 is not 0.4
        raise ValueError(f"beta must be alpha - 1 = {alpha - 1:g}, got beta = {beta:g}")
    return _uniform(rules.alpha_beta(alpha, whole_bias=convention.whole_bias), convention)


def gamma(*, gamma: float, convention: Convention) -> Composite:
    """The gamma rule everywhere."""
    return _uniform(rules.gamma(gamma), convention)


def z_plus(*, convention: Convention) -> Composite:
    """The z⁺ rule everywhere: alpha-beta with alpha = 1."""
    return alpha_beta(alpha=1.0, beta=0.0, convention=convention)


def w_square(*, convention: Convention) -> Composite:
    """The w² rule everywhere."""
    return _uniform(rules.w_square(), convention)


def flat(*, convention: Convention) -> Composite:
    """The flat rule everywhere."""
    return _uniform(rules.flat(), convention)


def sequential_a(*, convention: Convention) -> Composite:
    """Sequential composite A: dense epsilon 0.1, convolutions alpha 1, beta 0."""
    return _two(rules.alpha_beta(1, whole_bias=convention.whole_bias), rules.epsilon(0.1), convention)


def sequential_b(*, convention: Convention) -> Composite:
    """Sequential composite B: dense epsilon 0.1, convolutions alpha 2, beta 1."""
    return _two(rules.alpha_beta(2, whole_bias=convention.whole_bias), rules.epsilon(0.1), convention)


# Zennit's composites; its epsilon there is 1e-6, its gamma 0.25.


def epsilon_plus(*, convention: Convention) -> Composite:
    """Dense epsilon 1e-6, convolutions z⁺."""
    return _two(rules.z_plus(), rules.epsilon(1e-6), convention)


def epsilon_plus_flat(*, convention: Convention) -> Composite:
    """Epsilon-plus with the flat rule at the first linear operation."""
    return _two(rules.z_plus(), rules.epsilon(1e-6), convention, _FIRST_FLAT)


def epsilon_gamma_box(*, convention: Convention) -> Composite:
    """Dense epsilon 1e-6, convolutions gamma 0.25, zB at a first operation that is a convolution."""
    box = Entry(Where(kinds=frozenset({"convolution"}), position="first"), rules.z_box())
    return _two(rules.gamma(0.25), rules.epsilon(1e-6), convention, box)


def epsilon_alpha2_beta1(*, convention: Convention) -> Composite:
    """Dense epsilon 1e-6, convolutions alpha 2, beta 1."""
    return _two(rules.alpha_beta(2), rules.epsilon(1e-6), convention)


def epsilon_alpha2_beta1_flat(*, convention: Convention) -> Composite:
    """Epsilon-alpha2-beta1 with the flat rule at the first linear operation."""
    return _two(rules.alpha_beta(2), rules.epsilon(1e-6), convention, _FIRST_FLAT)


def excitation_backprop(*, convention: Convention) -> Composite:
    """The z⁺ rule everywhere and the gradient of activations (Zhang et al. 2016, as in zennit)."""
    gradient = Entry(Where(kinds=frozenset({"activation"})), rules.exact())
    return _lrp(gradient, Entry(_LAYERS, rules.z_plus()), convention=convention)


def gradient(*, convention: Convention) -> Composite:
    """The ordinary gradient; no convention differs."""
    return GRADIENT


def guided(*, convention: Convention) -> Composite:
    """Guided backpropagation; no convention differs in the composite."""
    return Composite((Entry(_RELU, rules.guided()), *GRADIENT.entries), fold_normalisation=False)


def deconvnet(*, convention: Convention) -> Composite:
    """The deconvnet; no convention differs in the composite."""
    return Composite((Entry(_RELU, rules.deconvolution()), *GRADIENT.entries), fold_normalisation=False)
