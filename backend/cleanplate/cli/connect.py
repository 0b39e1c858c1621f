from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cleanplate.cli.files import text_of
from cleanplate.cli.output import JsonOption, check_json, err, errors_as_sentences, out, print_check, print_json
from cleanplate.cli.start import address, settings_of_command

if TYPE_CHECKING:
    from cleanplate.app.checks import Check

_MAX_CONFIG_BYTES: Final = 1024 * 1024


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `connect`."""
    app.command()(connect)


def connect(
    *,
    project: Annotated[int, typer.Option(metavar="ID", min=1, help="The project's number: it is in its address.")],
    backend_url: Annotated[
        str, typer.Option(metavar="URL", help="Where Label Studio reaches the backend, as http://localhost:9090.")
    ],
    label_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Give the project this labelling config (XML)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Connect a project of Label Studio.

    The backend answers its clicks, its webhook carries the secret, its labelling config is checked.
    Doing it again changes nothing that is right already.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.connect import connect as connect_project  # noqa: PLC0415

    checks: list[Check] = []
    with errors_as_sentences(as_json=as_json):
        url = address(backend_url)
        xml = text_of(label_config, max_bytes=_MAX_CONFIG_BYTES) if label_config else None
        application = Application(settings_of_command())
        for check in connect_project(application, project, backend_url=url, label_config=xml):
            checks.append(check)
            if not as_json:
                print_check(check)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"connected": not failed, "steps": [check_json(check) for check in checks]})
    elif failed:
        err.print(f"[red]Project {project} is not connected as it should be.[/red]")
    else:
        out.print(f"[green]Project {project} is connected.[/green] Open a task and click.")
    if failed:
        raise typer.Exit(1)
