"""Thousands of calls with arguments, names, files and images that nobody would think of.

Every outcome is a finite map or an exception of the library. No call writes outside its output folder
or changes the model, the input, or what it was given. SIGNXAI_FUZZ=5000 draws that many new calls; 300 by default,
always the same ones. A failure says its SIGNXAI_SEED.
"""

from __future__ import annotations

import io
import os
import random
import string
import sys
import warnings

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import MODELS, run
from test_config import GOOD as FILE
from torch import nn

import signxai_core as sx
from signxai_core.errors import SignxaiError
from signxai_core.registry import process

COUNT = int(os.environ.get("SIGNXAI_FUZZ", "300"))
FRESH = os.environ.get("SIGNXAI_SEED") or random.SystemRandom().randrange(2**32)
START = FRESH if "SIGNXAI_FUZZ" in os.environ else 0
WORDS = [*{part for name in sx.methods() for part in name.split("_")}, "0", "1", "7", "neg", "", "é", "../x", "\x1b[2J"]
TEXTS = [
    "",
    " ",
    "nan",
    "inf",
    "-1",
    "1e400",
    "None",
    "all",
    "*",
    "[",
    "../../x",
    "\x00",
    "\x1b[2J",
    "é",
    "lrp_z",
    "a" * 300,
]
ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    -0.0,
    1j,
    *TEXTS,
    b"x",
    [],
    [0],
    [[1]],
    {},
]
ODD += [
    {"a": 1},
    (),
    np.nan,
    np.array([]),
    np.zeros(3),
    np.array(["a"]),
    np.ma.masked_array([1.0], [True]),
    np.float16(2),
]
ODD += [
    object(),
    len,
    lambda y: y[:, 0],
    lambda y: y.sum(),
    lambda y: None,
    lambda y: y[:, 0] / 0,
    torch.zeros(2),
    range(2),
]


@attrs.frozen(eq=False)
class Place:
    """Where calls are made: ``work`` is the current folder, its parent is watched."""

    root: object
    work: object
    module: str


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    work = root / "deep" / "work"
    work.mkdir(parents=True)
    (work / "fuzz_models.py").write_text(MODELS)
    np.save(work / "x.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    (work / "x.csv").write_text("a,b\n" + "\n".join(f"{i / 10},{i % 3}" for i in range(12)))
    before = os.getcwd()  # noqa: PTH109
    os.chdir(work)
    yield Place(root, work, "fuzz_models")
    os.chdir(before)
    process._FILES.clear()
    process.registry.cache_clear()


def _tree(place):
    return {
        str(path.relative_to(place.root)): path.read_bytes()
        for path in place.root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and place.work / "out" not in path.parents
    }


# What is drawn


def _name(draw):
    if draw.random() < 0.8:
        return draw.choice(sx.methods())
    name = "_".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 6)))
    return name if draw.random() < 0.8 else draw.choice([*TEXTS, *sx.methods()])


def _numbers(draw):
    shape = draw.choice(
        [(2, 1, 8, 8)] * 30 + [(1, 1, 8, 8), (0, 1, 8, 8), (2, 8, 8), (2, 1, 7, 8), (2, 3, 8, 8), (), (2,)]
    )
    x = np.random.default_rng(draw.randrange(2**32)).normal(size=shape) * draw.choice([*[1] * 12, 0, 1e-30, 1e6])
    if x.size and draw.random() < 0.1:
        x.flat[draw.randrange(x.size)] = draw.choice([np.nan, np.inf, -np.inf, 1e300])
    kind = draw.choice(["f4"] * 30 + ["f8", "f2", "i8", "c8", "U3", "O", "?"])
    return np.asarray(x.astype(kind))


def _parameters(draw):
    names = [
        "mu",
        "epsilon",
        "low",
        "high",
        "samples",
        "steps",
        "noise",
        "random_state",
        "baseline",
        "last_conv",
        "bogus",
    ]
    values = [0.5, -1.0, 3.0, 0, 2, 3, np.zeros((1, 8, 8)), np.full((2, 1, 8, 8), 0.1), "0", *ODD]
    return {draw.choice(names): draw.choice(values) for _ in range(draw.choice([0, 0, 0, 1, 2]))}


