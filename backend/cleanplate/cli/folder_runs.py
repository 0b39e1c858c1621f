"""What a person sees of a folder's run: how far it is, what became of each image, and what went wrong."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.markup import escape

from cleanplate.app.application import Application
from cleanplate.cli.folders import FolderRun, Outcome, Places, Result, items_in
from cleanplate.cli.output import err, errors_as_sentences, new_table, out, print_table
from cleanplate.cli.progress import INTERRUPTED, progress
from cleanplate.errors import NotAnImageError

if TYPE_CHECKING:
    from cleanplate.cli.removal import Removal
    from cleanplate.settings import Settings

_SAID: Final = {
    Outcome.MADE: "[green]{count} made[/green]",
    Outcome.UNCHANGED: "{count} there already",
    Outcome.NOTHING_FOUND: "{count} in which nothing was found, not copied",
    Outcome.NO_MASK: "[yellow]{count} without a mask, not copied[/yellow]",
    Outcome.FAILED: "[red]{count} failed[/red]",
}


def clean_folder(
    settings: "Settings", removal: "Removal", places: Places, *, rename: bool, overwrite: bool, as_json: bool
) -> None:
    """Make the copies of a folder and tell about it. The exit code is 1 if an image has none that should have."""
    results: list[Result] = []
    interrupted = False
    with errors_as_sentences(as_json=as_json):
        places.require_apart()
        application = Application(settings)
        names = application.names if rename else None
        run = FolderRun(places, removal, application.ledger, names=names, overwrite=overwrite)
        items = items_in(places, keep_names=not rename)
        if not items:
            raise NotAnImageError(f"there is no JPEG, PNG, WebP or TIFF image in {places.images}")
        try:
            with progress(len(items), shown=err.is_terminal and not as_json) as step:
                for item in items:
                    step(_shown(item.name), 0)
                    result = run.result_of(item)
                    results.append(result)
                    step(_shown(item.name), 1)
                    if as_json:
                        typer.echo(json.dumps(_json(result), ensure_ascii=False))
        except KeyboardInterrupt:
            interrupted = True
    left = len(items) - len(results)
    if as_json:
        counts = Counter(result.outcome for result in results)
        summary = {str(outcome): counts[outcome] for outcome in Outcome} | {"left": left}
        typer.echo(json.dumps({"summary": summary}))
    else:
        _print_results(results, places)
        if interrupted:
            err.print(f"[yellow]Stopped with {left} to go.[/yellow] The same command goes on from here.")
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _print_results(results: list[Result], places: Places) -> None:
    _print_rows("Not copied", [result for result in results if not result.ok])
    doubtful = [(result, result.certificate.second_look) for result in results if result.certificate is not None]
    rows = [(str(result.copy), reason) for result, reasons in doubtful for reason in reasons]
    if rows:
        _print_table("Look at these again", rows)
    counts = Counter(result.outcome for result in results)
    said = [_SAID[outcome].format(count=counts[outcome]) for outcome in Outcome if counts[outcome]]
    mark = "[green]✓[/green]" if all(result.ok for result in results) else "[red]✗[/red]"
    out.print(f"{mark} {', '.join(said)}  [dim]→[/dim] {escape(str(places.out))}", soft_wrap=True)


def _print_rows(title: str, results: Iterable[Result]) -> None:
    rows = [(_shown(result.name), result.message) for result in results]
    if rows:
        _print_table(title, rows)


def _shown(name: PurePath) -> str:
    """A file's name as it can be printed, whatever bytes it is made of."""
    return str(name).encode(errors="backslashreplace").decode()


def _print_table(title: str, rows: Iterable[tuple[str, str]]) -> None:
    table = new_table()
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(f"[bold]{title}[/bold]")
    print_table(table)
    out.print()


def _json(result: Result) -> dict[str, Any]:
    certificate = result.certificate
    return {
        "image": _shown(result.name),
        "outcome": str(result.outcome),
        "copy": None if result.copy is None else str(result.copy),
        "reason": result.reason,
        "message": result.message,
        "re_encoded": None if certificate is None else certificate.re_encoded,
        "second_look": None if certificate is None else list(certificate.second_look),
    }
