"""`weights …`: the files that hold what networks have learnt, and how they come to this machine."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from cleanplate.cli.output import (
    JsonOption,
    check_json,
    err,
    errors_as_sentences,
    new_table,
    out,
    print_check,
    print_json,
    print_table,
)
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cleanplate.app.checks import Check
    from cleanplate.downloads.download import Progress
    from cleanplate.engines.weights import Published
    from cleanplate.settings import Settings

_MIB: Final = 1024 * 1024

_TENTHS: Final = 10
"""How many lines tell of a download where there is no terminal for a bar."""

_INTERRUPTED: Final = 130

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `weights list`, how it begins, or an engine.")]

commands = typer.Typer(
    name="weights",
    help="See which weights are published for the engines, fetch them, and check those that are here.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `weights …`."""
    app.add_typer(commands)


@commands.command(name="list")
def list_weights(*, as_json: JsonOption = False) -> None:
    """List the published weights: for which engine, how large, under which licence, and where they are here."""
    from cleanplate.app.weights import place_of  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.engines.published import CATALOGUE  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        rows = [(published, place_of(published, settings)) for published in CATALOGUE]
    if as_json:
        print_json([_json(published, path) for published, path in rows])
        return
    table = new_table("name", "engine", "size", "licence", "where")
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    for published, path in rows:
        where = "[dim]not here[/dim]" if path is None else escape(str(path))
        table.add_row(published.name, published.engine, _mib(published.size_bytes), published.licence, where)
    print_table(table)
    if not all(path for _, path in rows):
        out.print("Fetch them with [bold]cleanplate weights fetch NAME[/bold]")


@commands.command()
def fetch(
    name: Name,
    *,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace another file of this name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch published weights to where the engines look for them.

    That is CLEANPLATE_WEIGHTS_DIR, or else the folder weights in CLEANPLATE_DATA_DIR. A download that was interrupted
    goes on where it ended. A file that is not the published one, to its last bit, is not kept.
    """
    from cleanplate.app.weights import destination_of, published_as  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.weights import fetch as fetch_weights  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        published = published_as(name)
        path = destination_of(published, settings)
        _announce(published, path)
        fetched = _follow(fetch_weights(published, settings, overwrite=force), published)
    if as_json:
        print_json(_json(published, path) | {"fetched": fetched})
        return
    checked = "SHA-256 as published" if published.sha256 else "the published size; its SHA-256 is not published"
    out.print(
        f"[green]✓[/green] {escape(str(path))}  [dim]{'' if fetched else 'was here, '}{checked}[/dim]", soft_wrap=True
    )
    _warn_of_another(published, path, settings)


@commands.command()
def check(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="As for fetch; without it, all that are here.", show_default=False)
    ] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Check the weights that are here: size, SHA-256, and whether they can be read.

    The exit code is 1 if one is not what it should be, or if the named one is not here.
    """
    from cleanplate.app.weights import examine, published_as  # noqa: PLC0415  (the command line starts fast)

    checks: list[Check] = []
    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
        for found in examine(settings, published_as(name) if name else None):
            checks.append(found)
            if not as_json:
                print_check(found)
    failed = [found for found in checks if not found.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [check_json(found) for found in checks]})
    elif not checks:
        out.print("No weights are here. [bold]cleanplate weights list[/bold] tells which there are.")
    if failed:
        raise typer.Exit(1)


def _announce(published: "Published", path: "Path") -> None:
    """Say what is to be fetched, and on which terms, before anything is."""
    err.print(
        f"[bold]{published.name}[/bold] for {published.engine}, {_mib(published.size_bytes)}, licence "
        f"[bold]{published.licence}[/bold]\n  from {escape(published.address)}\n  to {escape(str(path))}",
        soft_wrap=True,
    )


def _follow(steps: "Iterator[Progress]", published: "Published") -> bool:
    """Show how a download goes on; whether there was one."""
    done_bytes, fetched = 0, False
    try:
        with _bar(published) if err.is_terminal else _lines(published) as show:
            for step in steps:
                done_bytes, fetched = step.done_bytes, True
                show(step)
    except KeyboardInterrupt:
        kept = f"{_mib(done_bytes)} are kept: the same command goes on from there"
        err.print(f"[yellow]Interrupted.[/yellow] {kept}")
        raise typer.Exit(_INTERRUPTED) from None
    return fetched


@contextmanager
def _bar(published: "Published") -> "Iterator[Callable[[Progress], None]]":
    """For a person who watches."""
    from rich import progress  # noqa: PLC0415  (the command line starts fast)

    columns = (
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(progress.TextColumn("  "), *columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=published.size_bytes)

        def show(step: "Progress") -> None:
            if step.note:
                bar.console.print(f"  [dim]{escape(step.note)}[/dim]", soft_wrap=True)
            bar.update(task, completed=step.done_bytes)

        yield show


@contextmanager
def _lines(published: "Published") -> "Iterator[Callable[[Progress], None]]":
    """For a log: a line for each tenth."""
    told = 0

    def show(step: "Progress") -> None:
        nonlocal told
        if step.note:
            err.print(f"  {escape(step.note)}", soft_wrap=True)
        tenths = step.done_bytes * _TENTHS // published.size_bytes
        if tenths > told:
            err.print(f"  {_mib(step.done_bytes)} of {_mib(published.size_bytes)}")
        told = tenths

    yield show


def _warn_of_another(published: "Published", path: "Path", settings: "Settings") -> None:
    """A checkpoint that is set goes before what is in the folder."""
    from cleanplate.app.choices import weights_for  # noqa: PLC0415  (the command line starts fast)

    checkpoint = weights_for(published.engine, settings).checkpoint
    if checkpoint is not None and checkpoint != path:
        err.print(
            f"[yellow]![/yellow] {published.setting} names {escape(str(checkpoint))}, which {published.engine} takes "
            f"instead: unset it to use what was fetched",
            soft_wrap=True,
        )


def _json(published: "Published", path: "Path | None") -> dict[str, Any]:
    return {
        "name": published.name,
        "engine": published.engine,
        "size_bytes": published.size_bytes,
        "licence": published.licence,
        "address": published.address,
        "sha256": published.sha256 or None,
        "path": None if path is None else str(path),
    }


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:,.0f} MiB"
