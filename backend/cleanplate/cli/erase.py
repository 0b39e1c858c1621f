"""`erase`: what cleanplate kept of a task, gone."""

from typing import TYPE_CHECKING, Annotated

import typer

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_json
from cleanplate.cli.start import settings_of_command

if TYPE_CHECKING:
    from cleanplate.app.erasing import Erased


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `erase`."""
    app.command()(erase)


def erase(
    *,
    project: Annotated[int, typer.Option(metavar="ID", min=1, help="The project's number: it is in its address.")],
    task: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="The task's number; without it, all tasks of the project.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what cleanplate kept of a task, or of all tasks of a project.

    Its prepared images go: from the data directory, from Redis, and within seconds from the memory of every `serve`
    that runs. Its copies go: their files, and their tasks with all annotations. Certificates stay, as proof of what
    was made. Run it where `work` runs: copies are in that machine's ledger. The data directories of other machines
    follow over Redis as soon as `serve` runs there.

    The task itself is Label Studio's and stays, and whoever opens it has its image prepared again: delete it there
    first, if it is to be forgotten. A copy comes back only if its annotation changes.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.erasing import Erasing  # noqa: PLC0415

    if as_json and not yes:
        err.print("With --json nobody can be asked: say --yes.")
        raise typer.Exit(2)
    with errors_as_sentences(as_json=as_json):
        application = Application(settings_of_command())
        try:
            erasing = Erasing(application, project_id=project, task_id=task)
            if not yes:
                what = f"task {task}" if task is not None else f"all tasks of project {project}"
                err.print(f"Of {what} go: prepared images, and {_count(len(erasing.copies), 'copy', 'copies')}.")
                typer.confirm("Remove them for good?", abort=True, err=True)
            erased = erasing.run()
        finally:
            application.close()
    if as_json:
        print_json(vars(erased))
    else:
        _print(erased)


def _print(erased: "Erased") -> None:
    images = _count(erased.images, "prepared image", "prepared images")
    copies, tasks = _count(erased.copies, "copy", "copies"), _count(erased.tasks, "task", "tasks")
    out.print(f"[green]✓[/green] removed {images}, {copies} and {tasks} of copies", soft_wrap=True)
    if erased.files_missing:
        missing = _count(len(erased.files_missing), "copy", "copies")
        out.print(
            f"[yellow]![/yellow] of {missing} no file was found: it was gone, or lies in a folder that "
            "CLEANPLATE_LOCAL_FILES_ROOT does not lead to",
            soft_wrap=True,
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
