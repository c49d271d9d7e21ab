"""Options of several commands: their declarations, and how their texts become values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import signxai_core as sx
from signxai_core.cli import inputs
from signxai_core.cli.preprocess import Preprocess
from signxai_core.cli.printing import printable
from signxai_core.errors import FileError, ParameterError
from signxai_core.extras import is_file


class Layout(str, Enum):
    """Where the channels lie."""

    channels_first = "channels_first"
    channels_last = "channels_last"


class Convention(str, Enum):
    """Names of conventions."""

    textbook = "textbook"
    signxai = "signxai"


class Seed(str, Enum):
    """Where the backward pass starts."""

    logit = "logit"
    one = "one"


class Family(str, Enum):
    """Families of methods."""

    gradient = "gradient"
    cam = "cam"
    lrp = "lrp"
    control = "control"


class Pictures(str, Enum):
    """Which pictures are drawn."""

    auto = "auto"
    each = "each"
    sheets = "sheets"
    none = "none"


def _load(files: list[Path] | None) -> list[Path] | None:
    """Register what configuration files declare, before any other option is looked at."""
    for file in files or ():
        sx.load(file)
    return files


_MODEL = (
    "package.module:callable, which returns the model (importing the module runs its code); for TensorFlow also a "
    ".keras file, the folder of a SavedModel (loading it runs its graph, which can read and write files: only from a "
    "source that you trust), or keras.applications:NAME."
)
ModelArgument = Annotated[str, typer.Argument(help=_MODEL)]
InputsArgument = Annotated[list[Path], typer.Argument(help="Images, .npy, .npz, or CSV time series.")]
MethodOption = Annotated[
    list[str],
    typer.Option("--method", "-m", help="Name, glob pattern ('lrpsign_*') or 'all'; repeatable."),
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", help="Glob pattern of methods to leave out; repeatable.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="Weights: .safetensors or a torch state dict; .weights.h5 or .keras; for keras.applications also imagenet."
    ),
]
TargetOption = Annotated[
    str | None, typer.Option(help="Class to explain: one index, or one per sample ('3,5'); default: the arg-max.")
]
ConventionOption = Annotated[Convention, typer.Option(help="Textbook definitions, or those of signxai 1.x.")]
BackendOption = Annotated[str | None, typer.Option(help="Backend, where the model's class does not tell.")]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Samples explained at a time; each batch is kept when it is done [default: 32]."
    ),
]
MaxMemoryOption = Annotated[
    int | None, typer.Option("--max-memory", min=1, help="Bytes for the walks of many methods.")
]
SeedOption = Annotated[Seed | None, typer.Option(help="Start of the backward pass; default: the method's own.")]
StrictOption = Annotated[bool, typer.Option("--strict/--no-strict", help="Refuse operations without a rule.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Parameter as key=value: mu, epsilon, low, high, steps, ...; arrays: mu=@file.npy."),
]
RuleOption = Annotated[
    list[str] | None,
    typer.Option("--rule", help="Rule of layers as PATH=RULE, before all others: 'features.*=gamma:0.25'; repeatable."),
]
ConfigOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--config", callback=_load, is_eager=True, metavar="FILE", help="TOML file that declares methods; repeatable."
    ),
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option(help="Where the model expects the channels [default: first; last for TensorFlow]."),
]
SizeOption = Annotated[str | None, typer.Option(help="Resize images, HEIGHTxWIDTH.")]
ScaleOption = Annotated[
    str | None, typer.Option(help="What pixel values 0 and 255 (16 bits: 65535) become, LOW,HIGH [default: 0,1].")
]
MeanOption = Annotated[str | None, typer.Option(help="Taken off after scaling, one per channel: 0.485,0.456,0.406.")]
StdOption = Annotated[str | None, typer.Option(help="Divided by after that, one per channel.")]
PreprocessOption = Annotated[
    Preprocess | None,
    typer.Option(help="As the network's images were: caffe, torch, tf, raw [default: known models' own]."),
]
SamplingRateOption = Annotated[
    float | None,
    typer.Option("--sampling-rate", min=0.001, help="Of series in hertz; .hea records are resampled to it."),
]
LeadsOption = Annotated[
    str | None, typer.Option(help="Names of channels: I,II,V1; .hea records are put in this order.")
]
LabelsOption = Annotated[
    str | None, typer.Option(help="Names of the classes, for titles and tables: a,b,c or a file with one per line.")
]
GreyOption = Annotated[bool, typer.Option("--grey", help="Read images with one channel.")]
KeyOption = Annotated[str | None, typer.Option(help="Which array of an .npz file.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist already.")]


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Turn ``"0.5,0.25"`` into numbers."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected numbers separated by commas, got {text!r}", param_hint=option) from error
    if not np.isfinite(values).all():
        raise typer.BadParameter(f"expected finite numbers, got {text!r}", param_hint=option)
    return values


def scale(text: str | None) -> tuple[float, float] | None:
    """Turn ``"0,1"`` into the lowest and highest value."""
    values = numbers(text, "--scale")
    if values is None:
        return None
    if len(values) != 2:
        raise typer.BadParameter(f"expected LOW,HIGH, got {text!r}", param_hint="--scale")
    return values[0], values[1]


def size(text: str | None) -> tuple[int, int] | None:
    """Turn ``"224x224"`` into height and width."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"expected HEIGHTxWIDTH, such as 224x224, got {text!r}", param_hint="--size")
    return int(parts[0]), int(parts[1])


