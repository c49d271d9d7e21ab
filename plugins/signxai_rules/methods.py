"""Factories of whole methods (bases of the gradient family, class-activation maps) and prefixes."""

from __future__ import annotations

from signxai_core.specs import Cam, Control, Convention, Integrate, MethodSpec, Rule, Smooth
from signxai_rules import composites, rules


def gradient(*, convention: Convention) -> MethodSpec:
    """``∂logit/∂x`` (Simonyan et al. 2014)."""
    return MethodSpec(family="gradient", composite=composites.gradient(convention=convention))


def integrated_gradients(*, convention: Convention) -> MethodSpec:
    """Path integral of the gradient from a baseline (Sundararajan et al. 2017)."""
    return MethodSpec(
        family="gradient",
        composite=composites.gradient(convention=convention),
        sampling=Integrate(nodes=convention.integration),
    )


def smoothgrad(*, convention: Convention) -> MethodSpec:
    """Mean gradient over noisy copies (Smilkov et al. 2017)."""
    return MethodSpec(
        family="gradient",
        composite=composites.gradient(convention=convention),
        sampling=Smooth(statistic="mean", relative=convention.noise == "range"),
    )


def vargrad(*, convention: Convention) -> MethodSpec:
    """Variance of the gradient over noisy copies (Adebayo et al. 2018)."""
    return MethodSpec(
        family="gradient",
        composite=composites.gradient(convention=convention),
        sampling=Smooth(statistic="variance", relative=convention.noise == "range"),
    )


def guided_backprop(*, convention: Convention) -> MethodSpec:
    """Guided backpropagation (Springenberg et al. 2015)."""
    return MethodSpec(
        family="gradient", composite=composites.guided(convention=convention), seed=convention.guided_seed
    )


def deconvnet(*, convention: Convention) -> MethodSpec:
    """The deconvnet (Zeiler & Fergus 2014)."""
    return MethodSpec(
        family="gradient", composite=composites.deconvnet(convention=convention), seed=convention.guided_seed
    )


def random_uniform(*, convention: Convention) -> MethodSpec:
    """Uniform in [−1, 1]: the control of the published evaluation."""
    return MethodSpec(family="control", composite=composites.gradient(convention=convention), sampling=Control())


def grad_cam(*, convention: Convention) -> MethodSpec:
    """Grad-CAM (Selvaraju et al. 2017)."""
    return MethodSpec(
        family="cam",
        composite=composites.gradient(convention=convention),
        cam=Cam(normalise=convention.cam_normalise),
    )


def grad_cam_timeseries(*, convention: Convention) -> MethodSpec:
    """Grad-CAM of an input with one spatial axis."""
    cam = Cam(series=True, normalise=convention.cam_normalise, align=convention.cam_align_series)
    return MethodSpec(family="cam", composite=composites.gradient(convention=convention), cam=cam)


def guided_grad_cam(*, convention: Convention) -> MethodSpec:
    """Guided backpropagation times Grad-CAM, both of the same class (Selvaraju et al. 2017)."""
    return MethodSpec(
        family="cam",
        composite=composites.guided(convention=convention),
        seed=convention.guided_seed,
        cam=Cam(guided=True, normalise=convention.cam_normalise),
    )


def guided_grad_cam_timeseries(*, convention: Convention) -> MethodSpec:
    """Guided Grad-CAM of an input with one spatial axis."""
    cam = Cam(series=True, guided=True, normalise=convention.cam_normalise, align=convention.cam_align_series)
    return MethodSpec(
        family="cam", composite=composites.guided(convention=convention), seed=convention.guided_seed, cam=cam
    )


def no_input_layer(*, convention: Convention) -> None:
    """Prefix ``lrp``: the input layer gets the chain's rule."""


def sign_input_layer(*, convention: Convention) -> Rule:
    """Prefix ``lrpsign``: the SIGN rule at the input layer (Gumpfer et al. 2023)."""
    return rules.sign()


def z_input_layer(*, convention: Convention) -> Rule:
    """Prefix ``lrpz``: the z rule at the input layer."""
    return rules.z()


def z_box_input_layer(*, convention: Convention) -> Rule:
    """Prefix ``zblrp``: the zB rule at the input layer; bounds from the preset or as parameters."""
    return rules.z_box()


def w_square_input_layer(*, convention: Convention) -> Rule:
    """Prefix ``w2lrp``: the w² rule at the input layer."""
    return rules.w_square()


def flat_input_layer(*, convention: Convention) -> Rule:
    """Prefix ``flatlrp``: the flat rule at the input layer."""
    return rules.flat()
