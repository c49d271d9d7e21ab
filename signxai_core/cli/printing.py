"""Texts for the terminal: names of files and layers may hold characters that steer it."""

from __future__ import annotations

from rich.console import Console


def printable(text: str) -> str:
    r"""Write every character that a terminal would act on, or could not show, as an escape.

    Examples
    --------
    >>> printable("\x1b[2J ü")
    '\\x1b[2J ü'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print one line as it is, without markup, colours of its own or line breaks of the console's."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)