def _options(draw):
    found = {}
    for name, good in (
        ("target", [None, 0, [0, 1], 4, np.array([1, 2])]),
        ("backend", [None, "torch"]),
        ("convention", ["textbook", "signxai"]),
        ("seed", [None, "one", "logit"]),
        ("strict", [True, False]),
        ("batch_size", [None, 1, 2]),
        ("max_memory", [None, 1, 10**6]),
        ("progress", [False]),
    ):
        if draw.random() < 0.25:
            found[name] = draw.choice(good if draw.random() < 0.85 else ODD)
    return found


# Surfaces: each returns maps, or raises


def _api(draw, place):
    x, parameters = _numbers(draw), {**_options(draw), **_parameters(draw)}
    model = place.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy, held = x.copy(), {k: v.copy() for k, v in parameters.items() if type(v) is np.ndarray}
    try:
        if draw.random() < 0.5:
            return [
                sx.explain(model, x, _name(draw) if draw.random() < 0.9 else draw.choice(ODD), **parameters).relevance
            ]
        names = [_name(draw) for _ in range(draw.randrange(1, 4))]
        given = draw.choice([names] * 50 + ["lrp_z", None, 3, ["lrp_z", 3], []])
        errors = draw.choice([*["raise", "collect"] * 6, "ignore"])
        return [e.relevance for e in sx.explain_many(model, x, given, errors=errors, **parameters).values()]
    finally:
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert x.tobytes() == copy.tobytes()
        assert all(parameters[key].tobytes() == value.tobytes() for key, value in held.items())


def _names(draw, place):
    name = _name(draw)
    spec = sx.parse(name, convention=draw.choice(["textbook"] * 9 + ["signxai", "x", ""]))
    assert sx.parse(sx.name(spec), convention=spec.convention) == spec
    return []


def _toml_value(draw, depth=0):
    plain = ["1", "-1", "0.5", "nan", "inf", "true", '"lrp_z"', '"x"', '"../../x"', '"\\u001b[2J"', '""', "[]", "{}"]
    plain += ['"keep"', '"z"', '"gamma"', '["dense"]', '["lrp_z"]', '"parameter"', "1979-05-27", '{ use = "gamma" }']
    if depth < 3 and draw.random() < 0.4:
        keys = draw.sample(KEYS, draw.randrange(1, 4))
        return "{ " + ", ".join(f"{key} = {_toml_value(draw, depth + 1)}" for key in keys) + " }"
    if depth < 3 and draw.random() < 0.2:
        return "[" + ", ".join(_toml_value(draw, depth + 1) for _ in range(draw.randrange(3))) + "]"
    return draw.choice(plain)


#: Bounds that hold the input, and no methods that need a second dimension of channels.
GOOD = FILE.replace("high = [1, 2]", "high = 1")
KEYS = ["use", "gamma", "epsilon", "type", "shares", "terms", "x", "weight", "bias", "stabiliser", "entries", "where"]
KEYS += ["rule", "kinds", "path", "extends", "low", "high", "composite", "name", "parameters", "convention", "model"]
KEYS += ["inputs", "methods", "output", "exclude", "rules", "size", "family", "seed", "preset", "phrase", "required"]


def _toml(draw, place):
    tables = ["rules", "composites", "presets", "words", "methods", "experiments", "typo"]
    names = ["mine", "ours", "lrp_z", '"../../x"', '"a b"', '"x_{n}"', "gamma", '"\\u001b"', "z"]
    lines = []
    for table, name in {(draw.choice(tables), draw.choice(names)) for _ in range(draw.randrange(1, 4))}:
        lines.append(f"[{table}.{name}]")
        lines += [f"{key} = {_toml_value(draw)}" for key in draw.sample(KEYS, draw.randrange(4))]
    if draw.random() < 0.4:  # a file that is right, but for a word or two
        words = GOOD.split(" ")
        for _ in range(draw.choice([0, 1, 1, 2])):
            words[draw.randrange(len(words))] = draw.choice([*words, _toml_value(draw)])
        lines = [" ".join(words)]
    text = "\n".join(lines)
    if draw.random() < 0.1:
        text = text[: draw.randrange(len(text))] + draw.choice(string.printable)
    path = place.work / "out" / "fuzz.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    try:
        declared = sx.load(path)
        return [sx.explain(place.model, place.x, name).relevance for name in declared.methods]
    finally:
        process._FILES.clear()
        process.registry.cache_clear()


