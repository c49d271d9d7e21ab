# ruff: noqa: F811 - fixtures
"""What is imported from the current folder: the module that was named, what it imports itself, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from test_cli import fail, place, succeed  # noqa: F401 - a fixture

from signxai_core.cli import models
from signxai_core.errors import ModelError

TRAP = "raise SystemExit('the trap was imported')\n"


def _load(path):
    return models.load(path, weights=None, backend=None)


def test_a_file_beside_the_data_is_not_imported_for_a_library(place, tmp_path):
    """matplotlib draws the pictures, after the model was loaded; the others are imported at other moments."""
    for name in ("matplotlib", "PIL", "scipy", "rich", "random", "torchvision", "jinja2"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    code = "from signxai_core.cli import main; main()"
    arguments = ["explain", f"{place}:images", "x.npy", "-m", "gradient", "-m", "grad_cam", "-o", "out"]
    start = f"import sys; sys.path[:] = [p for p in sys.path if p not in ('', {str(tmp_path)!r})]; "
    done = subprocess.run([sys.executable, "-c", start + code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the trap" not in done.stderr


def test_the_current_folder_does_not_stay_on_the_path(place):
    before = [*sys.path], [*sys.meta_path]
    _load(f"{place}:images")
    assert ([*sys.path], [*sys.meta_path]) == before
    fail(ModelError, "plan", "no_such_module:f", "x.npy", "-m", "lrp_z")
    assert ([*sys.path], [*sys.meta_path]) == before


def test_a_module_imports_its_neighbours(place, tmp_path):
    name = f"{place}_with_neighbours"
    (tmp_path / f"{name}_layers.py").write_text("from torch import nn\nbody = nn.Flatten()\n")
    (tmp_path / f"{name}_late.py").write_text("from torch import nn\nhead = nn.Linear(64, 2)\n")
    (tmp_path / f"{name}.py").write_text(
        f"from torch import nn\nfrom {name}_layers import body\n"
        f"def build():\n    from {name}_late import head\n    return nn.Sequential(body, head)\n"
    )
    assert len(_load(f"{name}:build")) == 2


def test_packages_and_their_modules(place, tmp_path):
    package = tmp_path / f"{place}_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner/__init__.py").write_text("")
    (package / "inner/nets.py").write_text("from ..common import build\n")
    (package / "common.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(2, 2)\n")
    assert _load(f"{place}_package.inner.nets:build").in_features == 2


def test_the_named_module_is_taken_from_the_current_folder_first(place, tmp_path, monkeypatch):
    """A module 'this' of the user's own wins over the standard library's, for the name that the user gave."""
    monkeypatch.delitem(sys.modules, "this", raising=False)
    (tmp_path / "this.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 2)\n")
    assert _load("this:build").in_features == 3
    monkeypatch.delitem(sys.modules, "this", raising=False)


def test_an_installed_module_works_from_anywhere(place):
    assert _load("torch.nn:Identity") is not None


def test_what_a_module_lacks_is_still_said(place, tmp_path):
    (tmp_path / f"{place}_lacks.py").write_text("import surely_not_installed\n")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        _load(f"{place}_lacks:build")
    text = fail(ModelError, "plan", f"{place}_absent:f", "x.npy", "-m", "lrp_z")
    assert f"no module '{place}_absent' in {tmp_path}" in text


def test_the_model_is_named_last(place, tmp_path):
    """What else a call holds is checked before any module is imported."""
    (tmp_path / f"{place}_loud.py").write_text(TRAP)
    for more, message in (
        (("-m", "lrp_zz"), "unknown method name 'lrp_zz'"),
        (("-m", "lrp_z", "--rule", "0=gama"), "unknown rule 'gama'"),
        (("-m", "lrp_z", "--set", "mu=1"), "takes the parameter 'mu'"),
    ):
        text = fail(Exception, "explain", f"{place}_loud:build", "x.npy", *more, "-o", "out")
        assert message in text
    text = fail(Exception, "explain", f"{place}_loud:build", "absent.npy", "-m", "lrp_z", "-o", "out")
    assert "the input absent.npy is not a file" in text
    (tmp_path / "e.toml").write_text(
        f'[experiments.e]\nmodel = "{place}_loud:build"\noutput = "o"\ninputs = ["absent.npy"]\nmethods = ["lrp_z"]\n'
    )
    assert "absent.npy is not a file" in fail(Exception, "run", "e.toml")
    (tmp_path / "e.toml").write_text(
        (tmp_path / "e.toml").read_text().replace('"lrp_z"', '"lrp_zz"').replace("absent", "x")
    )
    assert "unknown method name 'lrp_zz'" in fail(Exception, "run", "e.toml")


def test_help_says_what_is_run():
    assert "runs its code" in " ".join(succeed("explain", "--help").replace("│", " ").split())
    assert "runs its graph" in " ".join(succeed("explain", "--help").replace("│", " ").split())
    text = " ".join(succeed("run", "--help").replace("│", " ").split())
    assert "Imports the module that the file names, after everything else was checked" in text