def reading(  # one parameter per option
    size_: str | None,
    scale_: str | None,
    mean: str | None,
    std: str | None,
    grey: bool,  # noqa: FBT001 - handed on from a command
    key: str | None,
    *,
    preprocess: Preprocess | None = None,
    sampling_rate: float | None = None,
    leads: str | None = None,
) -> inputs.Reading:
    """Turn the options on inputs into one value; the model decides about the layout."""
    return inputs.Reading(
        size=size(size_),
        scale=scale(scale_),
        mean=numbers(mean, "--mean"),
        std=numbers(std, "--std"),
        grey=grey,
        key=key,
        preprocess=preprocess,
        sampling_rate=sampling_rate,
        leads=names(leads, "--leads"),
    )


def names(text: str | None, option: str) -> tuple[str, ...] | None:
    """Turn ``"I,II,V1"``, or the lines of a file, into names."""
    if text is None:
        return None
    path = Path(text)
    if "," not in text and is_file(path):
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"cannot read the names in {path}: {error}") from error
    else:
        found = [part.strip() for part in text.split(",")]
    if not found or not all(found):
        message = f"expected names separated by commas, or a file of names, got {text!r}"
        raise typer.BadParameter(message, param_hint=option)
    return tuple(printable(name) for name in found)


def target(text: str | None) -> int | list[int] | None:
    """Turn ``"3"`` or ``"3,5"`` into what ``explain`` takes as target."""
    if text is None:
        return None
    try:
        indices = [int(part) for part in text.split(",")]
    except ValueError as error:
        message = f"expected whole numbers separated by commas, got {text!r}"
        raise typer.BadParameter(message, param_hint="--target") from error
    return indices if "," in text else indices[0]


#: Arguments of ``explain`` that have an option of their own.
_OPTIONS = {"target", "convention", "backend", "seed", "strict", "progress", "batch_size", "max_memory"}


def parameters(assignments: Sequence[str] | None) -> dict[str, Any]:
    """Turn ``["mu=0.5", "low=@low.npy"]`` into parameters of methods."""
    found: dict[str, Any] = {}
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"expected key=value, got {assignment!r}", param_hint="--set")
        if key in _OPTIONS:
            raise ParameterError(f"{key!r} is no parameter of a method; use the option --{key.replace('_', '-')}")
        if key in found:
            raise ParameterError(f"the parameter {key!r} is given twice")
        found[key] = _value(text)
    return found


def rules(assignments: Sequence[str] | None) -> dict[str, str]:
    """Turn ``["features.*=gamma:0.25"]`` into what ``with_rules`` takes."""
    found: dict[str, str] = {}
    for assignment in assignments or ():
        path, equals, rule = assignment.partition("=")
        if not equals or not path or not rule:
            raise typer.BadParameter(f"expected PATH=RULE, got {assignment!r}", param_hint="--rule")
        if path in found:
            raise ParameterError(f"a rule for {path!r} is given twice")
        found[path] = rule
    return found


def _value(text: str) -> Any:
    """Whole number, number, list of numbers, array from a file, or text."""
    if text.startswith("@"):
        return inputs.read_array(Path(text[1:]))
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        return text
    if len(values) > 1:
        return np.array(values)
    return int(text) if text.strip().lstrip("+-").isdecimal() else values[0]