COMMON = [
    "--set",
    "--rule",
    "--config",
    "--layout",
    "--convention",
    "--backend",
    "--size",
    "--scale",
    "--mean",
    "--key",
]
EXPLAIN = ["--target", "--seed", "--batch-size", "--exclude", "--weights", "--max-memory", "--pictures", "--grey"]
FITTING = {"--target": ["0", "1,2", "4"], "--set": ["samples=2", "mu=0.5", "mu=@x.npy"], "--seed": ["logit", "one"]}
FITTING |= {"--batch-size": ["1", "2"], "--pictures": ["none", "sheets", "each"], "--rule": ["0=flat", "*=z"]}
FITTING |= {"--layout": ["channels_first"], "--convention": ["signxai"], "--backend": ["torch"], "--exclude": ["x*"]}
FITTING |= {"--max-memory": ["1", "100000"]}
VALUES = ["0", "1,2", "mu=0.5", "samples=2", "8x8", "0,1", "0=flat", "none", "mu=@out/fuzz.npy", "out/fuzz.toml"]


def _command(draw, place):
    command = draw.choice(["explain"] * 6 + ["plan", "show", "methods", "recompute", "run", "rules", "compare"])
    files = [
        "x.npy",
        "x.csv",
        "out/fuzz.png",
        "out/fuzz.npy",
        "out/fuzz.csv",
        "out/explanations.npz",
        "absent",
        ".",
        *TEXTS[:6],
    ]
    model = f"{place.module}:{draw.choice([*['images'] * 9, 'built', 'series', 'number', 'absent'])}"
    arguments = {
        "explain": [
            model if draw.random() < 0.95 else draw.choice(TEXTS),
            "x.npy" if draw.random() < 0.85 else draw.choice(files),
            "-m",
            _name(draw),
            "-o",
            "out",
        ],
        "plan": [model, draw.choice(files), "-m", _name(draw)],
        "show": [_name(draw)],
        "methods": [draw.choice([*TEXTS, "lrp*"])],
        "recompute": [draw.choice(files), model],
        "run": [draw.choice(["out/fuzz.toml", *files])],
        "rules": [],
        "compare": [model, model, draw.choice(files), "-m", _name(draw)],
    }[command]
    common = ["--config"] if command in ("show", "methods", "rules", "recompute") else COMMON
    options = {"explain": EXPLAIN + COMMON, "run": ["--overwrite"]}.get(command, common)
    for _ in range(draw.choice([0, 0, 0, 1, 1, 2])):
        option = draw.choice(options)
        arguments.append(option)
        if option not in ("--overwrite", "--grey"):
            arguments.append(draw.choice(FITTING.get(option, VALUES) if draw.random() < 0.7 else VALUES + TEXTS))
    if command == "explain" and draw.random() < 0.8:
        arguments.append("--overwrite")
    # What a shell could not hand over is left out.
    result = run(command, *(argument for argument in arguments if "\x00" not in argument))
    if result.exception is not None:
        raise _refused(result)
    archive = place.work / "out" / "explanations.npz"
    if command == "explain" and result.exit_code == 0 and archive.exists():
        with np.load(archive) as found:
            return [found[key] for key in found if key.startswith("maps/")]
    return []


def _refused(result):
    """Return the error of a command; wrong usage is one that the command line found, with status 2."""
    wrong_usage = isinstance(result.exception, SystemExit) and result.exit_code in (1, 2)
    return SignxaiError(result.output) if wrong_usage else result.exception


