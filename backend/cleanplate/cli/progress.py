"""How far a long command is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cleanplate.cli.output import err

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Callable[[str, int], None]]:
    """Something to call with the name of what is at hand and how many more are done."""
    columns = (
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("·"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("to go  [dim]{task.description}[/dim]"),
    )
    with Progress(*columns, console=err, disable=not shown, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda name, done: bar.update(task, description=escape(name), advance=done)
