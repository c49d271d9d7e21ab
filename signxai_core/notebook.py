"""An explanation in a notebook: a table, and maps where they can be drawn."""

from __future__ import annotations

import html
from collections.abc import Iterator

from signxai_core.explanation import Explanation
from signxai_core.extras import MissingPackageError

#: Samples that the table shows.
_ROWS = 10


def render(explanation: Explanation) -> str:
    """Return HTML: what was explained, maps of the first samples, one row per sample."""
    shape = "×".join(map(str, explanation.relevance.shape))
    head = f"<b>{html.escape(explanation.method)}</b>, {shape}, {explanation.backend}, {explanation.convention}"
    rows = "".join(_rows(explanation))
    names = ("sample", "target", "sum", "started from", "gap")
    header = "".join(f"<th>{name}</th>" for name in names)
    more = len(explanation.relevance) - _ROWS
    rest = f"<div>and {more} more samples</div>" if more > 0 else ""
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div><div>{head}</div><div>{_pictures(explanation)}</div>{table}{rest}</div>"


def _pictures(explanation: Explanation) -> str:
    try:
        from signxai_core import plot  # noqa: PLC0415 - matplotlib is an extra

        return plot.html(explanation)
    except MissingPackageError as error:
        return f"<small>{html.escape(str(error))}</small>"


def _rows(explanation: Explanation) -> Iterator[str]:
    kept = explanation.conservation
    for sample in range(min(_ROWS, len(explanation.relevance))):
        target = "" if explanation.target is None else str(int(explanation.target[sample]))
        cells = (sample, target, *(f"{float(v[sample]):.4g}" for v in (kept.total, kept.expected, kept.gap)))
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
