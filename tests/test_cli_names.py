# ruff: noqa: F811 - fixtures
"""Names of inputs: what becomes of them in file names, pictures, tables and on the terminal."""

from __future__ import annotations

import csv
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_cli import place, run, succeed  # noqa: F401 - a fixture
from test_config import clean_registry, load  # noqa: F401 - fixtures

from signxai_core.cli import app as application
from signxai_core.cli.app import main
from signxai_core.cli.naming import file_names, picture_names
from signxai_core.cli.printing import printable
from signxai_core.errors import ConfigError, InputError

ESCAPE = "\x1b[2Jevil\x07"


def _images(folder, names):
    for index, name in enumerate(names):
        Image.new("L", (8, 8), 40 * index).save(folder / name, format="PNG")
    return names


@pytest.mark.parametrize(
    "names",
    [
        ("x y.png", "x+y.png", "x_y.png_0"),
        ("x.png", "X.PNG"),
        ("a", "a_guided"),
        ("é.png", "e\u0301.png"),
        ("n" * 200 + "1.png", "n" * 200 + "2.png"),
        ("---", "..."),
    ],
)
def test_every_sample_and_method_has_its_own_picture(place, tmp_path, names):
    (tmp_path / "images").mkdir()
    paths = [f"images/{name}" for name in _images(tmp_path / "images", names)]
    succeed("explain", f"{place}:images", *paths, "--grey", "-m", "grad_cam", "-m", "guided_grad_cam", "-o", "out")
    files = [path.name for path in (tmp_path / "out/maps").iterdir()]
    assert len({name.casefold() for name in files}) == len(files) == 2 * len(names)
    with (tmp_path / "out/table.csv").open(encoding="utf-8") as file:
        assert [row["sample"] for row in csv.DictReader(file)] == [name for name in names for _ in range(2)]


@given(st.lists(st.text(), max_size=8))
def test_file_names_are_safe_and_different(texts):
    found = file_names(texts)
    assert len({name.casefold() for name in found}) == len(texts)
    for name in found:
        assert os.path.basename(name) == name  # noqa: PTH119 - that is what it says
        assert name not in ("", ".", "..")
        assert not name.startswith(".")
        assert name.isprintable()
        assert "\\" not in name
        assert len(name.encode()) <= 120


@given(
    st.lists(st.text(max_size=8), max_size=4),
    st.lists(st.from_regex(r"[a-z]+(_[a-z]+)*", fullmatch=True), unique=True, max_size=4),
)
def test_names_of_pictures_are_different(labels, methods):
    found = picture_names(labels, methods)
    assert len(found) == len(labels) * len(methods)
    assert len({name.casefold() for name in found.values()}) == len(found)
    assert all(len(name.encode()) <= 255 for name in found.values())


# The terminal


def test_control_characters_of_file_names_reach_neither_terminal_nor_table(place, tmp_path):
    _images(tmp_path, [f"{ESCAPE}.png"])
    result = run("explain", f"{place}:images", f"{ESCAPE}.png", "--grey", "-m", "gradient", "-o", "out")
    assert result.exit_code == 0
    assert "\\x1b[2Jevil\\x07.png" in result.stdout
    assert "\x1b[2J" not in result.output
    assert "\x1b" not in (tmp_path / "out/table.csv").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there")
def test_file_names_that_are_no_text(place, tmp_path):
    name = os.fsdecode(b"bad\xff.png")
    _images(tmp_path, [name])
    assert run("explain", f"{place}:images", name, "--grey", "-m", "gradient", "-o", "out").exit_code == 0
    assert "bad\\udcff.png" in (tmp_path / "out/table.csv").read_text()


def test_control_characters_in_errors_and_warnings(monkeypatch, capsys):
    def broken(_, **__):
        application.warnings.warn(f"mind {ESCAPE}", InputWarning, stacklevel=1)
        raise InputError(f"no {ESCAPE}")

    class InputWarning(application.SignxaiWarning):
        pass

    monkeypatch.setattr(application, "matching", broken)
    monkeypatch.setattr(sys, "argv", ["signxai", "methods"])
    with application.warnings.catch_warnings():
        application.warnings.simplefilter("always")
        with pytest.raises(SystemExit):
            main()
    assert capsys.readouterr().err == "warning: mind \\x1b[2Jevil\\x07\nerror: no \\x1b[2Jevil\\x07\n"


def test_control_characters_in_the_plan(place, tmp_path):
    (tmp_path / f"{place}_odd.py").write_text(
        "from torch import nn\n"
        "def model():\n"
        "    found = nn.Sequential(nn.Flatten())\n"
        f"    found.add_module({ESCAPE!r}, nn.Linear(64, 2))\n"
        "    return found\n"
    )
    text = succeed("plan", f"{place}_odd:model", "x.npy", "-m", "lrp_z")
    assert "\\x1b[2Jevil\\x07 (linear)" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("text", "place_in_file"),
    [
        ('[rules.a]\ntype = "pass"\nx = "\\u001b[2J"', "rules.a.x"),
        ('[presets.A]\nreference = "a\\u0007"', "presets.A.reference"),
        (
            '[composites.a]\nentries = [{ where = { path = "\\u009b2J" }, rule = "z" }]',
            "composites.a.entries[0].where.path",
        ),
        ('[methods.a]\nname = "lrp_z"\nparameters = { "\\u001b" = 1 }', "methods.a.parameters"),
    ],
)
def test_control_characters_in_a_file_are_refused(load, text, place_in_file):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.problems[0].startswith(f"{place_in_file}: a text with characters that cannot be printed: '")
    assert all(problem.isprintable() for problem in caught.value.problems)


def test_printable():
    assert printable("a\tb\nç ü 数") == "a\tb\nç ü 数"
    assert printable("\x1b[31m\r\x9b\u202e\udcff") == "\\x1b[31m\\r\\x9b\\u202e\\udcff"


@pytest.mark.parametrize("pictures", ["each", "sheets"])
def test_a_dollar_is_no_formula(place, tmp_path, pictures):
    name = "cost $\\frac$.csv"
    (tmp_path / "x.csv").rename(tmp_path / name)
    succeed("explain", f"{place}:series", name, "-m", "gradient", "-o", "out", "--pictures", pictures)
    np.testing.assert_equal(len(list((tmp_path / "out").rglob("*.png"))), 1)
