from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.output import JsonOption, check_json, errors_as_sentences, out, print_check, print_json
from cleanplate.cli.start import address, settings_of_command

if TYPE_CHECKING:
    from cleanplate.app.checks import Check


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `doctor`."""
    app.command()(doctor)


def doctor(
    *,
    backend_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where Label Studio is to reach the backend.", show_default="where it is connected to"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything that clicks and copies depend on.

    Says what to do about each thing that is wrong. The exit code is 1 if something has to be mended.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.doctor import examine  # noqa: PLC0415

    checks: list[Check] = []
    with errors_as_sentences(as_json=as_json):
        url = None if backend_url is None else address(backend_url)
        for check in examine(Application(settings_of_command()), backend_url=url):
            checks.append(check)
            if not as_json:
                print_check(check)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [check_json(check) for check in checks]})
    elif failed:
        out.print(f"[red]{len(failed)} of {len(checks)} things have to be mended.[/red]")
    elif warnings := sum(check.outcome == "warning" for check in checks):
        out.print(f"[yellow]Nothing has to be mended, but {warnings} of {len(checks)} things want a look.[/yellow]")
    else:
        out.print("[green]Nothing has to be mended.[/green]")
    if failed:
        raise typer.Exit(1)
