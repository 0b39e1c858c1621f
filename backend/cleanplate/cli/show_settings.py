import typer
from rich.table import Table

from cleanplate.cli.output import JsonOption, errors_as_sentences, out, print_json


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `settings`."""
    app.command(name="settings")(show_settings)


def show_settings(*, as_json: JsonOption = False) -> None:
    """List every setting: its environment name, its value here, and what it means. Secrets are not shown."""
    from pydantic import SecretStr  # noqa: PLC0415  (the command line starts fast)

    from cleanplate.settings import Settings, environment_name, read_settings  # noqa: PLC0415

    with errors_as_sentences(as_json=as_json):
        settings = read_settings()
    rows = []
    for field, info in Settings.model_fields.items():
        value = getattr(settings, field)
        if isinstance(value, SecretStr):
            shown = "(set)" if value.get_secret_value() else ""
        elif isinstance(value, (tuple, frozenset)):
            shown = ", ".join(str(item) for item in sorted(value))
        else:
            shown = "" if value is None else str(value)
        rows.append((environment_name(field), shown, info.description or ""))
    if as_json:
        print_json([{"name": name, "value": value, "meaning": meaning} for name, value, meaning in rows])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)
