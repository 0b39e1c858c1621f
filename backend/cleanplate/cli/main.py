import sys
from importlib import import_module
from typing import Annotated, Final

import typer

from cleanplate import __version__

app = typer.Typer(
    name="cleanplate",
    help=(
        "Masks at a click in Label Studio, and verified clean copies of the images people approved.\n\n"
        "With Label Studio: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, start [bold]serve[/bold] and "
        "[bold]work[/bold], and [bold]connect[/bold] a project. [bold]doctor[/bold] tells what is missing.\n\n"
        "Without: [bold]cleanplate clean photo.jpg mask.png clean.jpg[/bold], then "
        "[bold]cleanplate verify photo.jpg clean.jpg mask.png[/bold]."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_COMMANDS: Final = (
    *("serve", "connect", "images", "compare", "predict", "warm", "jobs", "second_look", "erase"),
    *("weights", "doctor", "show_settings"),
)
"""The modules that give `app` its commands, in the order of the help."""


@app.callback(invoke_without_command=True)
def _root(
    *,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Show the version and leave.")] = False,
) -> None:
    if version:
        typer.echo(f"cleanplate {__version__}")
        raise typer.Exit


for _command in _COMMANDS:
    import_module(f"cleanplate.cli.{_command}").add_to(app)


def main() -> None:
    """Run the command line; the exit code is 0 for success, 1 for an error, 2 for wrong use."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would otherwise complain once more at exit.
        sys.stderr.close()
        sys.exit(1)
