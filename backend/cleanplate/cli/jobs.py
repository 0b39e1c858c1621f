from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, new_table, out, print_json, print_table
from cleanplate.cli.start import settings_of_command
from cleanplate.errors import JobError
from cleanplate.jobs.job import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cleanplate.jobs.job import Job
    from cleanplate.jobs.queue import Queue

_KEY_CHARACTERS: Final = 12

_STYLES: Final = {
    JobState.READY: "cyan",
    JobState.LEASED: "blue",
    JobState.DONE: "green",
    JobState.DEAD: "red",
    JobState.ATTENTION: "yellow",
    JobState.SUPERSEDED: "dim",
    JobState.CANCELLED: "dim",
}

_HEADINGS: Final = ("job", "state", "project", "task", "annotation", "attempt", "changed", "step or reason")

Key = Annotated[str, typer.Argument(metavar="KEY", help="A job's key, or how it begins.")]

commands = typer.Typer(
    name="jobs", help="See what was done, what waits and what failed, and start it again.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `jobs …`."""
    app.add_typer(commands)


@commands.command(name="list")
def list_jobs(
    *,
    state: Annotated[
        JobState | None, typer.Option(metavar="STATE", help=f"Only jobs in this state: {', '.join(JobState)}.")
    ] = None,
    project: Annotated[int | None, typer.Option(metavar="ID", help="Only jobs of this project.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the last changed first."""
    with errors_as_sentences(as_json=as_json):
        queue = _queue()
        jobs = queue.jobs(state=state, project_id=project, limit=limit)
        counts = queue.counts()
    if as_json:
        print_json({"counts": dict(counts), "jobs": [_json(job) for job in jobs]})
        return
    if not any(counts.values()):
        out.print("No jobs yet: submit an annotation in a connected project.")
        return
    out.print("   ".join(f"[{_STYLES[name]}]{name}[/] {count}" for name, count in counts.items() if count))
    if not jobs:
        out.print("None of them is what you asked for.")
        return
    print_table(_table(jobs))


@commands.command()
def show(key: Key, *, as_json: JsonOption = False) -> None:
    """Show everything about one job."""
    with errors_as_sentences(as_json=as_json):
        job = _existing(_queue(), key)
    if as_json:
        print_json(_json(job))
        return
    table = new_table()
    for name, value in _facts(_json(job)):
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    print_table(table)


@commands.command()
def retry(
    key: Key = "",
    *,
    all_dead: Annotated[bool, typer.Option("--all-dead", metavar="", help="Every dead job.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start an ended job again, with fresh attempts."""
    if bool(key) == all_dead:
        err.print("Name one job, or say --all-dead.")
        raise typer.Exit(2)
    with errors_as_sentences(as_json=as_json):
        queue = _queue()
        jobs = _all_dead_again(queue) if all_dead else [queue.retry(_existing(queue, key).key)]
    if as_json:
        print_json([_json(job) for job in jobs])
        return
    for job in jobs:
        out.print(f"[green]✓[/green] {job.key[:_KEY_CHARACTERS]} is ready again")
    if not jobs:
        out.print("No job is dead.")


def _all_dead_again(queue: "Queue") -> "list[Job]":
    again = []
    for job in queue.jobs(state=JobState.DEAD, limit=max(queue.counts()[JobState.DEAD], 1)):
        # Another process may have been faster, or a newer approval.
        with suppress(JobError):
            again.append(queue.retry(job.key))
    return again


def _queue() -> "Queue":
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)

    return Application(settings_of_command()).queue


def _existing(queue: "Queue", key: str) -> "Job":
    job = queue.get(key)
    if job is None:
        raise JobError(f"no single job has a key that begins with {key!r}; see `cleanplate jobs list`")
    return job


def _table(jobs: "list[Job]") -> Table:
    table = new_table(*_HEADINGS)
    for job in jobs:
        table.add_row(
            job.key[:_KEY_CHARACTERS],
            f"[{_STYLES[job.state]}]{job.state}[/]",
            str(job.subject.project_id),
            str(job.subject.task_id),
            str(job.subject.annotation_id),
            str(job.attempt),
            _ago(job.updated_at),
            escape(job.reason or job.step),
        )
    return table


def _json(job: "Job") -> dict[str, Any]:
    return {
        "key": job.key,
        "state": str(job.state),
        "project": job.subject.project_id,
        "task": job.subject.task_id,
        "annotation": job.subject.annotation_id,
        "attempt": job.attempt,
        "step": job.step,
        "reason": job.reason,
        "message": job.message,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
        "ready_at": job.ready_at.isoformat(),
        "result": dict(job.result),
    }


def _facts(job: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    """What is known of a job, a line each."""
    for name, value in job.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {inner}", str(fact)) for inner, fact in value.items())
        elif value != "":
            yield name, str(value)


def _ago(moment: datetime) -> str:
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds // length_s:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
