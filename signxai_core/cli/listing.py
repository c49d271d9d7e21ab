"""Lists: methods as text, JSON and Markdown; plugins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

import signxai_core as sx
from signxai_core.cli import files
from signxai_core.cli.recompute import Comparison
from signxai_core.errors import FileError
from signxai_core.grammar import parameters
from signxai_core.registry import Owned, Registry, registry
from signxai_core.specs import MISSING, MethodSpec

START = "<!-- methods:start -->"
END = "<!-- methods:end -->"

#: What the groups of the table are called; a plugin's own prefix or family stands for itself.
_HEADINGS = {
    "gradient": "Gradient family",
    "cam": "Class-activation maps",
    "control": "Control",
    "lrp": "LRP",
    "lrpsign": "LRP, SIGN at the input layer",
    "lrpz": "LRP, z at the input layer",
    "zblrp": "LRP, zB at the input layer",
    "w2lrp": "LRP, w² at the input layer",
    "flatlrp": "LRP, flat at the input layer",
}


def group(spec: MethodSpec) -> str:
    """Return the group of a method: its prefix, or its family."""
    return spec.prefix or spec.family


def heading(key: str) -> str:
    """Return what a group is called."""
    return _HEADINGS.get(key, key)


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort names into their groups, both in the order given."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group(sx.parse(name)), []).append(name)
    return groups


def as_json(names: Sequence[str]) -> list[dict[str, Any]]:
    """Describe methods for other programs."""
    found = []
    listed = registry().methods
    for name in names:
        spec = sx.parse(name)
        values = {key: parameter.value for key, parameter in parameters(spec, registry()).items()}
        found.append(
            {
                "name": name,
                "family": spec.family,
                "group": group(spec),
                "owner": listed[name].owner if name in listed else None,
                "seed": spec.seed,
                "parameters": list(values),
                "required": [key for key, value in values.items() if value is MISSING],
            }
        )
    return found


def markdown() -> str:
    """Return the listed methods as a Markdown table."""
    lines = ["| Group | Count | Names |", "|---|---:|---|"]
    for key, names in grouped(sx.methods()).items():
        lines.append(f"| {heading(key)} | {len(names)} | {' '.join(f'`{name}`' for name in names)} |")
    return "\n".join(lines)


def update(path: Path) -> bool:
    """Put the table between the markers of a Markdown file; return whether anything changed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise FileError(f"{path} lacks the markers {START} and {END}, between which the table goes")
    updated = f"{before}{START}\n{markdown()}\n{END}{after}"
    if updated != text:
        files.write(path, updated.encode())
    return updated != text


def comparisons(found: Sequence[Comparison]) -> Table:
    """Return how maps computed again compare with those of a file."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("method", "max |difference| / max |R|", "specification"):
        table.add_column(column, overflow="fold")
    for entry in found:
        table.add_row(entry.method, f"{entry.difference:.2g}", entry.meaning)
    return table


def plugins(found: Registry) -> Table:
    """Return the plugins and what became of them."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("plugin", "module", "distribution", "status"):
        table.add_column(column, overflow="fold")
    for info in found.plugins:
        table.add_row(info.name, info.value, info.distribution, info.status)
    return table


def rules(found: Registry) -> Table:
    """Return the rules, who registered each, and where it comes from."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("rule", "plugin", "reference"):
        table.add_column(column, overflow="fold")
    for name, owned in found.rules.items():
        table.add_row(name, owned.owner, owned.entry.reference)
    return table


def entries(found: Registry) -> Table:
    """Return everything that the plugins registered."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "plugin", "names"):
        table.add_column(column, overflow="fold")
    tables = {
        "rules": found.rules,
        "composites": found.composites,
        "words": found.words,
        "presets": found.presets,
        "backends": found.backends,
        "operations": found.operations,
        "readings": found.readings,
        "classes of rules": found.rule_classes,
        "probes": found.probes,
    }
    for kind, owned in tables.items():
        for owner in dict.fromkeys(item.owner for item in owned.values()):
            table.add_row(kind, owner, ", ".join(_owned_by(owner, owned)))
    return table


def _owned_by(owner: str, table: Any) -> list[str]:
    return [name for name, item in table.items() if isinstance(item, Owned) and item.owner == owner]
