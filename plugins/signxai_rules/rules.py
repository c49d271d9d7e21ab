"""Factories of rules: each returns a value of :mod:`signxai_core.specs`, nothing else.

References: :data:`signxai_rules.tables.REFERENCES`. ``s(z)`` is +1 for ``z >= 0``, else −1;
``a ⊘ d`` is a / d, and 0 where d = 0.
"""

from __future__ import annotations

from typing import Any

from signxai_core.specs import (
    KEEP,
    MISSING,
    NEGATIVE,
    ONES,
    POSITIVE,
    SQUARE,
    ZERO,
    Bound,
    Exact,
    Mix,
    NormalisationRule,
    Pass,
    Rule,
    Share,
    Shared,
    Sign,
    SoftmaxRule,
    Stabiliser,
    Stop,
    Term,
)

_PLAIN = (Share((Term(KEEP, KEEP, KEEP),)),)


def z() -> Rule:
    """LRP-z: ``R_in = x ⊙ Wᵀ(R ⊘ z)`` (Bach et al. 2015, eq. 56).

    On a bias-free ReLU network it equals gradient × input.

    Examples
    --------
    >>> print(z().formula())
    R_in = 1 · [ x ⊙ Wᵀ t ],  t = R / (z),  z = (W x + b)
    """
    return Rule(_PLAIN, name="z")


def epsilon(epsilon: float = 0.1) -> Rule:
    """LRP-epsilon: ``R_in = x ⊙ Wᵀ(R / (z + s(z)·epsilon))`` (Bach et al. 2015, eq. 58).

    Parameters
    ----------
    epsilon
        Absolute, in units of z; 0 is the z rule.
    """
    return Rule(_PLAIN, Stabiliser(epsilon), name=f"epsilon {epsilon:g}")


def std_epsilon(k: float = 0.25) -> Rule:
    """LRP-epsilon with ``epsilon = k · std(x)`` of the operation's input, per sample.

    The reference package takes the deviation over the whole batch, which makes a sample's map
    depend on its neighbours; at batch size 1 both agree (Gumpfer et al. 2023).

    Parameters
    ----------
    k
        Factor on the population standard deviation.
    """
    return Rule(_PLAIN, Stabiliser(k, "std"), name=f"epsilon {k:g}·std(x)")


def sign(mu: Any = None) -> Rule:
    """SIGN: ``R_in = sgn(x − mu) ⊙ Wᵀ(R ⊘ z)``, ``sgn(0) = +1`` (Gumpfer et al. 2023).

    For the input layer: pixels near 0 keep their relevance, which ``x`` as a factor would erase.

    Parameters
    ----------
    mu
        Threshold, a number or an array of the input's shape; ``None`` is the plain sign.
    """
    return Rule(_PLAIN, times=Sign(mu), name="SIGN")


def alpha_beta(alpha: float = 1.0, *, whole_bias: bool = False) -> Rule:
    """LRP-alpha-beta, ``beta = alpha − 1`` (Bach et al. 2015, eq. 60).

    ``R_in = alpha·P − beta·N``: P shares out R in proportion to the positive contributions
    ``x⁺W⁺ + x⁻W⁻``, N in proportion to the negative ones.

    Parameters
    ----------
    alpha
        Weight of the positive contributions, at least 1.
    whole_bias
        Both denominators hold the whole bias, as in iNNvestigate and signxai 1.x, instead of its
        positive and negative part.
    """
    if not alpha >= 1:
        raise ValueError(f"alpha must be >= 1, so that beta = alpha - 1 >= 0; got {alpha!r}")
    up, down = (KEEP, KEEP) if whole_bias else (POSITIVE, NEGATIVE)
    excitatory = Share((Term(POSITIVE, POSITIVE, up), Term(NEGATIVE, NEGATIVE, ZERO)), alpha)
    inhibitory = Share((Term(POSITIVE, NEGATIVE, down), Term(NEGATIVE, POSITIVE, ZERO)), 1 - alpha)
    shares = (excitatory, inhibitory) if alpha != 1 else (excitatory,)
    return Rule(shares, name=f"alpha {alpha:g}, beta {alpha - 1:g}")


def z_plus() -> Rule:
    """LRP-z⁺: alpha-beta with alpha = 1 (Montavon et al. 2017)."""
    return alpha_beta(1.0)


def z_plus_no_bias() -> Rule:
    """The z⁺ rule without bias: conserves relevance exactly (Zhang et al. 2016)."""
    terms = (Term(POSITIVE, POSITIVE, ZERO), Term(NEGATIVE, NEGATIVE, ZERO))
    return Rule((Share(terms),), name="z⁺ without bias")


