"""What every command prints the same way: errors, checks, tables and JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cleanplate.errors import CleanplateError

if TYPE_CHECKING:
    from cleanplate.app.checks import Check

JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for scripts.")]

_MARKS: Final = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "failed": "[red]✗[/red]"}

_PIPE_WIDTH: Final = 1000
"""Whoever reads a pipe looks for lines: there is no screen for which they had to be broken."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a plain value as JSON, nothing else."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def new_table(*headings: str) -> Table:
    """A table without lines; without a head if it has no headings."""
    table = Table(*headings, box=None, pad_edge=False, show_header=bool(headings), header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal is, and a row to a line where there is none."""
    console = out if out.is_terminal else Console(file=out.file, width=_PIPE_WIDTH, highlight=False)
    console.print(table)


def print_failures(heading: str, failures: Iterable[tuple[int, str]]) -> None:
    """Print which tasks failed, and why; nothing if none did."""
    table = new_table()
    for task_id, message in failures:
        table.add_row(f"task {task_id}", escape(message))
    if table.row_count:
        out.print(f"[bold]{heading}[/bold]")
        print_table(table)
        out.print()


def print_check(check: "Check") -> None:
    """Print what was found, and below it what to do."""
    out.print(f"{_MARKS[check.outcome]} [bold]{escape(check.name)}[/bold]  {escape(check.message)}", soft_wrap=True)
    if check.remedy:
        out.print(f"  [dim]→[/dim] {escape(check.remedy)}", soft_wrap=True)


def check_json(check: "Check") -> dict[str, str]:
    """A check as scripts get it."""
    return {"name": check.name, "outcome": check.outcome, "message": check.message, "remedy": check.remedy}


@contextmanager
def errors_as_sentences(*, as_json: bool = False) -> Iterator[None]:
    """End the command with exit code 1 and a sentence where cleanplate refuses or fails."""
    try:
        yield
    except CleanplateError as error:
        if as_json:
            print_json(_json(error))
        else:
            err.print(f"[bold red]✗[/bold red] {escape(str(error))} [dim]({error.reason})[/dim]", soft_wrap=True)
        raise typer.Exit(1) from None


def _json(error: CleanplateError) -> Mapping[str, Any]:
    return {"error": {"reason": error.reason, "message": str(error), "transient": error.transient}}
