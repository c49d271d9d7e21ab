"""The command line, as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from typer.testing import CliRunner

import signxai_core as sx
from signxai_core.cli import app as application
from signxai_core.cli.app import app, main
from signxai_core.errors import FileError, InputError, NameSyntaxError, SignxaiError
from signxai_core.registry import build
from signxai_core.registry.manager import PluginInfo, Problem

MODELS = """
import torch
from torch import nn


def images():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def series():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10, 3))


built = images()
number = 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a module of models and some inputs, to be the current one."""
    name = f"models_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODELS)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    rows = "\n".join(f"{i / 10},{i % 3}" for i in range(12))
    (tmp_path / "x.csv").write_text(f"a,b\n{rows}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "120")
    return name


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = run(*arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def fail(error, *arguments):
    result = run(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


# Methods, show, plugins


def test_count_of_methods():
    assert int(succeed("methods", "--count")) == len(sx.methods()) >= 152


def test_methods_by_pattern_and_family():
    assert succeed("methods", "lrpsign_*_mu_0").split() == [
        "lrpsign_epsilon_100_mu_0",
        "lrpsign_epsilon_0_25_std_x_mu_0",
    ]
    assert set(succeed("methods", "--family", "control").split()) == {"random_uniform"}
    assert int(succeed("methods", "*mu*", "--family", "gradient", "--count")) == 16


def test_methods_as_json():
    found = {entry["name"]: entry for entry in json.loads(succeed("methods", "--json"))}
    assert tuple(found) == sx.methods()
    assert found["gradient_x_sign_mu"]["required"] == ["mu"]
    assert found["lrpsign_epsilon_1"]["group"] == "lrpsign"


def test_no_method_matches():
    assert fail(InputError, "methods", "nothing_*") == (
        "no listed method matches 'nothing_*'; 'signxai methods' lists them all"
    )


def test_show_gives_formula_and_reference():
    text = " ".join(succeed("show", "lrpsign_epsilon_0_25_std_x_mu_0_5").split())
    assert "sgn(x − 0.5) ⊙ Wᵀ t" in text
    assert "t = R / (z + s(z)·0.25·std(x))" in text
    assert "Gumpfer et al. (2023)" in text


@pytest.mark.parametrize("name", sx.methods())
def test_show_every_method(name):
    assert sx.name(sx.parse(name)) in succeed("show", name)


def test_show_says_what_is_missing_misspelt_and_conventional():
    assert "mu: has to be given" in succeed("show", "gradient_x_sign_mu")
    assert "input_t_gradient, another spelling" in succeed("show", "input_t_gradient")
    assert "not folded" in succeed("show", "lrp_z", "--convention", "signxai")


def test_show_unknown_name():
    assert "did you mean: lrp_epsilon_1" in fail(NameSyntaxError, "show", "lrp_epsilo_1")


def test_plugins():
    text = succeed("plugins", "--verbose")
    assert "signxai_rules" in text
    assert "epsilon_{epsilon}_std_x" in " ".join(text.split())


def test_plugins_reports_problems(monkeypatch):
    broken = build({}, [PluginInfo("mine", "my_rules", "my-dist", "broken")], [Problem("mine", "import", "no luck")])
    monkeypatch.setattr(application, "discover", lambda: broken)
    result = run("plugins")
    assert result.exit_code == 0
    assert "my-dist" in result.stdout
    assert "problem: plugin 'mine', import: no luck" in result.stderr


# Exit status, purity


def _main(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["signxai", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, capsys.readouterr()


def test_an_error_is_a_message_and_status_1(monkeypatch, capsys):
    code, captured = _main(monkeypatch, capsys, "show", "no_such_method")
    assert code == 1
    assert captured.err.startswith("error: unknown method name 'no_such_method'")
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_wrong_usage_is_status_2(monkeypatch, capsys):
    code, captured = _main(monkeypatch, capsys, "explain", "m:f", "x.npy", "-m", "gradient", "-o", "o", "--size", "8")
    assert code == 2
    assert "expected HEIGHTxWIDTH" in captured.err


def test_unexpected_exceptions_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["signxai", "methods"])
    monkeypatch.setattr(application, "matching", lambda _, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()


def test_warnings_of_the_library_are_plain(monkeypatch, capsys):
    def warn(_, **__):
        application.warnings.warn("mind the gap", sx.errors.SignxaiWarning, stacklevel=1)
        return ["a"]

    monkeypatch.setattr(application, "matching", warn)
    with application.warnings.catch_warnings():
        application.warnings.simplefilter("always")
        code, captured = _main(monkeypatch, capsys, "methods")
    assert code == 0
    assert captured.err == "warning: mind the gap\n"


def test_version():
    assert succeed("--version").strip() == f"signxai-core {sx.__version__}"


@pytest.mark.parametrize("arguments", [["methods"], ["show", "lrp_z"], ["plugins", "-v"], ["--help"]])
def test_reading_the_registry_imports_no_framework(arguments):
    code = f"""
    import sys
    from signxai_core.cli import main
    sys.argv = ["signxai", *{arguments!r}]
    try:
        main()
    except SystemExit as stopped:
        assert not stopped.code, stopped.code
    heavy = {{"torch", "tensorflow", "keras", "matplotlib", "PIL", "sklearn", "jinja2"}} & set(sys.modules)
    assert not heavy, heavy
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_error_is_of_the_library():
    assert issubclass(FileError, SignxaiError)
