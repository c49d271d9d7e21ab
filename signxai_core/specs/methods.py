"""Methods: everything a name says, as one value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import attrs

from signxai_core.specs import texts
from signxai_core.specs.cells import Mix, Sign
from signxai_core.specs.composites import Composite
from signxai_core.specs.conventions import CONVENTIONS, TEXTBOOK
from signxai_core.specs.rules import LinearRule
from signxai_core.specs.values import Value, to_optional_value, to_value

Family = Literal["gradient", "cam", "lrp", "control"]
Seed = Literal["one", "logit"]


def _count(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number >= 1, got {value!r}")


def _random_state(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name} must be a whole number >= 0, got {value!r}")


def _noise(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{attribute.name} must be a finite number >= 0, got {value!r}")


@attrs.frozen(kw_only=True)
class Smooth:
    """Mean or population variance of an attribution over noisy copies of the input.

    SmoothGrad: Smilkov et al. 2017; VarGrad: Adebayo et al. 2018.

    Parameters
    ----------
    statistic
        Over the samples.
    samples
        Number of noisy copies.
    noise
        Standard deviation; times (max x − min x) of the sample when ``relative``.
    random_state
        Seed of the noise. One stream per sample of the batch: see
        :func:`signxai_core.engine.sampling.noise`.
    """

    statistic: Literal["mean", "variance"] = attrs.field(validator=attrs.validators.in_(("mean", "variance")))
    samples: int = attrs.field(default=50, validator=_count)
    noise: float = attrs.field(default=0.2, converter=float, validator=_noise)
    relative: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    random_state: int = attrs.field(default=0, validator=_random_state)


@attrs.frozen(kw_only=True)
class Integrate:
    """Path integral of an attribution from the baseline to the input (Sundararajan et al. 2017).

    The mean over the path is multiplied by (input − baseline).
    """

    steps: int = attrs.field(default=50, validator=_count)
    nodes: Literal["gauss_legendre", "end_points"] = attrs.field(
        default="gauss_legendre", validator=attrs.validators.in_(("gauss_legendre", "end_points"))
    )
    baseline: Value = attrs.field(default=0.0, converter=to_value)


@attrs.frozen(kw_only=True)
class Control:
    """No attribution at all: uniform in [−1, 1], the control of an evaluation."""

    random_state: int = attrs.field(default=0, validator=_random_state)


Sampling = Smooth | Integrate | Control


@attrs.frozen(kw_only=True)
class Cam:
    """Grad-CAM (Selvaraju et al. 2017).

    Parameters
    ----------
    last_conv
        Path of the layer, whose output is taken as it is; ``None`` takes the last convolution recorded,
        with its activation.
    series
        The input has exactly one spatial axis.
    guided
        Multiply by the map of the method's composite (guided Grad-CAM).
    normalise, align
        Divide by the maximum; interpolate with aligned end points.
    """

    last_conv: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(str))
    )
    series: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    guided: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    normalise: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))
    align: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))


@attrs.frozen(kw_only=True)
class Preset:
    """Facts about a published model or its preprocessing.

    Parameters
    ----------
    name
        The word in method names.
    low, high
        Bounds of the preprocessed input, for the zB rule.
    last_conv
        Layer for class-activation maps, with its activation: the layer of that name where the model has
        one, else the last convolution (the name is that of one framework; the layer is the same one).
    """

    name: str = attrs.field(validator=texts.name)
    low: Value | None = attrs.field(default=None, converter=to_optional_value)
    high: Value | None = attrs.field(default=None, converter=to_optional_value)
    last_conv: str | None = None
    reference: str = attrs.field(default="", eq=False)


def _numbers(numbers: Iterable[float]) -> tuple[float, ...]:
    return texts.listed("numbers", numbers)


@attrs.frozen
class Phrase:
    """A word of the grammar with its numbers filled in: where a part of a method came from."""

    word: str = attrs.field(validator=texts.word)
    numbers: tuple[float, ...] = attrs.field(default=(), converter=_numbers)


@attrs.frozen(kw_only=True)
class MethodSpec:
    """A method of attribution.

    Parameters
    ----------
    family
        ``gradient``, ``cam``, ``lrp`` or ``control``.
    composite
        What happens at every operation, for the gradient family too.
    seed
        Start of the backward pass: 1, or the selected logit.
    input_layer
        Rule of the first linear operation(s), before the composite's.
    modifier
        Factor on the finished map: ``None``, the input (``Mix(1, 1)``), or its sign.
    sampling
        Wrapper around the attribution.
    cam
        Turns the gradient into a class-activation map.
    preset
        Named facts about the model, already applied to the parts above.
    convention
        Name of the convention that the parts follow.
    prefix, phrase
        The words of the grammar that the parts came from, if any; not compared.
    """

    family: Family = attrs.field(validator=attrs.validators.in_(("gradient", "cam", "lrp", "control")))
    composite: Composite = attrs.field(validator=attrs.validators.instance_of(Composite))
    seed: Seed = attrs.field(default="one", validator=attrs.validators.in_(("one", "logit")))
    input_layer: LinearRule | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(get_args(LinearRule)))
    )
    modifier: Mix | Sign | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of((Mix, Sign)))
    )
    sampling: Sampling | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of((Smooth, Integrate, Control)))
    )
    cam: Cam | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.instance_of(Cam)))
    preset: Preset | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(Preset))
    )
    convention: str = attrs.field(default=TEXTBOOK.name, eq=False, validator=attrs.validators.in_([*CONVENTIONS]))
    prefix: str | None = attrs.field(default=None, eq=False, validator=attrs.validators.optional(texts.word))
    phrase: Phrase | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        lines = [f"family: {self.family} ({self.convention})"]
        lines.append(f"seed: {'the selected output' if self.seed == 'logit' else '1'}")
        lines += [f"input layer: {self.input_layer.name}"] if self.input_layer is not None else []
        lines += [f"{entry.where}: {entry.rule.name}" for entry in self.composite.entries]
        lines += [f"sampling: {self.sampling}"] if self.sampling is not None else []
        lines += [f"class-activation map: {self.cam}"] if self.cam is not None else []
        lines += [f"map times: {self.modifier.formula('x')}"] if self.modifier is not None else []
        lines += [f"preset: {self.preset.name}"] if self.preset is not None else []
        return "\n".join(lines)
