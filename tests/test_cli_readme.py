"""Everything that README.md says is run: its code, its table, its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from signxai_core.cli import listing
from signxai_core.errors import FileError

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [code for kind, code in FENCE.findall(README.read_text("utf-8")) if kind == language]


def module_name(code):
    found = re.match(r"# (\w+\.py)\n", code)
    return found.group(1) if found else None


@pytest.fixture(scope="module")
def plugin_folder(tmp_path_factory):
    """The README's plug-ins, as a distribution with the README's entry points."""
    folder = tmp_path_factory.mktemp("readme")
    for code in blocks("python"):
        if module_name(code):
            (folder / module_name(code)).write_text(code, "utf-8")
    (entry_points,) = [code for code in blocks("toml") if "entry-points" in code]
    info = folder / "readme_plugins-1.0.dist-info"
    info.mkdir()
    lines = entry_points.replace("[project.entry-points.signxai]", "[signxai]").replace('"', "")
    (info / "entry_points.txt").write_text(lines)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: readme-plugins\nVersion: 1.0\n")
    return folder


SCRIPTS = [code for code in blocks("python") if not module_name(code)]


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_code_runs(number, plugin_folder):
    paths = [str(plugin_folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:signxai_core", "-c", SCRIPTS[number]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_readme_has_the_promised_code():
    names = [module_name(code) for code in blocks("python")]
    assert [name for name in names if name] == ["my_rules.py", "my_words.py", "signxai_sklearn.py"]
    assert len(SCRIPTS[0].strip().splitlines()) <= 6  # the five-line example


def test_setup_commands():
    commands = [line for code in blocks("sh") for line in code.splitlines()]
    assert 'pip install -e ".[torch,demo]" && signxai demo' in commands
    assert 'pip install -e ".[dev]" && pytest' in commands


def test_table_of_methods_is_up_to_date(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_bytes(README.read_bytes())
    assert not listing.update(copy), "run: signxai methods --update README.md"
    assert copy.read_bytes() == README.read_bytes()


def test_table_is_updated_between_the_markers_only(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{listing.START}\nold\n{listing.END}\nafter\n", "utf-8")
    assert listing.update(page)
    text = page.read_text("utf-8")
    assert text.startswith(f"before\n{listing.START}\n| Group")
    assert text.endswith(f"|\n{listing.END}\nafter\n")
    assert "old" not in text
    assert not listing.update(page)


def test_table_needs_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(FileError, match=r"page.md lacks the markers <!-- methods:start --> and <!-- methods:end -->"):
        listing.update(page)
    assert page.read_text() == "nothing\n"
    with pytest.raises(FileError, match=r"cannot read .*absent.md"):
        listing.update(tmp_path / "absent.md")


def test_ci_runs_the_readmes_command():
    assert "README.md" in (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
