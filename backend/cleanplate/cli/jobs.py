from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cleanplate.cli.output import JsonOption, err, errors_as_sentences, out, print_json
from cleanplate.jobs.job import JobState

if TYPE_CHECKING:
    from cleanplate.jobs.job import Job
    from cleanplate.jobs.queue import Queue

_KEY_CHARACTERS = 12

_STYLES = {
    JobState.READY: "cyan",
    JobState.LEASED: "blue",
    JobState.DONE: "green",
    JobState.DEAD: "red",
    JobState.ATTENTION: "yellow",
    JobState.SUPERSEDED: "dim",
    JobState.CANCELLED: "dim",
}

commands = typer.Typer(name="jobs", help="See what was done, what waits, and what failed; start it again.")


def add_to(app: typer.Typer) -> None:
    """Give *app* the commands `jobs …`."""
    app.add_typer(commands)


@commands.command(name="list")
def list_jobs(
    *,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    project: Annotated[int | None, typer.Option(help="Only jobs of this project.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the last changed first.")] = 50,
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
    summary = "   ".join(f"[{_STYLES[name]}]{name}[/] {count}" for name, count in counts.items() if count)
    out.print(summary or "No jobs yet: submit an annotation in a connected project.")
    if not jobs:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "state", "project", "task", "annotation", "attempt", "changed", "step or reason"):
        table.add_column(heading)
    for job in jobs:
        table.add_row(
            job.key[:_KEY_CHARACTERS],
            f"[{_STYLES[job.state]}]{job.state}[/]",
            str(job.subject.project_id),
            str(job.subject.task_id),
            str(job.subject.annotation_id),
            str(job.attempt),
            _ago(job.updated_at),
            job.reason or job.step,
        )
    out.print(table)


@commands.command()
def show(
    key: Annotated[str, typer.Argument(help="A job's key, or how it begins.")], *, as_json: JsonOption = False
) -> None:
    """Show everything about one job."""
    with errors_as_sentences(as_json=as_json):
        job = _existing(_queue(), key)
    if as_json:
        print_json(_json(job))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in _json(job).items():
        if value not in ("", {}, None):
            table.add_row(f"[bold]{name}[/bold]", str(value))
    out.print(table)


@commands.command()
def retry(
    key: Annotated[str, typer.Argument(help="A job's key, or how it begins.")] = "",
    *,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every dead job.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start an ended job again, with fresh attempts."""
    if bool(key) == all_dead:
        err.print("Name one job, or say --all-dead.")
        raise typer.Exit(2)
    with errors_as_sentences(as_json=as_json):
        queue = _queue()
        keys = [job.key for job in queue.jobs(state=JobState.DEAD, limit=10_000)] if all_dead else [key]
        jobs = [queue.retry(_existing(queue, each).key) for each in keys]
    if as_json:
        print_json([_json(job) for job in jobs])
        return
    for job in jobs:
        out.print(f"[green]✓[/green] {job.key[:_KEY_CHARACTERS]} is ready again")
    if not jobs:
        out.print("No job is dead.")


def _queue() -> "Queue":
    from cleanplate.app.application import Application  # noqa: PLC0415  (the command line starts fast)
    from cleanplate.settings import read_settings  # noqa: PLC0415

    return Application(read_settings()).queue


def _existing(queue: "Queue", key: str) -> "Job":
    from cleanplate.errors import JobError  # noqa: PLC0415

    job = queue.get(key)
    if job is None:
        raise JobError(f"no single job has a key that begins with {key!r}; see `cleanplate jobs list`")
    return job


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
        "result": job.result,
    }


def _ago(moment: datetime) -> str:
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
