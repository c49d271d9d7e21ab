"""A progress bar on the terminal's standard error, and none where nobody is watching."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress


@contextlib.contextmanager
def bar(console: Console, text: str) -> Iterator[bool | Callable[[int, int], None]]:
    """Yield what ``progress=`` takes: a function on a terminal, else ``False``."""
    if not console.is_terminal:
        yield False
        return
    with Progress(console=console, transient=True) as shown:
        task = shown.add_task(text, total=None)

        def update(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield update
