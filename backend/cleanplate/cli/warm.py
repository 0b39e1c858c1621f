"""`warm`: what makes clicks fast, for a whole project and ahead of time."""

import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_failures, print_json
from cleanplate.cli.progress import INTERRUPTED, progress
from cleanplate.cli.start import settings_of_command
from cleanplate.errors import CleanplateError

if TYPE_CHECKING:
    from cleanplate.app.warming import ProjectWarming, Warmed

_NICENESS: Final = 10
"""Clicks of annotators go first."""

_TENTHS: Final = 10
"""How many lines tell how far it is where there is no terminal for a bar."""

_MIB: Final = 1024 * 1024


def add_to(app: typer.Typer) -> None:
    """Give *app* the command `warm`."""
    app.command()(warm)


def warm(
    *,
    project: Annotated[int, typer.Option(metavar="ID", min=1, help="The project's number: it is in its address.")],
    as_json: JsonOption = False,
) -> None:
    """Prepare all images of a project of Label Studio, so that the first click on each is fast.

    What is prepared is stored in the data directory, where `serve` finds it. Images that are stored already are passed
    over, so a run that was broken off goes on from there. It may run beside `serve`, and gives way to it.
    """
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.app.warming import ProjectWarming  # noqa: PLC0415

    outcomes: list[Warmed] = []
    interrupted = False
    with errors_as_sentences(as_json=as_json):
        os.nice(_NICENESS)
        application = Application(settings_of_command())
        warming = ProjectWarming(application, project)
        outcomes += warming.unreadable
        try:
            _follow(warming, outcomes, as_json=as_json)
        except KeyboardInterrupt:
            interrupted = True
        except CleanplateError:
            # A script gets the error alone: one answer.
            if not as_json:
                _print_summary(warming, outcomes, as_json=False)
            raise
        finally:
            application.close()
        _print_summary(warming, outcomes, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if any(outcome.reason for outcome in outcomes):
        raise typer.Exit(1)


def _follow(warming: "ProjectWarming", outcomes: "list[Warmed]", *, as_json: bool) -> None:
    """Prepare the images and note what becomes of each."""
    total, warned = len(warming.waiting), False
    if not as_json:
        err.print(f"{total} to prepare, {warming.stored} stored already")
    with progress(total, shown=err.is_terminal and not as_json) as step:
        for number, outcome in enumerate(warming.outcomes(), 1):
            outcomes.append(outcome)
            step(f"task {outcome.task_id}", 1)
            tenth_ended = number * _TENTHS // total > (number - 1) * _TENTHS // total
            if tenth_ended and not err.is_terminal and not as_json:
                err.print(f"  {number} of {total}")
            if warming.lacking_bytes and not warned:
                warned = True
                err.print(
                    f"[yellow]![/yellow] CLEANPLATE_EMBEDDING_DISK_BYTES is too small for all of them, by "
                    f"{warming.lacking_bytes / _MIB:,.0f} MiB: those used longest ago leave again"
                )


def _print_summary(warming: "ProjectWarming", outcomes: "list[Warmed]", *, as_json: bool) -> None:
    failed = [outcome for outcome in outcomes if outcome.reason]
    prepared = len(outcomes) - len(failed)
    left = len(warming.waiting) + len(warming.unreadable) - len(outcomes)
    if as_json:
        print_json(
            {
                "prepared": prepared,
                "stored_before": warming.stored,
                "left": left,
                "lacking_bytes": warming.lacking_bytes,
                "failed": [_json(outcome) for outcome in failed],
            }
        )
        return
    print_failures("Not prepared", ((outcome.task_id, outcome.message) for outcome in failed))
    mark = "[red]✗[/red]" if failed else "[green]✓[/green]"
    told = f"{mark} {prepared} prepared, {warming.stored} stored before"
    out.print(f"{told}, [red]{len(failed)} failed[/red]" if failed else told, soft_wrap=True)
    if left:
        err.print(f"[yellow]Stopped with {left} to go.[/yellow] The same command goes on from here.")


def _json(outcome: "Warmed") -> dict[str, Any]:
    return {"task": outcome.task_id, "reason": outcome.reason, "message": outcome.message}