def gamma(gamma: float = 0.25) -> Rule:
    """LRP-gamma: weights ``W + gamma·W⁺`` (Montavon et al. 2019), generalised.

    For negative inputs the favoured weights are the negative ones, and for negative outputs
    (a share of its own, by the sign of z) the favoured contributions are the negative ones
    (Anders et al. 2021, as in zennit). With non-negative inputs and outputs this is the original.

    Parameters
    ----------
    gamma
        How much positive contributions are favoured; 0 is the z rule.
    """
    if not gamma >= 0:
        raise ValueError(f"gamma must be >= 0, got {gamma!r}")
    up, down = Mix(1 + gamma, 1), Mix(1, 1 + gamma)
    return Rule(
        (
            Share((Term(POSITIVE, up, up), Term(NEGATIVE, down, ZERO)), gate="positive"),
            Share((Term(POSITIVE, down, down), Term(NEGATIVE, up, ZERO)), gate="negative"),
        ),
        name=f"gamma {gamma:g}",
    )


def w_square() -> Rule:
    """LRP-w²: ``R_in = V ᵀ(R ⊘ V·1)``, ``V = W²``, no bias (Montavon et al. 2017).

    Zennit keeps the squared bias in the denominator; the textbook has none.
    """
    return Rule((Share((Term(ONES, SQUARE, ZERO),)),), name="w²")


def flat() -> Rule:
    """LRP-flat: the w² rule with ``V = 1`` (Lapuschkin et al. 2019)."""
    return Rule((Share((Term(ONES, ONES, ZERO),)),), name="flat")


def z_box(low: Any = MISSING, high: Any = MISSING) -> Rule:
    """LRP-zB for inputs in a box: ``R_in = x ⊙ Wᵀt − l ⊙ W⁺ᵀt − h ⊙ W⁻ᵀt`` (Montavon et al. 2017).

    ``t = R ⊘ (W x − W⁺ l − W⁻ h)``, no bias.

    Parameters
    ----------
    low, high
        Bounds of the input: numbers, one number per channel, or arrays of the input's shape.
    """
    lower, upper = Bound("low", low), Bound("high", high)
    terms = (Term(KEEP, KEEP, ZERO), Term(lower, POSITIVE, ZERO, -1), Term(upper, NEGATIVE, ZERO, -1))
    return Rule((Share(terms),), name="zB")


def norm(epsilon: float = 1e-9) -> Rule:
    """The z rule with a relative stabiliser, for residual sums and average pooling.

    ``R_in,i = x_i ⊙ Jᵀ(R ⊘ y)``; only outputs that cancelled below ``epsilon · max|y|`` of the
    sample are stabilised, so that all others are exact.
    """
    return Rule(_PLAIN, Stabiliser(epsilon, "relative"), name="norm")


def identity() -> Pass:
    """Relevance goes through unchanged: activations and dropout."""
    return Pass()


def exact() -> Exact:
    """The exact vector-Jacobian product: shape operations and max-pooling."""
    return Exact()


def guided() -> Exact:
    """Guided backpropagation at a ReLU: clip what comes in, then the ordinary gradient.

    Springenberg et al. 2015.
    """
    return Exact(clip=True)


def deconvolution() -> Exact:
    """The deconvnet at a ReLU: clip what comes in, ignore the ReLU's own mask.

    Zeiler & Fergus 2014.
    """
    return Exact(clip=True, mask=False)


def signal_takes_all() -> Shared:
    """Products and quotients: gates and statistics are constants, other factors share equally (Arras et al. 2017).

    In an LSTM and in squeeze-and-excitation the signal takes all; attention hands relevance to its values.
    """
    return Shared()


def equal_shares() -> Shared:
    """Products: all factors share equally, statistics aside (AttnLRP, Achtibat et al. 2024)."""
    return Shared({"statistic"})


def conservative_shares() -> Shared:
    """Products as in CP-LRP: besides gates, the one factor is constant that an activation made (Ali et al. 2022)."""
    return Shared({"gate", "statistic", "activated"})


def softmax() -> SoftmaxRule:
    """Softmax inside a network: ``R_i = x_i (R_i − s_i Σ_j R_j)`` (Achtibat et al. 2024, eq. 14)."""
    return SoftmaxRule()


def stop() -> Stop:
    """Relevance ends: a piecewise constant function is a constant (Bach et al. 2015)."""
    return Stop()


def reference_normalisation(epsilon: float = 1e-7) -> NormalisationRule:
    """Batch-normalisation of iNNvestigate and signxai 1.x, not folded (Alber et al. 2019).

    ``R_in = x·(y − beta)·R / stabilised((x − mean)·y)``; epsilon is Keras' machine constant.
    """
    return NormalisationRule(epsilon)
