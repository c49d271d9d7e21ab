"""What the guides say is run, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from signxai_core import config
from signxai_core.config.load import _TABLES
from signxai_core.engine.backend import Backend
from signxai_core.engine.executor import Executor
from signxai_core.errors import ConfigError
from signxai_core.registry import registry
from signxai_core.specs import KINDS

DOCS = Path(__file__).parent.parent / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(name):
    return (DOCS / name).read_text("utf-8")


def blocks(name, language):
    return [code for kind, code in FENCE.findall(text(name)) if kind == language]


@pytest.mark.parametrize(
    ("name", "number"),
    [(page.name, i) for page in sorted(DOCS.glob("*.md")) for i in range(len(blocks(page.name, "python")))],
)
def test_code_runs(name, number, tmp_path):
    (tmp_path / "ours.toml").write_text(blocks("config.md", "toml")[0])
    code = blocks(name, "python")[number]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_mistakes_are_reported_as_shown(tmp_path):
    good = blocks("config.md", "toml")[0].partition("[words.")[0]
    bad = good.replace('use = "gamma"', 'use = "gama"').replace('{ kinds = ["dense"] }', '{ kinds = ["dens"] }')
    (tmp_path / "ours.toml").write_text(bad.replace('rule = "soft"', 'rule = "flat"'))
    with pytest.raises(ConfigError) as caught:
        config.read(tmp_path / "ours.toml", registry())
    for line in blocks("config.md", "text")[0].splitlines():
        assert line.strip().removesuffix(", ...").removesuffix(" ...") in str(caught.value)


def test_every_table_is_there():
    for table in _TABLES:
        assert f"`{table}.NAME`" in text("config.md")


def test_every_entry_of_the_contract_and_every_kind_is_there():
    entries = [name for name in {**Backend.__annotations__, **vars(Backend)} if not name.startswith("_")]
    assert len(entries) > 15
    for name in (*entries, *KINDS):
        assert f"`{name}`" in text("backends.md"), name


def test_every_attribute_of_an_engine_of_its_own_is_there():
    entries = [name for name in {**Executor.__annotations__, **vars(Executor)} if not name.startswith("_")]
    assert len(entries) == 4
    for name in entries:
        assert f"| `{name}` |" in text("backends.md"), name
