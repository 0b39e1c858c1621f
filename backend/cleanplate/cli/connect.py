from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.doctor import check_json
from cleanplate.cli.output import JsonOption, errors_as_sentences, out, print_check, print_json

if TYPE_CHECKING:
    from cleanplate.app.checks import Check


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `connect`."""
    app.command()(connect)


def connect(
    *,
    project: Annotated[int, typer.Option(min=1, help="The project's number: it is in its address.")],
    backend_url: Annotated[str, typer.Option(help="Where Label Studio reaches `cleanplate serve`.")],
    label_config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="An XML file that becomes the project's labelling config."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Connect a project: ML backend for clicks, webhook with the secret, labelling config checked.

    Doing it again changes nothing that is right already.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.connect import connect as connect_project  # noqa: PLC0415
    from cleanplate.settings import read_settings  # noqa: PLC0415

    xml = label_config.read_text(encoding="utf-8") if label_config else None
    checks: list[Check] = []
    with errors_as_sentences(as_json=as_json):
        application = Application(read_settings())
        for check in connect_project(application, project, backend_url=backend_url, label_config=xml):
            checks.append(check)
            if not as_json:
                print_check(check)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"connected": not failed, "steps": [check_json(check) for check in checks]})
    elif not failed:
        out.print(f"[green]Project {project} is connected.[/green] Open a task and click.")
    if failed:
        raise typer.Exit(1)