def _files(draw, place):
    """Write a file that is nearly one of its kind, and explain it."""
    folder = place.work / "out"
    folder.mkdir(exist_ok=True)
    kind = draw.choice(["npy", "csv", "npz"])
    buffer = io.BytesIO()
    if kind == "csv":
        cells = ["1", "0.5", "x", "nan", "", "1e50", '"', "1_0", "-2"]
        rows = ["ab"] * draw.randrange(2) + [draw.choice(",;\t ").join(draw.choices(cells, k=2)) for _ in range(12)]
        buffer.write("\n".join(rows).encode())
    elif kind == "npy":
        np.save(buffer, _numbers(draw), allow_pickle=True)
    else:
        np.savez(buffer, x=np.zeros((2, 1, 8, 8), dtype=np.float32), y=np.array(3))
    content = bytearray(buffer.getvalue())
    for _ in range(draw.choice([0, 1, 1, 5])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    (folder / f"fuzz.{kind}").write_bytes(bytes(content[: draw.choice([None, None, draw.randrange(len(content))])]))
    model = "series" if kind == "csv" else "images"
    return _explained(place, model, f"fuzz.{kind}", ["--key", "x"] if kind == "npz" else [])


def _images(draw, place):
    folder = place.work / "out"
    folder.mkdir(exist_ok=True)
    mode = draw.choice(["L", "RGB", "RGBA", "P", "1", "I;16", "F", "I", "CMYK", "LA"])
    suffix = draw.choice(["png", "tif", "jpg", "gif", "bmp"])
    array = (np.random.default_rng(draw.randrange(2**32)).random((8, 8)) * 65535).astype("f4")
    image = Image.fromarray(array.astype("u2")) if mode == "I;16" else Image.fromarray(array).convert(mode)
    buffer = io.BytesIO()
    try:
        tags = Image.Exif()
        tags[0x0112] = draw.randrange(10)
        image.save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()), exif=tags)
    except (OSError, ValueError, TypeError):
        return []  # this format has no such pixels
    content = bytearray(buffer.getvalue())
    for _ in range(draw.choice([0, 0, 1, 5])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    (folder / f"fuzz.{suffix}").write_bytes(bytes(content))
    more = draw.choice(
        [[], ["--scale", "0,1"], ["--scale", "-1,1", "--size", "8x8"], ["--mean", "0.5", "--std", "0.5"]]
    )
    return _explained(place, "images", f"fuzz.{suffix}", ["--grey", *more])


def _explained(place, model, name, more):
    result = run("explain", f"{place.module}:{model}", f"out/{name}", "-m", "lrp_z", "-o", "out/maps_of", "--overwrite",
                 "--pictures", "none", *more)  # fmt: skip
    if result.exception is not None:
        raise _refused(result)
    with np.load(place.work / "out/maps_of/explanations.npz") as found:
        return [found["maps/lrp_z"]]


SURFACES = {"api": _api, "names": _names, "toml": _toml, "command": _command, "files": _files, "images": _images}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_outcome_is_a_finite_map_or_an_error_of_the_library(place, surface, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    place = _Called(place.root, place.work, place.module, model, np.load("x.npy"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    before, path = _tree(place), [*sys.path]
    outcomes = {"maps": 0, "errors": 0}
    for number in range(COUNT // len(SURFACES)):
        draw = random.Random(f"{START}-{surface}-{number}")  # noqa: S311 - no secret
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                maps = SURFACES[surface](draw, place)
        except SignxaiError:
            outcomes["errors"] += 1
            continue
        except BaseException as error:
            raise AssertionError(
                f"call {number} of {surface!r}, SIGNXAI_SEED={START}: {type(error).__name__}: {error}"
            ) from error
        assert all(np.isfinite(relevance).all() for relevance in maps), (
            f"call {number} of {surface!r}, SIGNXAI_SEED={START}"
        )
        outcomes["maps"] += 1
    assert _tree(place) == before
    assert [*sys.path] == path
    assert outcomes["maps"], outcomes
    assert outcomes["errors"], outcomes


@attrs.frozen(eq=False)
class _Called(Place):
    """The place, and the model and input of calls in Python."""

    model: object
    x: object
