from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.output import JsonOption, errors_as_sentences, out, print_check, print_json

if TYPE_CHECKING:
    from cleanplate.app.checks import Check


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `doctor`."""
    app.command()(doctor)


def doctor(
    *,
    backend_url: Annotated[
        str | None, typer.Option(help="Where Label Studio is to reach this backend; else where it is connected to.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything cleanplate depends on; the exit code is 1 if something must be mended."""
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.doctor import examine  # noqa: PLC0415
    from cleanplate.settings import read_settings  # noqa: PLC0415

    checks: list[Check] = []
    with errors_as_sentences(as_json=as_json):
        for check in examine(Application(read_settings()), backend_url=backend_url):
            checks.append(check)
            if not as_json:
                print_check(check)
    failed = [check for check in checks if not check.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [check_json(check) for check in checks]})
    elif not failed:
        out.print("[green]Nothing has to be mended.[/green]")
    if failed:
        raise typer.Exit(1)


def check_json(check: "Check") -> dict[str, str]:
    """A check as scripts get it."""
    return {"name": check.name, "outcome": check.outcome, "message": check.message, "remedy": check.remedy}
