"""`second-look …`: copies that keep the contract, but that a person should look at."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cleanplate.cli.output import JsonOption, errors_as_sentences, new_table, out, print_json, print_table
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from cleanplate.storage.ledger import CopyRecord

commands = typer.Typer(
    name="second-look",
    help="See which copies a person should look at, and say which of them are good.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `second-look …`."""
    app.add_typer(commands)


@commands.command(name="list")
def list_copies(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the copies that wait for a look, the last changed first.

    They are published: they keep the contract. But a detector sees something in what was filled in, or the fill
    resembles another region, or the inpainter is not sure of it.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)

    with errors_as_sentences(as_json=as_json):
        ledger = Application(settings_of_command()).ledger
        records, count = ledger.waiting(limit=limit), ledger.waiting_count()
    if as_json:
        print_json({"count": count, "copies": [_json(record) for record in records]})
        return
    if not records:
        out.print("No copy waits for a second look.")
        return
    table = new_table("copy's task", "project", "why", "where")
    for record in records:
        why = "; ".join(record.second_look)
        table.add_row(str(record.copy_task_id), str(record.project_id), escape(why), escape(_link(record)))
    print_table(table)
    if count > len(records):
        out.print(f"… and {count - len(records)} more.")
    out.print("Look at them in Label Studio, then [bold]cleanplate second-look accept TASK …[/bold]")


@commands.command()
def accept(
    tasks: Annotated[list[int], typer.Argument(metavar="TASK…", min=1, help="The numbers of copies' tasks.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Say that you looked at copies and found them good.

    Their tasks lose the mark, and the ledger notes when.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.second_looks import accept as accept_copy  # noqa: PLC0415

    accepted = []
    with errors_as_sentences(as_json=as_json):
        application = Application(settings_of_command())
        for task in dict.fromkeys(tasks):
            accepted.append(accept_copy(application, task))
            if not as_json:
                out.print(f"[green]✓[/green] the copy in task {task} is good")
    if as_json:
        print_json([_json(record) for record in accepted])


def _json(record: "CopyRecord") -> dict[str, Any]:
    return {
        "task": record.copy_task_id,
        "project": record.project_id,
        "copy": record.copy_id,
        "why": list(record.second_look),
        "link": _link(record),
    }


def _link(record: "CopyRecord") -> str:
    from cleanplate.label_studio.client import task_page  # noqa: PLC0415  (the command line starts fast)

    return task_page(record.label_studio_url, project_id=record.project_id, task_id=record.copy_task_id)
