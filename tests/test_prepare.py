"""``signxai prepare``, and that everything it writes is used by a command of its README and works."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from signxai_core import ecg
from signxai_core.cli.app import app
from signxai_core.errors import BackendError, FileError
from signxai_core.prepare import ptb_xl, work
from signxai_core.prepare.notebooks import notebook

#: Keras' own, when it writes a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    result = run("prepare", folder)
    assert result.exception is None, result.output
    return folder, result.output


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def commands(folder, name="README.md"):
    text = (folder / name).read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line for line in lines if line]


def expanded(folder, command):
    """Return a command's words, wildcards replaced by the files."""
    found = []
    for word in shlex.split(command):
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.glob(word)) if "*" in word else []
        found += paths or [word]
    return found


def test_everything_is_there(prepared):
    folder, text = prepared
    names = written(folder)
    assert f"{len(names)} files in {folder}; begin with {folder / 'README.md'}" in text.replace("\n", "")
    for ending, count in ((".hea", 5), (".dat", 5), (".safetensors", 3), (".keras", 3), (".py", 2), (".ipynb", 2)):
        assert sum(name.endswith(ending) for name in names) == count, ending
    recording = ecg.read(folder / "ecg/ischaemia.hea")
    assert (recording.leads, recording.sampling_rate, recording.seconds) == (ecg.STANDARD_LEADS, 500, 10)
    with Image.open(folder / "shapes/triangle.png") as image:
        assert image.size == (48, 48)


def test_every_file_is_used_by_a_command(prepared):
    folder, _ = prepared
    used = {word for command in commands(folder) for word in expanded(folder, command)}
    used |= {name.replace(".hea", ".dat") for name in used}
    used |= set(re.findall(r"jupyter lab (\S+\.ipynb)", (folder / "README.md").read_text()))
    assert written(folder) - used == {"README.md"}


def test_existing_files_are_kept(prepared):
    error = run("prepare", prepared[0]).exception
    assert isinstance(error, FileError)
    assert "exist already" in str(error)


@pytest.mark.parametrize("number", range(4))
def test_commands_for_torch(prepared, number, monkeypatch, tmp_path):
    folder, _ = prepared
    monkeypatch.chdir(folder)
    chosen = [command for command in commands(folder) if command.startswith("signxai explain signxai_torch")]
    assert len(chosen) == 4
    words = expanded(folder, chosen[number])[1:]
    words[words.index("--output") + 1] = str(tmp_path / "explained")
    result = run(*words)
    assert result.exception is None, result.output
    expected = [name.replace("_", " ") for name in re.findall(r"(?:ecg|shapes)/(\w+)\.(?:hea|png)", " ".join(words))]
    table = (tmp_path / "explained/table.csv").read_text()
    assert all(name in table for name in expected)  # the network is right about each
    assert list((tmp_path / "explained/maps").glob("*.png"))


@pytest.mark.parametrize("name", ["ecg", "shapes", "photographs"])
def test_commands_for_keras(prepared, name, monkeypatch, tmp_path):
    folder, _ = prepared
    monkeypatch.chdir(folder)
    (chosen,) = [command for command in commands(folder) if command.endswith(f"explained/keras_{name}")]
    words = expanded(folder, chosen)[1:]
    words[words.index("--output") + 1] = str(tmp_path / "explained")
    result = run(*words)
    assert result.exception is None, result.output
    if name == "shapes":
        assert "triangle.png, target 3, triangle" in result.output


@pytest.mark.parametrize("name", ["ecg", "judge"])
def test_scripts(prepared, name):
    folder, _ = prepared
    done = subprocess.run(
        [sys.executable, f"scripts/{name}.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = {"ecg": {"ecg.pdf", "beat.png", "beats.png", "leads.png"}, "judge": {"shapes.png"}}[name]
    assert figures <= {path.name for path in (folder / "figures").iterdir()}


def test_notebooks_are_the_scripts(prepared):
    folder, _ = prepared
    for name in ("ecg", "judge"):
        cells = json.loads((folder / f"tutorials/{name}.ipynb").read_text())["cells"]
        script = (folder / f"scripts/{name}.py").read_text()
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        assert all(part in script for part in code)
        assert sum(map(len, code)) > 0.5 * len(script)
        assert cells[0]["cell_type"] == "markdown"
        assert cells[0]["source"][0].startswith("# ")


def test_notebook_of_cells():
    made = json.loads(notebook("# %% [markdown]\n# Text\n#\n# more\n# %%\nx = 1\n\ny = 2\n"))
    assert [cell["source"] for cell in made["cells"]] == [["Text\n", "\n", "more"], ["x = 1\n", "\n", "y = 2"]]
    assert made["cells"][1]["outputs"] == []


def test_without_a_framework(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_PACKAGES", {"absent_framework": "nowhere"})
    error = run("prepare", tmp_path).exception
    assert isinstance(error, BackendError)
    assert str(error) == "signxai prepare needs PyTorch or TensorFlow: pip install 'signxai-core[torch]'"


# PTB-XL


@pytest.fixture
def physionet(tmp_path):
    """Files of a record as PhysioNet has them, and a function that serves them."""
    place = tmp_path / "served"
    place.mkdir()
    signal = np.random.default_rng(0).normal(0, 0.2, (12, 5000))
    for record in ptb_xl.RECORDS:
        ecg.write(ecg.from_array(signal, 500, name=f"{record}_hr"), place)
    asked = []

    def opened(address, timeout):
        asked.append(address)
        return io.BytesIO((place / Path(address).name).read_bytes())

    return asked, opened, place


def test_records_of_ptb_xl(physionet, tmp_path):
    asked, opened, _ = physionet
    headers = ptb_xl.fetch(tmp_path / "ptb-xl", opened)
    assert [header.name for header in headers] == [f"{record}_hr.hea" for record in ptb_xl.RECORDS]
    assert asked[0] == "https://physionet.org/files/ptb-xl/1.0.3/records500/02000/02906_hr.hea"
    assert asked[-1] == "https://physionet.org/files/ptb-xl/1.0.3/records500/14000/14493_hr.dat"
    assert ecg.read(headers[0]).seconds == 10


def test_records_that_cannot_be_had(physionet, tmp_path):
    _, opened, place = physionet

    def offline(address, timeout):
        raise OSError("no route to host")

    with pytest.raises(FileError, match=r"cannot fetch https://physionet.org/.*02906_hr.hea: no route to host"):
        ptb_xl.fetch(tmp_path / "ptb-xl", offline)
    ecg.write(ecg.from_array(np.zeros((12, 500)), 100, name="02906_hr"), place)
    with pytest.raises(FileError, match=r"is not what PTB-XL holds: .* expected 12 leads, 10 s, 500 Hz"):
        ptb_xl.fetch(tmp_path / "ptb-xl", opened)
