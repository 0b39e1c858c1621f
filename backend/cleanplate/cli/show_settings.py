import html
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer
from rich.markup import escape

from cleanplate.cli.output import JsonOption, errors_as_sentences, new_table, print_json, print_table
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_PAGE: Final = """# Settings

cleanplate is set by environment variables, read once at start. A `CLEANPLATE_…` name that is none of these stops the
start with a suggestion; an empty value counts as not set. `cleanplate settings` shows the values that hold where it
runs, `cleanplate doctor` tells whether they work. This page is written by `cleanplate settings --markdown`.

| name | default | bounds | meaning |
|---|---|---|---|
"""


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `settings`."""
    app.command(name="settings")(show_settings)


def show_settings(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", metavar="", help="Print their page of the documentation instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List every setting: its environment name, its value here, its meaning.

    Of secrets it only says that they are set.
    """
    if markdown:
        typer.echo(settings_page(), nl=False)
        return
    from cleanplate.settings import Settings, environment_name  # noqa: PLC0415  (the command line starts fast)

    with errors_as_sentences(as_json=as_json):
        settings = settings_of_command()
    rows = [
        (environment_name(field), _shown(getattr(settings, field)), info.description or "")
        for field, info in Settings.model_fields.items()
    ]
    if as_json:
        print_json([{"name": name, "value": value, "meaning": meaning} for name, value, meaning in rows])
        return
    table = new_table("name", "value", "meaning")
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    print_table(table)


def settings_page() -> str:
    """The documentation's page of all settings."""
    from cleanplate.settings import Settings, environment_name  # noqa: PLC0415  (the command line starts fast)

    return _PAGE + "".join(_row(environment_name(field), info) for field, info in Settings.model_fields.items())


def _row(name: str, info: "FieldInfo") -> str:
    cells = (_code(name), _code(_shown(info.default)), _bounds(info), html.escape(info.description or "", quote=False))
    return f"| {' | '.join(cells)} |\n"


def _shown(value: Any) -> str:
    from pydantic import SecretStr  # noqa: PLC0415  (the command line starts fast)

    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else ""
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(str(item) for item in sorted(value))
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _bounds(info: "FieldInfo") -> str:
    """Between which values, or of which words, a setting can be."""
    choices = [choice for choice in get_args(info.annotation) if isinstance(choice, str)]
    if choices:
        return ", ".join(_code(choice) for choice in choices)
    lowest = next((bound.ge for bound in info.metadata if hasattr(bound, "ge")), None)
    highest = next((bound.le for bound in info.metadata if hasattr(bound, "le")), None)
    return "" if lowest is None or highest is None else f"{lowest:,} to {highest:,}"
